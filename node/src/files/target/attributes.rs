//! Gives an object the attributes it had: owner, extended attributes, mode, time, in this order.
//!
//! A change of owner clears setuid and capabilities, an ACL sets mode bits, and everything else
//! sets the time. What is right already is not set again, so that an unchanged file stays so.

use std::os::fd::{AsFd, AsRawFd};

use larder_protocol::tree::entry::{Attributes, FileTime, Xattr};
use rustix::{
    fs::{
        AtFlags, FileType, Gid, Mode, Timespec, Timestamps, UTIME_OMIT, Uid, chmod, chownat,
        fchmod, fstatvfs, utimensat,
    },
    io::Errno,
};

use super::{Lack, Target, TargetError};
use crate::files::{status::Status, xattr::Object};

/// Mode bits that lend a file its owner's or group's rights.
const SETUID: u32 = 0o4000;
const SETGID: u32 = 0o2000;
/// Extended attributes that are seen in the mode as well.
const ACL_PREFIX: &[u8] = b"system.posix_acl_";

impl Target {
    /// Sets `attributes` on what `fd` has open, which may be an `O_PATH` descriptor. `made` is the
    /// status of a new object that has no extended attribute of ours yet, if it is one.
    ///
    /// Object and descriptor being one, nobody can put another object in its place meanwhile.
    pub(super) fn apply(
        &self,
        fd: &(impl AsFd + AsRawFd),
        made: Option<Status>,
        path: &[u8],
        attributes: &Attributes,
    ) -> Result<(), TargetError> {
        let fail = |source| TargetError::new(path, source);
        let has_none = made.is_some() && attributes.xattrs.is_none();
        let before = made.map_or_else(|| Status::of(fd), Ok).map_err(fail)?;
        let owned = apply_owner(fd, attributes, before).map_err(fail)?;
        let is_mode_disturbed = !has_none && self.apply_xattrs(fd, path, attributes)?;
        let has_mode = owned.file_type != FileType::Symlink;
        let mode = lendable_mode(attributes, &owned);
        if has_mode && (owned.mode != mode || is_mode_disturbed) {
            let mode = Mode::from_raw_mode(mode);
            // Looked at below: only a file system without modes refuses this to the owner.
            let _ = fchmod(fd, mode).or_else(|_| {
                // An `O_PATH` descriptor.
                chmod(format!("/proc/self/fd/{}", fd.as_raw_fd()), mode)
            });
        }
        if owned.modified != attributes.modified {
            set_modified(fd, attributes.modified);
        }
        let after = Status::of(fd).map_err(fail)?;
        if (after.uid, after.gid) != (attributes.uid, attributes.gid) {
            self.lacks(path, Lack::Owner);
        }
        if has_mode && after.mode != attributes.mode {
            self.lacks(path, Lack::Mode);
        }
        if after.modified != attributes.modified {
            self.lacks(path, Lack::Modified);
        }
        Ok(())
    }

    /// Sets what differs, and removes what a directory's default ACL or an earlier file left.
    /// Answers whether an ACL was touched, which may have changed the mode.
    fn apply_xattrs(
        &self,
        fd: &(impl AsFd + AsRawFd),
        path: &[u8],
        attributes: &Attributes,
    ) -> Result<bool, TargetError> {
        let object = Object::of(fd);
        let mut is_mode_disturbed = false;
        let wanted = attributes.xattrs.as_deref().unwrap_or_default();
        let present = object.names().unwrap_or_default();
        for name in &present {
            let is_wanted = wanted.iter().any(|xattr| *xattr.name == *name);
            if is_wanted || !is_ours(name) {
                continue;
            }
            is_mode_disturbed |= name.starts_with(ACL_PREFIX);
            if object.remove(name).is_err() {
                self.lacks(path, Lack::Xattr(name.clone()));
            }
        }
        for xattr in wanted {
            let is_present = present.contains(&xattr.name);
            if is_present && object.value(&xattr.name).as_deref() == Ok(xattr.value.as_slice()) {
                continue;
            }
            is_mode_disturbed |= xattr.name.starts_with(ACL_PREFIX);
            match set(&object, xattr) {
                Ok(()) => {}
                // Also said of a value that is too long for the file system.
                Err(Errno::NOSPC | Errno::DQUOT) if is_full(fd) => return Err(TargetError::Full),
                Err(_) => self.lacks(path, Lack::Xattr(xattr.name.to_vec())),
            }
        }
        Ok(is_mode_disturbed)
    }
}

/// Whether an object has all these attributes, so that setting them would change nothing.
pub(super) fn has_attributes(
    fd: &(impl AsFd + AsRawFd),
    status: &Status,
    wanted: &Attributes,
) -> bool {
    let has_mode = status.file_type != FileType::Symlink;
    if (status.uid, status.gid, status.modified) != (wanted.uid, wanted.gid, wanted.modified)
        || (has_mode && status.mode != wanted.mode)
    {
        return false;
    }
    let object = Object::of(fd);
    let present = object.names().unwrap_or_default();
    let xattrs = wanted.xattrs.as_deref().unwrap_or_default();
    let is_wanted = |name: &[u8]| xattrs.iter().any(|xattr| *xattr.name == *name);
    let is_there = |xattr: &Xattr| object.value(&xattr.name).as_deref() == Ok(&*xattr.value);
    present.iter().all(|name| is_wanted(name) || !is_ours(name)) && xattrs.iter().all(is_there)
}

/// Sets owner and group as far as allowed, and answers the state afterwards.
fn apply_owner(fd: impl AsFd, wanted: &Attributes, before: Status) -> Result<Status, Errno> {
    if (before.uid, before.gid) == (wanted.uid, wanted.gid) {
        return Ok(before);
    }
    // The largest number means "leave it" to the kernel: nobody owns a file under it.
    let uid = (wanted.uid != u32::MAX).then(|| Uid::from_raw(wanted.uid));
    let gid = (wanted.gid != u32::MAX).then(|| Gid::from_raw(wanted.gid));
    let set = |uid, gid| chownat(&fd, c"", uid, gid, AtFlags::EMPTY_PATH);
    if set(uid, gid).is_err() {
        // An ordinary user may still choose among his own groups. The caller looks at the result.
        let _ = set(None, gid);
    }
    Status::of(&fd)
}

/// The mode without the bits that would lend the rights of whoever restores.
fn lendable_mode(wanted: &Attributes, owned: &Status) -> u32 {
    let mut mode = wanted.mode & 0o7777;
    if owned.uid != wanted.uid {
        mode &= !SETUID;
    }
    if owned.gid != wanted.gid && owned.file_type != FileType::Directory {
        mode &= !SETGID;
    }
    mode
}

/// Sets the modification time and leaves the access time. Whether it worked shows in the status.
pub(super) fn set_modified(fd: impl AsFd, wanted: FileTime) {
    let omitted = Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT };
    // Larger numbers have special meanings to the kernel.
    let nanoseconds = wanted.nanoseconds.min(999_999_999);
    let modified = Timespec { tv_sec: wanted.seconds, tv_nsec: i64::from(nanoseconds) };
    let times = Timestamps { last_access: omitted, last_modification: modified };
    let _ = utimensat(fd, c"", &times, AtFlags::EMPTY_PATH);
}

/// Sets one attribute, after a look at the name that a hostile tree may have chosen.
fn set(object: &Object, xattr: &Xattr) -> Result<(), Errno> {
    if xattr.name.is_empty() || xattr.name.contains(&0) {
        return Err(Errno::INVAL);
    }
    object.set(xattr)
}

/// Whether an attribute that the snapshot does not have is removed. Labels that the system itself
/// gives to new files (`security.selinux` and its like) are not.
fn is_ours(name: &[u8]) -> bool {
    name.starts_with(b"user.")
        || name.starts_with(b"trusted.")
        || name.starts_with(ACL_PREFIX)
        || name == b"security.capability"
}

/// Whether the file system has no free block or inode, as far as it tells.
fn is_full(fd: impl AsFd) -> bool {
    fstatvfs(fd).map_or(true, |status| status.f_bavail == 0 || status.f_favail == 0)
}

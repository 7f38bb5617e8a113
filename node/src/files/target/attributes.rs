//! Gives an object the attributes it had: owner, extended attributes, mode, time, in this order.
//!
//! A change of owner clears setuid and capabilities, an ACL sets mode bits, and everything else
//! sets the time. What is right already is not set again, so that an unchanged file stays so.

use std::os::fd::{AsFd, AsRawFd};

use larder_protocol::tree::entry::{Attributes, FileTime, Xattr};
use rustix::{
    fs::{
        AtFlags, FileType, Gid, Mode, Timespec, Timestamps, UTIME_OMIT, Uid, chmod, chownat,
        fstatvfs, utimensat,
    },
    io::Errno,
};

use super::{Lack, Target, TargetError};
use crate::files::{status::Status, xattr::Object};

/// Mode bits that lend a file its owner's or group's rights.
const SETUID: u32 = 0o4000;
const SETGID: u32 = 0o2000;

impl Target {
    /// Sets `attributes` on what `fd` has open, which may be an `O_PATH` descriptor.
    ///
    /// Object and descriptor being one, nobody can put another object in its place meanwhile.
    pub(super) fn apply(
        &self,
        fd: &(impl AsFd + AsRawFd),
        path: &[u8],
        attributes: &Attributes,
    ) -> Result<(), TargetError> {
        let fail = |source| TargetError::new(path, source);
        let before = Status::of(fd).map_err(fail)?;
        let owned = self.apply_owner(fd, path, attributes, &before).map_err(fail)?;
        self.apply_xattrs(fd, path, attributes)?;
        if before.file_type != FileType::Symlink {
            self.apply_mode(fd, path, attributes, &owned).map_err(fail)?;
        }
        self.apply_modified(fd, path, attributes.modified).map_err(fail)
    }

    /// Sets owner and group as far as allowed, and answers the state afterwards.
    fn apply_owner(
        &self,
        fd: impl AsFd,
        path: &[u8],
        wanted: &Attributes,
        before: &Status,
    ) -> Result<Status, Errno> {
        if (before.uid, before.gid) == (wanted.uid, wanted.gid) {
            return Ok(before.clone());
        }
        // The largest number means "leave it" to the kernel: nobody owns a file under it.
        let uid = (wanted.uid != u32::MAX).then(|| Uid::from_raw(wanted.uid));
        let gid = (wanted.gid != u32::MAX).then(|| Gid::from_raw(wanted.gid));
        let set = |uid, gid| chownat(&fd, c"", uid, gid, AtFlags::EMPTY_PATH);
        // An ordinary user may choose among his own groups.
        if set(uid, gid).is_err() && set(None, gid).is_err() {
            self.lacks(path, Lack::Owner);
            return Status::of(&fd);
        }
        let after = Status::of(&fd)?;
        if (after.uid, after.gid) != (wanted.uid, wanted.gid) {
            self.lacks(path, Lack::Owner);
        }
        Ok(after)
    }

    /// Sets what differs, and removes what a directory's default ACL or an earlier file left.
    fn apply_xattrs(
        &self,
        fd: &(impl AsFd + AsRawFd),
        path: &[u8],
        attributes: &Attributes,
    ) -> Result<(), TargetError> {
        let object = Object::of(fd);
        let wanted = attributes.xattrs.as_deref().unwrap_or_default();
        let present = object.names().unwrap_or_default();
        for name in &present {
            let is_wanted = wanted.iter().any(|xattr| *xattr.name == *name);
            if !is_wanted && is_ours(name) && object.remove(name).is_err() {
                self.lacks(path, Lack::Xattr(name.clone()));
            }
        }
        for xattr in wanted {
            let is_present = present.contains(&xattr.name);
            if is_present && object.value(&xattr.name).as_deref() == Ok(xattr.value.as_slice()) {
                continue;
            }
            match set(&object, xattr) {
                Ok(()) => {}
                // Also said of a value that is too long for the file system.
                Err(Errno::NOSPC | Errno::DQUOT) if is_full(fd) => return Err(TargetError::Full),
                Err(_) => self.lacks(path, Lack::Xattr(xattr.name.to_vec())),
            }
        }
        Ok(())
    }

    fn apply_mode(
        &self,
        fd: &(impl AsFd + AsRawFd),
        path: &[u8],
        wanted: &Attributes,
        owned: &Status,
    ) -> Result<(), Errno> {
        let mut mode = wanted.mode & 0o7777;
        // Never lend the rights of whoever restores.
        if owned.uid != wanted.uid {
            mode &= !SETUID;
        }
        if owned.gid != wanted.gid && owned.file_type != FileType::Directory {
            mode &= !SETGID;
        }
        if Status::of(fd)?.mode != mode {
            let link = format!("/proc/self/fd/{}", fd.as_raw_fd());
            // Only a file system without modes refuses this to the owner.
            let _ = chmod(link, Mode::from_raw_mode(mode));
        }
        if Status::of(fd)?.mode != wanted.mode {
            self.lacks(path, Lack::Mode);
        }
        Ok(())
    }

    /// Sets the modification time alone.
    pub(super) fn apply_modified(
        &self,
        fd: impl AsFd,
        path: &[u8],
        wanted: FileTime,
    ) -> Result<(), Errno> {
        if Status::of(&fd)?.modified == wanted {
            return Ok(());
        }
        let omitted = Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT };
        // Larger numbers have special meanings to the kernel.
        let nanoseconds = wanted.nanoseconds.min(999_999_999);
        let modified = Timespec { tv_sec: wanted.seconds, tv_nsec: i64::from(nanoseconds) };
        let times = Timestamps { last_access: omitted, last_modification: modified };
        let set = utimensat(&fd, c"", &times, AtFlags::EMPTY_PATH);
        if set.is_err() || Status::of(&fd)?.modified != wanted {
            self.lacks(path, Lack::Modified);
        }
        Ok(())
    }
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
        || name.starts_with(b"system.posix_acl_")
        || name == b"security.capability"
}

/// Whether the file system has no free block or inode, as far as it tells.
fn is_full(fd: impl AsFd) -> bool {
    fstatvfs(fd).map_or(true, |status| status.f_bavail == 0 || status.f_favail == 0)
}

//! Extended attributes of anything, without opening it.
//!
//! The kernel has no `*at` form of these calls before 6.13, so that an object is named by
//! `/proc/self/fd/N/name` (looked at itself, `l` forms) or by `/proc/self/fd/N` of a descriptor.

use std::{ffi::CString, os::fd::AsRawFd};

use larder_protocol::tree::entry::Xattr;
use rustix::{
    buffer::spare_capacity,
    fs::{XattrFlags, getxattr, lgetxattr, listxattr, llistxattr, removexattr, setxattr},
    io::Errno,
};

/// Largest list of names and largest value that Linux knows (`XATTR_LIST_MAX`, `XATTR_SIZE_MAX`).
const XATTR_BYTES_MAX: usize = 64 * 1024;
/// First guess at a buffer: most objects have no attribute, most others one short one.
const XATTR_BYTES_GUESS: usize = 512;

/// Extended attributes of one object, ascending by name, and the names that could not be read.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Xattrs {
    pub(crate) read: Vec<Xattr>,
    pub(crate) unread: Vec<(Vec<u8>, Errno)>,
}

/// Name of an object for the path-based calls.
pub(crate) enum Object {
    /// A name in an open directory; a symlink is meant itself.
    In(CString),
    /// What a descriptor has open, `O_PATH` and symlinks included.
    Of(CString),
}

impl Object {
    pub(crate) fn at(dir: &impl AsRawFd, name: &[u8]) -> Self {
        let mut path = format!("/proc/self/fd/{}/", dir.as_raw_fd()).into_bytes();
        path.extend_from_slice(name);
        Self::In(CString::new(path).expect("a name from the kernel or checked holds no NUL"))
    }

    pub(crate) fn of(fd: &impl AsRawFd) -> Self {
        let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
        Self::Of(CString::new(path).expect("digits hold no NUL"))
    }

    /// Reads all attributes. A file system without any gives an empty list.
    pub(crate) fn read(&self) -> Result<Xattrs, Errno> {
        let mut xattrs = Xattrs::default();
        for name in self.names()? {
            match self.value(&name) {
                Ok(value) => {
                    xattrs.read.push(Xattr { name: name.into(), value: value.into() });
                }
                // Removed since the list was read.
                Err(Errno::NODATA) => {}
                Err(error) => xattrs.unread.push((name, error)),
            }
        }
        xattrs.read.sort();
        Ok(xattrs)
    }

    /// Names of all attributes that this process may see.
    pub(crate) fn names(&self) -> Result<Vec<Vec<u8>>, Errno> {
        let list = grow(|buffer| match self {
            Self::In(path) => llistxattr(path, spare_capacity(buffer)),
            Self::Of(path) => listxattr(path, spare_capacity(buffer)),
        });
        match list {
            Ok(list) => Ok(list
                .split(|byte| *byte == 0)
                .filter(|name| !name.is_empty())
                .map(<[u8]>::to_vec)
                .collect()),
            Err(Errno::OPNOTSUPP) => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// Value of one attribute.
    pub(crate) fn value(&self, name: &[u8]) -> Result<Vec<u8>, Errno> {
        grow(|buffer| match self {
            Self::In(path) => lgetxattr(path, name, spare_capacity(buffer)),
            Self::Of(path) => getxattr(path, name, spare_capacity(buffer)),
        })
    }

    /// Sets one attribute; only for what is held by a descriptor.
    pub(crate) fn set(&self, xattr: &Xattr) -> Result<(), Errno> {
        let name: &[u8] = &xattr.name;
        match self {
            Self::Of(path) => setxattr(path, name, &xattr.value, XattrFlags::empty()),
            Self::In(_) => Err(Errno::BADF),
        }
    }

    /// Removes one attribute; only for what is held by a descriptor.
    pub(crate) fn remove(&self, name: &[u8]) -> Result<(), Errno> {
        match self {
            Self::Of(path) => removexattr(path, name),
            Self::In(_) => Err(Errno::BADF),
        }
    }
}

/// Calls `read` with a small buffer, then with one that holds whatever Linux allows.
fn grow(mut read: impl FnMut(&mut Vec<u8>) -> Result<usize, Errno>) -> Result<Vec<u8>, Errno> {
    let mut buffer = Vec::with_capacity(XATTR_BYTES_GUESS);
    match read(&mut buffer) {
        Err(Errno::RANGE) => {
            buffer = Vec::with_capacity(XATTR_BYTES_MAX);
            read(&mut buffer)?;
        }
        Err(error) => return Err(error),
        Ok(_) => {}
    }
    Ok(buffer)
}

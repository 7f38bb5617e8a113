//! The socket file itself, also where the path of a home is longer than a socket address may be.

use std::{
    fs, io,
    os::{fd::AsRawFd, unix::fs::PermissionsExt},
    path::{Path, PathBuf},
};

use tokio::net::{UnixListener, UnixStream};

use crate::home::SOCKET;

/// `sun_path` holds 108 bytes with the final NUL on Linux, 104 on the BSDs.
const ADDRESS_BYTES_MAX: usize = 103;

/// A path to the socket that fits, and the open directory which that path may lead through.
fn address(home: &Path) -> io::Result<(PathBuf, Option<fs::File>)> {
    let path = home.join(SOCKET);
    if path.as_os_str().len() <= ADDRESS_BYTES_MAX {
        return Ok((path, None));
    }
    let directory = fs::File::open(home)?;
    let short = format!("/proc/self/fd/{}/{SOCKET}", directory.as_raw_fd());
    Ok((PathBuf::from(short), Some(directory)))
}

/// Listens at the socket of a home; whoever calls holds the lock of that home, so a file that is
/// there already is a left-over.
pub(super) fn listen(home: &Path) -> io::Result<UnixListener> {
    remove(home)?;
    let (path, _directory) = address(home)?;
    let listener = UnixListener::bind(&path)?;
    // Until here the 0700 of the home keeps others out.
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Connects to the node of a home; `None` when none is running.
pub(super) async fn connect(home: &Path) -> io::Result<Option<UnixStream>> {
    if !home.join(SOCKET).exists() {
        return Ok(None);
    }
    let (path, _directory) = address(home)?;
    match UnixStream::connect(&path).await {
        Ok(stream) => Ok(Some(stream)),
        Err(error) => match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => Ok(None),
            _ => Err(error),
        },
    }
}

/// Takes the socket file away.
pub(super) fn remove(home: &Path) -> io::Result<()> {
    match fs::remove_file(home.join(SOCKET)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

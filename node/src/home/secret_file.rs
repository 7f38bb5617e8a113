//! Files that are not to be lost or read by others: phrases and recovery sheets.

use std::{
    fs,
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use super::sync_directory;

/// Writes a file that was not there before and that its owner alone can read; durable when this
/// returns. What was begun and could not be written to its end is removed.
pub(crate) fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    let written = file
        .write_all(bytes)
        .and_then(|()| file.sync_all())
        .and_then(|()| sync_directory(directory));
    if written.is_err() {
        // It is ours: it was made just now.
        let _left_over = fs::remove_file(path);
    }
    written
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    // SHEET-6
    #[test]
    fn a_file_is_new_and_private() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("sheet.txt");
        write_new(&path, b"abandon ability\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "abandon ability\n");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
        let refused = write_new(&path, b"other").unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::AlreadyExists);
        let dangling = directory.path().join("link");
        std::os::unix::fs::symlink(directory.path().join("nothing"), &dangling).unwrap();
        write_new(&dangling, b"other").unwrap_err();
        assert_eq!(fs::read_to_string(&path).unwrap(), "abandon ability\n");
    }
}

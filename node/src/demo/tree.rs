//! A folder with every kind of entry that a backup must get right, about 60 MB.

use std::{
    ffi::OsStr,
    fs, io,
    io::Write,
    os::unix::{
        ffi::OsStrExt,
        fs::{FileExt, MetadataExt, PermissionsExt, symlink},
    },
    path::Path,
    time::{Duration, SystemTime},
};

use rustix::fs::{CWD, FileType, Mode, XattrFlags, makedev, mknodat, setxattr};

use super::story::CANARY;

/// Makes the folder.
pub(super) fn generate(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    small_files(&folder.join("notes"))?;
    large_files(&folder.join("videos"))?;
    strange_names(&folder.join("names"))?;
    kinds(&folder.join("kinds"))?;
    attributes(&folder.join("attributes"))
}

fn small_files(at: &Path) -> io::Result<()> {
    for directory in 0..20 {
        let at = at.join(format!("year {}", 2000 + directory));
        fs::create_dir_all(at.join("empty"))?;
        for number in 0..50 {
            let text = format!("Letter {number} of {directory}.\n").repeat(number + 1);
            fs::write(at.join(format!("letter {number}.txt")), text)?;
        }
    }
    fs::write(at.join("empty.txt"), "")?;
    fs::write(at.join("canary.txt"), CANARY)
}

fn large_files(at: &Path) -> io::Result<()> {
    fs::create_dir_all(at)?;
    // Bytes that no compression makes smaller, the same in every demo.
    let mut random = blake3::Hasher::new_derive_key("larder 2026 demo video v1").finalize_xof();
    let mut file = fs::File::create(at.join("holiday.mp4"))?;
    let mut piece = vec![0; 1 << 20];
    for _ in 0..48 {
        random.fill(&mut piece);
        file.write_all(&piece)?;
    }
    fs::copy(at.join("holiday.mp4"), at.join("holiday (copy).mp4"))?;
    let sparse = fs::File::create(at.join("disk.img"))?;
    sparse.set_len(256 << 20)?;
    sparse.write_all_at(b"begin", 0)?;
    sparse.write_all_at(b"middle", 100 << 20)
}

fn strange_names(at: &Path) -> io::Result<()> {
    fs::create_dir_all(at)?;
    let long = "x".repeat(255);
    let names: [&[u8]; 9] = [
        b"caf\xe9",
        b"\xff\xfe",
        b"new\nline",
        b" blanks ",
        b"-rf",
        b"back\\slash",
        b"\x1b[31mred",
        "日本語 🗄️".as_bytes(),
        long.as_bytes(),
    ];
    for name in names {
        fs::write(at.join(OsStr::from_bytes(name)), name)?;
    }
    let deep = at.join("d/".repeat(60));
    fs::create_dir_all(&deep)?;
    fs::write(deep.join("at the bottom"), "deep")
}

fn kinds(at: &Path) -> io::Result<()> {
    fs::create_dir_all(at)?;
    fs::write(at.join("file"), "linked twice")?;
    fs::hard_link(at.join("file"), at.join("hard link"))?;
    symlink("file", at.join("link"))?;
    symlink("/no/such/place", at.join("dangling link"))?;
    symlink("../..", at.join("link out"))?;
    let mode = Mode::RUSR | Mode::WUSR;
    mknodat(CWD, at.join("fifo"), FileType::Fifo, mode, 0)?;
    if rustix::process::geteuid().is_root() {
        // Not allowed in every container, and no loss for the story.
        let _refused =
            mknodat(CWD, at.join("null"), FileType::CharacterDevice, mode, makedev(1, 3));
    }
    Ok(())
}

fn attributes(at: &Path) -> io::Result<()> {
    fs::create_dir_all(at)?;
    for mode in [0o400, 0o755, 0o4755, 0o2711, 0o1777, 0o640] {
        let path = at.join(format!("mode {mode:o}"));
        fs::write(&path, "mode")?;
        fs::set_permissions(&path, fs::Permissions::from_mode(mode))?;
    }
    let old = at.join("before 1970");
    fs::write(&old, "old")?;
    let time = SystemTime::UNIX_EPOCH - Duration::new(86_400 * 365, 123_456_789);
    fs::File::open(&old)?.set_modified(time)?;
    let tagged = at.join("tagged");
    fs::write(&tagged, "tagged")?;
    // tmpfs had no user attributes for a long time.
    let _unsupported = setxattr(&tagged, "user.larder.demo", b"value\0\xff", XattrFlags::empty());
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(&tagged, Some(12_345), Some(54_321))?;
    }
    debug_assert!(fs::metadata(&old)?.mtime() < 0, "the file system knows times before 1970");
    Ok(())
}

//! What a backup takes over from the one before comes back as if it had been read.

use std::os::unix::fs::{PermissionsExt, symlink};

use rustix::fs::{XattrFlags, setxattr};

use super::*;

// FILES-44, HOME-5
#[tokio::test(flavor = "multi_thread")]
async fn what_is_remembered_is_not_read_again_and_every_change_is_seen() {
    let bed = Bed::make().await;
    make_odd_tree(&bed.folder);
    let mine = bed.folder.join("more");
    let at = |name: &str| mine.join(name);
    // Of more than one part.
    for dir in ["long", "empty", "moved/below", "gone"] {
        fs::create_dir_all(at(dir)).unwrap();
    }
    for number in 0..1_300 {
        fs::write(at(&format!("long/{number:04}")), format!("{number}")).unwrap();
    }
    for name in ["moved/below/a", "moved/b", "gone/c", "mode", "named", "other times"] {
        fs::write(at(name), noise(3, 5_000)).unwrap();
    }
    symlink("there", at("link")).unwrap();
    std::thread::sleep(Duration::from_millis(2_100));
    let first = bed.backup().await;
    assert!(first.snapshots[0].read_bytes > 0);

    let second = bed.backup().await;
    assert_eq!((second.snapshots[0].read_bytes, second.snapshots[0].unchanged), (0, true));

    fs::set_permissions(at("mode"), fs::Permissions::from_mode(0o600)).unwrap();
    setxattr(at("named"), "user.later", b"1", XattrFlags::empty()).unwrap();
    setxattr(at("empty"), "user.later", b"2", XattrFlags::empty()).unwrap();
    fs::remove_file(at("link")).unwrap();
    symlink("else", at("link")).unwrap();
    // The same length, and the time of before put back.
    let modified = fs::metadata(at("other times")).unwrap().modified().unwrap();
    fs::write(at("other times"), noise(4, 5_000)).unwrap();
    let file = fs::File::options().write(true).open(at("other times")).unwrap();
    file.set_modified(modified).unwrap();
    fs::rename(at("moved"), at("moved to")).unwrap();
    fs::remove_dir_all(at("gone")).unwrap();
    // First, last, and one in between: the parts of the long directory begin elsewhere.
    for number in ["0000", "0700", "1299"] {
        fs::remove_file(at(&format!("long/{number}"))).unwrap();
    }
    fs::write(at("long/00"), "new").unwrap();
    fs::write(at("empty/x"), "no more").unwrap();
    let third = bed.backup().await;
    let read = third.snapshots[0].read_bytes;
    assert!((5_000..60_000).contains(&read), "{read}: what changed, and its neighbours");
    let said = bed.ask(bed.restore("to"), |_| false).await;
    assert_eq!(said.problems(), [""; 0]);
    bed.assert_restored("to");

    // What changed just before is read once more, and nothing then.
    std::thread::sleep(Duration::from_millis(2_100));
    bed.backup().await;
    let last = bed.backup().await;
    assert_eq!((last.snapshots[0].read_bytes, last.snapshots[0].unchanged), (0, true));
    let said = bed.ask(bed.restore("again"), |_| false).await;
    assert_eq!(said.problems(), [""; 0]);
    bed.assert_restored("again");
}

// HOME-5
#[tokio::test(flavor = "multi_thread")]
async fn attributes_that_cannot_be_remembered_do_not_make_the_content_be_read_again() {
    let bed = Bed::make().await;
    let large = vec![7; 3_000];
    fs::write(bed.folder.join("file"), noise(3, 5_000)).unwrap();
    for name in ["user.a", "user.b"] {
        if setxattr(bed.folder.join("file"), name, &large, XattrFlags::empty()).is_err() {
            return skipped("extended attributes of 6 kB: not on this file system");
        }
    }
    fs::write(bed.folder.join("neighbour"), noise(4, 5_000)).unwrap();
    std::thread::sleep(Duration::from_millis(2_100));
    bed.backup().await;
    let second = bed.backup().await;
    assert_eq!((second.snapshots[0].read_bytes, second.snapshots[0].unchanged), (0, true));
    let said = bed.ask(bed.restore("to"), |_| false).await;
    assert_eq!(said.problems(), [""; 0]);
    bed.assert_restored("to");
}

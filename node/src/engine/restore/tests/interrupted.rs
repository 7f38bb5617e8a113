//! Restores that did not end, and the next one to the same directory.

use super::*;

/// The marker of a restore that did not end, of this boot or another one.
fn leave_marker(target: &Path, boot: &[u8]) {
    let name = String::from_utf8(part_name(b"")).unwrap();
    fs::write(target.join(name), boot).unwrap();
}

fn this_boot() -> Vec<u8> {
    fs::read("/proc/sys/kernel/random/boot_id").unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_restore_says_so_and_goes_on_when_given_again() {
    let bed = Bed::make().await;
    make_files(&bed.folder);
    bed.backup().await;
    // Something in the way at the very begin is a problem: the sign to interrupt.
    fs::create_dir_all(bed.below("to").join("a/small 0/in the way")).unwrap();
    let said = bed.ask(bed.restore("to"), |event| matches!(event, Event::Problem(_))).await;
    assert_eq!(said.failure().kind, ExitKind::Interrupted);
    for file in files_below(&bed.below("to")) {
        let name = file.strip_prefix(bed.below("to")).unwrap();
        if !name.file_name().unwrap().as_encoded_bytes().starts_with(b".larder-part-") {
            assert!(fs::read(&file).unwrap() == fs::read(bed.folder.join(name)).unwrap());
        }
    }
    fs::remove_dir_all(bed.below("to").join("a/small 0")).unwrap();
    let said = bed.ask(bed.restore("to"), |_| false).await;
    assert_eq!(said.problems(), [""; 0]);
    bed.assert_restored("to");
}

#[tokio::test(flavor = "multi_thread")]
async fn finished_files_and_parts_of_files_are_taken_up() {
    let bed = Bed::make().await;
    make_files(&bed.folder);
    bed.backup().await;
    let total = bed.ask(bed.restore("to"), |_| false).await.done().files_written;
    // As a killed restore leaves it: one file missing, one in parts, one part of no use.
    let at = bed.below("to");
    fs::remove_file(at.join("a/small 1")).unwrap();
    let part = at.join(String::from_utf8(part_name(b"larger")).unwrap());
    fs::rename(at.join("larger"), &part).unwrap();
    let part = fs::File::options().write(true).open(&part).unwrap();
    part.set_len(10 << 20).unwrap();
    part.write_all_at(&[1; 100_000], 5 << 20).unwrap();
    fs::write(at.join("b").join(String::from_utf8(part_name(b"gone")).unwrap()), "old").unwrap();
    leave_marker(&bed.path("to"), &this_boot());
    let said = bed.ask(bed.restore("to"), |_| false).await;
    let done = said.done();
    assert_eq!((done.files_written, done.files_same), (2, total - 2));
    bed.assert_restored("to");
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_crash_of_the_machine_only_content_counts() {
    let bed = Bed::make().await;
    make_files(&bed.folder);
    bed.backup().await;
    let total = bed.ask(bed.restore("to"), |_| false).await.done().files_written;
    // Renamed in time, but the bytes never came to the disk.
    for name in ["a/small 3", "b/large"] {
        let path = bed.below("to").join(name);
        let before = fs::metadata(&path).unwrap();
        fs::write(&path, vec![0; usize::try_from(before.len()).unwrap()]).unwrap();
        set_modified(&path, before.mtime(), before.mtime_nsec());
    }
    let untouched = bed.below("to").join("larger");
    let inode = fs::metadata(&untouched).unwrap().ino();
    let said = bed.ask(bed.restore("to"), |_| false).await;
    assert_eq!(said.done().files_same, total, "without a crash length and time are believed");
    leave_marker(&bed.path("to"), b"another boot");
    let said = bed.ask(bed.restore("to"), |_| false).await;
    assert_eq!((said.done().files_written, said.done().files_same), (2, total - 2));
    assert_eq!(fs::metadata(&untouched).unwrap().ino(), inode, "right content is left in place");
    bed.assert_restored("to");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_restore_to_the_same_directory_is_refused_meanwhile() {
    let bed = Bed::make().await;
    fs::write(bed.folder.join("file"), "x").unwrap();
    bed.backup().await;
    let held = Target::open(&bed.path("to"), TargetOptions::default()).unwrap();
    let said = bed.ask(bed.restore("to"), |_| false).await;
    assert!(said.failure().message.contains("another restore"), "{:?}", said.failure());
    drop(held);
    bed.ask(bed.restore("to"), |_| false).await.done();
    bed.assert_restored("to");
}

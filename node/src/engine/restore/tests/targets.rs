//! What stands in the target already, and which part of a snapshot is restored.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn existing_files_are_treated_by_policy() {
    let bed = Bed::make().await;
    for name in ["older", "newer", "same", "missing"] {
        fs::write(bed.folder.join(name), format!("of the snapshot: {name}")).unwrap();
        set_modified(&bed.folder.join(name), 1000, 0);
    }
    bed.backup().await;
    for (policy, older, newer, left) in [
        (Overwrite::Never, false, false, 2),
        (Overwrite::Newer, true, false, 1),
        (Overwrite::Changed, true, true, 0),
        (Overwrite::Always, true, true, 0),
    ] {
        let to = format!("{policy:?}");
        let at = bed.below(&to);
        fs::create_dir_all(&at).unwrap();
        for (name, time) in [("older", 500), ("newer", 1500)] {
            fs::write(at.join(name), "mine").unwrap();
            set_modified(&at.join(name), time, 0);
        }
        fs::write(at.join("same"), "of the snapshot: same").unwrap();
        set_modified(&at.join("same"), 1000, 0);
        let inode = fs::metadata(at.join("same")).unwrap().ino();
        let said = bed.ask(bed.restore_with(&to, policy), |_| false).await;
        let is_restored = |name: &str| fs::read(at.join(name)).unwrap() != b"mine";
        assert_eq!((is_restored("older"), is_restored("newer")), (older, newer), "{policy:?}");
        assert!(is_restored("missing"));
        let done = said.done();
        assert_eq!((done.files_left, done.files_same), (left, 1), "{policy:?}: {done:?}");
        // Its content is right: it is left in place, whatever the policy.
        assert_eq!(fs::metadata(at.join("same")).unwrap().ino(), inode, "{policy:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn right_bytes_of_the_file_that_stands_there_are_taken_over() {
    let bed = Bed::make().await;
    make_files(&bed.folder);
    bed.backup().await;
    bed.ask(bed.restore("to"), |_| false).await.done();
    // A file that grew and changed in the middle, and one whose time alone differs.
    let (grown, touched) = (bed.below("to").join("larger"), bed.below("to").join("b/large"));
    let file = fs::File::options().append(true).open(&grown).unwrap();
    std::io::Write::write_all(&mut &file, b"more").unwrap();
    let file = fs::File::options().write(true).open(&grown).unwrap();
    file.write_all_at(b"other", 7 << 20).unwrap();
    set_modified(&touched, 5, 5);
    let inode = fs::metadata(&touched).unwrap().ino();
    let said = bed.ask(bed.restore("to"), |_| false).await;
    assert_eq!(said.done().files_written, 1);
    assert_eq!(fs::metadata(&touched).unwrap().ino(), inode);
    bed.assert_restored("to");
}

#[tokio::test(flavor = "multi_thread")]
async fn hard_links_are_links_unless_the_first_is_kept() {
    let bed = Bed::make().await;
    fs::write(bed.folder.join("1"), "linked").unwrap();
    for name in ["2", "3"] {
        fs::hard_link(bed.folder.join("1"), bed.folder.join(name)).unwrap();
    }
    bed.backup().await;
    let at = bed.below("to");
    fs::create_dir_all(&at).unwrap();
    fs::write(at.join("1"), "mine").unwrap();
    let said = bed.ask(bed.restore_with("to", Overwrite::Never), |_| false).await;
    assert_eq!(said.done().files_left, 1);
    assert_eq!(fs::read(at.join("1")).unwrap(), b"mine");
    let inode = |name| fs::metadata(at.join(name)).unwrap().ino();
    assert_eq!(inode("2"), inode("3"));
    assert_eq!(fs::read(at.join("2")).unwrap(), b"linked");
    bed.ask(bed.restore("to"), |_| false).await.done();
    bed.assert_restored("to");
}

#[tokio::test(flavor = "multi_thread")]
async fn some_paths_come_with_the_directories_above_them_alone() {
    let bed = Bed::make().await;
    make_files(&bed.folder);
    fs::set_permissions(bed.folder.join("b"), fs::Permissions::from_mode(0o751)).unwrap();
    set_modified(&bed.folder.join("b"), 1_234, 5);
    bed.backup().await;
    let absolute = bed.folder.join("a/small 5");
    let paths = ["b/c", absolute.to_str().unwrap()];
    let said = bed.ask(bed.restore_paths("to", &paths, false), |_| false).await;
    assert_eq!((said.done().files_written, said.done().directories), (42, 4));
    let at = bed.below("to");
    assert_same(&bed.folder.join("b/c"), &at.join("b/c"));
    assert_eq!(files_below(&at).len(), 42);
    let above = fs::metadata(at.join("b")).unwrap();
    assert_eq!((above.mode() & 0o7777, above.mtime(), above.mtime_nsec()), (0o751, 1_234, 5));
    // Now that it is there, its attributes are the user's.
    fs::set_permissions(at.join("b"), fs::Permissions::from_mode(0o700)).unwrap();
    bed.ask(bed.restore_paths("to", &["b/d/small 1"], false), |_| false).await.done();
    assert_eq!(fs::metadata(at.join("b")).unwrap().mode() & 0o7777, 0o700);
    let said = bed.ask(bed.restore_paths("to", &["b/nothing"], false), |_| false).await;
    assert!(said.failure().message.contains("no b/nothing"), "{:?}", said.failure());
}

#[tokio::test(flavor = "multi_thread")]
async fn directories_on_the_way_keep_what_they_have_and_are_no_symlinks() {
    let bed = Bed::make().await;
    fs::write(bed.folder.join("file"), "x").unwrap();
    bed.backup().await;
    let names: Vec<_> = bed.folder.strip_prefix("/").unwrap().components().collect();
    let first = bed.path("to").join(names[0]);
    fs::create_dir_all(&first).unwrap();
    fs::set_permissions(&first, fs::Permissions::from_mode(0o711)).unwrap();
    bed.ask(bed.restore("to"), |_| false).await.done();
    bed.assert_restored("to");
    assert_eq!(fs::metadata(&first).unwrap().mode() & 0o7777, 0o711);

    let outside = bed.path("outside");
    fs::create_dir_all(&outside).unwrap();
    fs::create_dir_all(bed.path("swapped")).unwrap();
    symlink(&outside, bed.path("swapped").join(names[0])).unwrap();
    let said = bed.ask(bed.restore("swapped"), |_| false).await;
    assert_eq!(said.failure().kind, ExitKind::Failed);
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_tells_and_changes_nothing() {
    let bed = Bed::make().await;
    make_files(&bed.folder);
    bed.backup().await;
    let said = bed.ask(bed.restore_paths("to", &["b/c"], true), |_| false).await;
    assert!(said.done().dry_run && !bed.path("to").exists());
    assert_eq!((said.done().files_written, said.rows().len()), (41, 43));
    assert_eq!(said.rows()["b/c/small 1"], 3000);
    bed.ask(bed.restore("to"), |_| false).await.done();
    fs::write(bed.below("to").join("a/small 2"), "changed").unwrap();
    fs::remove_file(bed.below("to").join("larger")).unwrap();
    let said = bed.ask(bed.restore_paths("to", &[], true), |_| false).await;
    let rows: Vec<String> = said.rows().into_keys().collect();
    assert_eq!(rows, ["a/small 2", "larger"]);
    assert_eq!(said.done().files_written, 2);
    assert_eq!(fs::read(bed.below("to").join("a/small 2")).unwrap(), b"changed");
}

#[tokio::test(flavor = "multi_thread")]
async fn hard_links_are_restored_when_the_first_name_has_no_place() {
    let bed = Bed::make().await;
    fs::write(bed.folder.join("1"), "linked").unwrap();
    for name in ["2", "3"] {
        fs::hard_link(bed.folder.join("1"), bed.folder.join(name)).unwrap();
    }
    bed.backup().await;
    let at = bed.below("to");
    fs::create_dir_all(at.join("1/in the way")).unwrap();
    let said = bed.ask(bed.restore("to"), |_| false).await;
    assert_eq!(said.problems().len(), 1, "{:?}", said.problems());
    assert_eq!(fs::read(at.join("2")).unwrap(), b"linked");
    let inode = |name| fs::metadata(at.join(name)).unwrap().ino();
    assert_eq!(inode("2"), inode("3"));
}

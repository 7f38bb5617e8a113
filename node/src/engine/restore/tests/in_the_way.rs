//! What the user has put where the snapshot has something of another kind.

use super::*;

const POLICIES: [Overwrite; 4] =
    [Overwrite::Never, Overwrite::Newer, Overwrite::Changed, Overwrite::Always];

/// Restores dry, and then truly; both say the same.
async fn restore_twice(bed: &Bed, policy: Overwrite) -> Said {
    let Command::Restore { snapshot, paths, to, overwrite, .. } = bed.restore_with("to", policy)
    else {
        panic!("not a restore");
    };
    let real = Command::Restore { snapshot, paths, to, overwrite, dry_run: false };
    let mut dry = real.clone();
    if let Command::Restore { dry_run, .. } = &mut dry {
        *dry_run = true;
    }
    let (dry, real) = (bed.ask(dry, |_| false).await, bed.ask(real, |_| false).await);
    assert_eq!(dry.problems(), real.problems(), "{policy:?}");
    let figures = |said: &Said| match &said.ended {
        Ok(Outcome::Restore(done)) => {
            let (written, same, left) = (done.files_written, done.files_same, done.files_left);
            Ok((written, same, left, done.directories, done.bytes, done.problems_total))
        }
        Ok(other) => panic!("{other:?}"),
        Err(failure) => Err((failure.kind, failure.message.clone(), failure.hint.clone())),
    };
    assert_eq!(figures(&dry), figures(&real), "{policy:?}");
    real
}

/// A folder with `dir`, `file` and `link`, each beside something that has its place.
async fn bed_with_one_of_each() -> Bed {
    let bed = Bed::make().await;
    fs::create_dir_all(bed.folder.join("dir/sub")).unwrap();
    for name in ["dir/1", "dir/sub/2", "file", "beside"] {
        fs::write(bed.folder.join(name), format!("of the snapshot: {name}")).unwrap();
        // Older and newer than whatever will stand in the way: no time matters.
        set_modified(&bed.folder.join(name), if name == "file" { 1 } else { 4_000_000_000 }, 0);
    }
    symlink("beside", bed.folder.join("link")).unwrap();
    fs::hard_link(bed.folder.join("beside"), bed.folder.join("beside too")).unwrap();
    bed.backup().await;
    bed
}

async fn assert_told(bed: &Bed, name: &str, there: &str, wanted: &str, put: impl Fn(&Path)) {
    for policy in POLICIES {
        let _absent = fs::remove_dir_all(bed.path("to"));
        let at = bed.below("to");
        fs::create_dir_all(&at).unwrap();
        put(&at.join(name));
        let said = restore_twice(bed, policy).await;
        assert_eq!(
            fs::read(at.join("beside")).unwrap(),
            fs::read(bed.folder.join("beside")).unwrap()
        );
        if policy == Overwrite::Always {
            assert_eq!(said.problems(), [""; 0]);
            bed.assert_restored("to");
            continue;
        }
        let expected = format!(
            "{}: {there} is in the way of {wanted} and was kept: move it away and run the same \
             command again, or give --overwrite always",
            at.join(name).display()
        );
        assert_eq!(said.problems(), [expected], "{policy:?}");
        assert_eq!(Outcome::Restore(said.done().clone()).exit_kind(), ExitKind::Unreadable);
        let kept = fs::symlink_metadata(at.join(name)).unwrap().file_type();
        let original = fs::symlink_metadata(bed.folder.join(name)).unwrap().file_type();
        assert_ne!(kept, original, "{policy:?}");
        // Once it is out of the way, the rest comes as well.
        fs::rename(at.join(name), bed.path("moved away")).unwrap();
        assert_eq!(restore_twice(bed, policy).await.problems(), [""; 0], "{policy:?}");
        if policy == Overwrite::Never {
            // What it found keeps its attributes; they are set now.
            bed.ask(bed.restore("to"), |_| false).await.done();
        }
        bed.assert_restored("to");
        let moved = bed.path("moved away");
        if moved.is_dir() { fs::remove_dir_all(&moved) } else { fs::remove_file(&moved) }.unwrap();
    }
}

// FILES-42
#[tokio::test(flavor = "multi_thread")]
async fn a_file_where_a_folder_goes_is_kept_and_named() {
    let bed = bed_with_one_of_each().await;
    let put = |path: &Path| fs::write(path, "precious").unwrap();
    assert_told(&bed, "dir", "a file", "a folder", put).await;
}

// FILES-42
#[tokio::test(flavor = "multi_thread")]
async fn a_symlink_where_a_folder_goes_is_kept_and_named() {
    let bed = bed_with_one_of_each().await;
    let outside = bed.path("outside");
    fs::create_dir(&outside).unwrap();
    let put = |path: &Path| symlink(&outside, path).unwrap();
    assert_told(&bed, "dir", "a symlink", "a folder", put).await;
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
}

// FILES-42
#[tokio::test(flavor = "multi_thread")]
async fn an_empty_folder_where_a_file_or_a_symlink_goes_is_kept_and_named() {
    let bed = bed_with_one_of_each().await;
    let put = |path: &Path| fs::create_dir(path).unwrap();
    assert_told(&bed, "file", "a folder", "a file", put).await;
    assert_told(&bed, "link", "a folder", "a symlink", put).await;
}

// FILES-42
#[tokio::test(flavor = "multi_thread")]
async fn a_symlink_where_a_file_goes_and_the_other_way_round_are_kept_and_named() {
    let bed = bed_with_one_of_each().await;
    let put = |path: &Path| symlink("nowhere", path).unwrap();
    assert_told(&bed, "file", "a symlink", "a file", put).await;
    assert_told(&bed, "beside too", "a symlink", "a file", put).await;
    let put = |path: &Path| fs::write(path, "precious").unwrap();
    assert_told(&bed, "link", "a file", "a symlink", put).await;
}

// FILES-32, FILES-42
#[tokio::test(flavor = "multi_thread")]
async fn a_folder_with_entries_where_a_file_or_a_symlink_goes_is_kept_by_every_policy() {
    let bed = bed_with_one_of_each().await;
    for name in ["file", "link"] {
        for policy in POLICIES {
            let _absent = fs::remove_dir_all(bed.path("to"));
            let at = bed.below("to").join(name);
            fs::create_dir_all(&at).unwrap();
            fs::write(at.join("mine"), "precious").unwrap();
            let said = restore_twice(&bed, policy).await;
            let expected = format!(
                "{}: a folder with entries is in the way, and those are never deleted: move it \
                 away and run the same command again",
                at.display()
            );
            assert_eq!(said.problems(), [expected], "{policy:?}");
            assert_eq!(fs::read(at.join("mine")).unwrap(), b"precious");
            assert_eq!(fs::read_dir(bed.below("to")).unwrap().count(), 5);
        }
    }
}

// FILES-42
#[tokio::test(flavor = "multi_thread")]
async fn a_file_where_the_folder_itself_or_one_above_it_goes_ends_the_restore() {
    let bed = bed_with_one_of_each().await;
    for policy in POLICIES {
        let _absent = fs::remove_dir_all(bed.path("to"));
        let at = bed.below("to");
        fs::create_dir_all(at.parent().unwrap()).unwrap();
        fs::write(&at, "precious").unwrap();
        let said = restore_twice(&bed, policy).await;
        if policy == Overwrite::Always {
            bed.assert_restored("to");
        } else {
            assert_eq!(fs::read(&at).unwrap(), b"precious");
            let failure = said.failure();
            assert_eq!(failure.kind, ExitKind::Failed);
            assert!(failure.message.contains("is a file, where a folder should be"), "{failure:?}");
            assert!(failure.hint.as_ref().unwrap().contains("move it away"));
        }
        fs::remove_dir_all(bed.path("to")).unwrap();
        fs::create_dir_all(at.parent().unwrap().parent().unwrap()).unwrap();
        fs::write(at.parent().unwrap(), "precious").unwrap();
        let said = restore_twice(&bed, policy).await;
        assert!(said.failure().message.contains("is a file, where a folder should be"));
        assert_eq!(fs::read(at.parent().unwrap()).unwrap(), b"precious");
    }
}

// FILES-43
#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_is_a_file_is_said_to_be_one() {
    let bed = bed_with_one_of_each().await;
    fs::write(bed.path("to"), "precious").unwrap();
    let said = restore_twice(&bed, Overwrite::Changed).await;
    let failure = said.failure();
    assert!(failure.message.contains("to: it is no directory"), "{failure:?}");
    assert!(failure.hint.as_ref().unwrap().contains("name a directory with --to"));
    assert_eq!(fs::read(bed.path("to")).unwrap(), b"precious");
}

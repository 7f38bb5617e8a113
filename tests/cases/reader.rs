//! The promise "your data outlives this program": the reader in Python, written from specs/ alone,
//! restores from what lies on one holder's disk, with the phrase and nothing else.

use std::{env, path::PathBuf, process::Command};

use larder_tests::{circle::Circle, node::COMMAND_LIMIT, process::run, skipped, tree, workspace};

/// A Python that has the libraries of `tests/reader/requirements.txt`.
fn python() -> Option<PathBuf> {
    let made_by_ci = workspace().join("target/reader-venv/bin/python");
    let named = env::var_os("LARDER_READER_PYTHON").map(PathBuf::from);
    let candidates = [named, Some(made_by_ci), Some("python3".into())];
    candidates.into_iter().flatten().find(|python| {
        let mut check = Command::new(python);
        check.args(["-c", "import blake3, cryptography, zstandard"]);
        check.output().is_ok_and(|output| output.status.success())
    })
}

#[test]
fn the_reader_restores_from_one_holders_disk() {
    let Some(python) = python() else {
        let how = "python3 -m venv target/reader-venv && target/reader-venv/bin/pip install -r \
                   tests/reader/requirements.txt";
        skipped("the reader", &format!("its Python libraries are not there; to have them: {how}"));
        return;
    };
    let mut circle = Circle::new(2);
    let folder = circle.folder("folder");
    tree::every_kind(&folder, 141);
    circle.backup(&folder);
    circle.lose_source();
    circle.holders[0].stop();
    circle.holders[1].stop();
    let target = circle.path("target");
    let mut reader = Command::new(python);
    reader.arg(workspace().join("tests/reader/larder_reader.py"));
    reader.arg("restore").arg("--home").arg(circle.holders[1].home());
    reader.arg("--phrase-file").arg(&circle.phrase).arg("--to").arg(&target);
    let output = run(&mut reader, COMMAND_LIMIT).ok();
    println!("{}", output.text());
    larder_tests::compare::assert_same_tree(&folder, &target);
}

//! The programs under test: built once per run, with the profile and target directory of the run.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use crate::workspace;

/// The `larder` program. `LARDER_BINARY` names another one to test instead.
pub fn larder() -> &'static Path {
    static LARDER: OnceLock<PathBuf> = OnceLock::new();
    LARDER.get_or_init(|| match env::var_os("LARDER_BINARY") {
        Some(path) => path.into(),
        None => build(),
    })
}

/// The directory of this run's profile, such as `target/debug`: two above the test binary.
fn profile_directory() -> PathBuf {
    let test = env::current_exe().expect("a process knows its program");
    let deps = test.parent().expect("a program lies in a directory");
    let profile = if deps.ends_with("deps") { deps.parent() } else { Some(deps) };
    profile.expect("test programs lie in PROFILE/deps").to_path_buf()
}

/// The `larder-relay` program: the one beside `LARDER_BINARY`, if that is set.
pub fn relay() -> &'static Path {
    static RELAY: OnceLock<PathBuf> = OnceLock::new();
    RELAY.get_or_init(|| larder().with_file_name("larder-relay"))
}

fn build() -> PathBuf {
    let profile = profile_directory();
    let target = profile.parent().expect("PROFILE lies in the target directory");
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(workspace());
    // The whole workspace is selected so that features resolve as in `cargo test --workspace`,
    // and what that has compiled is used again.
    // Everything was downloaded when this test was built: a network that hangs must not hang it.
    cargo.args(["build", "--offline", "--quiet", "--workspace", "--bin", "larder"]);
    cargo.args(["--bin", "larder-relay", "--target-dir"]).arg(target);
    match profile.file_name().and_then(|name| name.to_str()) {
        Some("debug") => {}
        Some(name) => {
            cargo.args(["--profile", name]);
        }
        None => panic!("{} is no profile directory", profile.display()),
    }
    let status = cargo.status().expect("cargo runs");
    assert!(status.success(), "building the programs failed");
    profile.join("larder")
}

//! Small disks that fill up: memory file systems of a given size.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use crate::{is_root, process::run};

/// A mounted small disk. Unmounted when dropped.
#[derive(Debug)]
pub struct SmallDisk {
    path: PathBuf,
}

impl SmallDisk {
    /// Mounts a disk of so many bytes at `path`, which is made. `None` where that is not allowed.
    pub fn mount(path: &Path, bytes: u64) -> Option<Self> {
        if !is_root() {
            return None;
        }
        std::fs::create_dir_all(path).expect("the temporary directory can be written");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={bytes},mode=0755"), "larder-test"]);
        // Containers often forbid mounting even to root.
        let done = run(mount.arg(path), Duration::from_secs(10));
        (done.code == Some(0)).then(|| Self { path: path.to_path_buf() })
    }

    /// Changes its size.
    pub fn resize(&self, bytes: u64) {
        let mut mount = Command::new("mount");
        mount.args(["-o", &format!("remount,size={bytes}")]);
        run(mount.arg(&self.path), Duration::from_secs(10)).ok();
    }

    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazy: a process that is being killed may still hold a file open.
        let done = run(Command::new("umount").arg("-l").arg(&self.path), Duration::from_secs(10));
        if done.code != Some(0) {
            println!("{done}");
        }
    }
}

//! What is in this process's memory stays there: keys, and what was opened with them.

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};

/// Switches core dumps off, and keeps other processes of the same user from reading this one's memory.
/// Best effort: a system that allows neither runs the program all the same.
pub fn keep_private() {
    // By its own it would still let a program be given the dump that the system names.
    let _refused = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
    let _refused = set_dumpable_behavior(DumpableBehavior::NotDumpable);
}

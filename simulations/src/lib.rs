//! Simulations: whole circles over years, in one thread, in seconds.
//!
//! **State: its purpose, written down. This crate exports nothing yet.** What exists today is the
//! smaller world test in the protocol crate, which drives a source, holders and a restorer through
//! the same machines with a virtual clock and faults.
//!
//! What will stand here: a world (clock, links, disks, people who forget and houses that burn)
//! around the very machines that run in a device, because those take every fact as an input and
//! give every order as an output. A run is a seed and a list of inputs, so it replays exactly and
//! shrinks to what matters. Two phases, after TigerBeetle's VOPR: safety under any faults within a
//! written budget; then the faults stop in a core of the circle, and it must converge.
//!
//! **Invariant:** no clock, socket, file, thread or global randomness, as in the protocol crate:
//! two runs of one seed give one trace.
//!
//! **Invariant:** a simulation never re-implements a decision. What it cannot drive through the
//! protocol crate's machines, it does not simulate.

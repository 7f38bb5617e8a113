//! Simulations: a whole circle over weeks and years, in one thread, in seconds.
//!
//! A world (clock, lines, disks, people, disasters) around the very machines that run in a
//! device: placing, holding, recovering, fetching, and the book of heads. They take every fact as
//! an input and give every order as an output, so a run is a seed and a list of steps: it replays
//! exactly, and a failing one shrinks to what matters.
//!
//! ```text
//!  seed ──> circle (who lives where)          schedule: steps, from the seed or a file
//!              │                                  │
//!              v                                  v
//!  queue ──> world ──> device ──> shells ──> [ the machines of protocol/ ]
//!              │         └──> disk (durable, pending)    network (delays, cuts, weather)
//!              └──> model: compares what is said with what is so
//! ```
//! Two phases, after TigerBeetle's VOPR: safety under any faults within a written budget; then the
//! faults stop and whatever is healthy must converge, and every backup must come back from the
//! phrase. What is modelled and what is not: specs/simulation.md.
//!
//! **Invariant:** no clock, socket, thread or global randomness, no order that depends on a hash:
//! two runs of one scenario give one trace.
//!
//! **Invariant:** a simulation never re-implements a decision. What it cannot drive through the
//! protocol crate's machines, it does not simulate.

mod bug;
mod circle;
mod device;
mod dice;
mod disk;
mod event;
pub mod lab;
mod model;
mod network;
mod run;
pub mod schedule;
mod shrink;
pub mod trust;
mod world;

pub use bug::Bug;
pub use model::{Property, Violation};
pub use run::{Outcome, run};
pub use schedule::{Scenario, ScenarioError, Silence};
pub use shrink::shrink;

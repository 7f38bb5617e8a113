//! All end-to-end cases in one binary: linked once, one file per behaviour.
//!
//! | variable | does |
//! |---|---|
//! | `LARDER_BINARY` | the program to test, instead of the one built here |
//! | `LARDER_KILLS` | how many times processes are killed (5) |
//! | `LARDER_SEED` | the seed of every random choice |
//! | `LARDER_LARGE` | with `1`: trees and files of the sizes that are promised, for an hour or so |
//! | `LARDER_TREES` | the trees of `real_trees`, separated by `:` |
//! | `LARDER_READER_PYTHON` | the Python with the reader's libraries |

#![expect(clippy::unwrap_used, reason = "everything in this binary is a test")]

mod behind_routers;
mod canary;
mod changing_holders;
mod cloned_home;
mod corruption;
mod decoders;
mod disk_full;
mod drill;
mod family;
mod folders;
mod guardians;
mod harness;
mod households;
mod houses;
mod idle;
mod invite;
mod keyring;
mod killed_restore;
mod kills;
mod leaving;
mod looking;
mod lost_copy;
mod memory;
mod metered;
mod never_together;
mod older_head;
mod ordinary_user;
mod own_disk;
mod pacing;
mod pairing_cut;
mod passphrase;
mod phrase_alone;
mod phrase_trial;
mod proofs;
mod reader;
mod real_trees;
mod recurring;
mod rekey;
mod relay_holds;
mod revoke;
mod roles;
mod round_trip;
mod same_network;
mod second_snapshot;
mod secrets;
mod sheet;
mod spoken_code;
mod stale_log;
mod tending;
mod tidy;
mod trail;
mod two_devices;
mod wrong_input;

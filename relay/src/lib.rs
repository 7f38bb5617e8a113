//! The relay: a server that is always on, that anybody may run, and that nobody has to trust.
//!
//! **State: its purpose, written down. There is no relay yet, and nothing here pretends to be one.**
//! Nodes do not need it on a local network, nor where addresses are given with
//! `larder connect TICKET`.
//!
//! What will stand here, as parts that can be switched on one by one:
//!
//! | part | does | learns |
//! |---|---|---|
//! | traversal | helps two nodes behind NATs to a direct path, and carries their sealed packets when there is none | addresses, times, packet sizes |
//! | rendezvous | answers "where is device D now" with a record that D signed and encrypted | blinded keys, times |
//! | blind holder | keeps shards for vaults that hold a grant, by the same rules as any other holder | sizes of packs, times |
//!
//! What it will be made of: the library half of the node crate (depot, endpoint, control protocol)
//! and the holding machine of the protocol crate. The relay decides nothing of its own about
//! anybody's data.
//!
//! **Invariant:** no key of any vault ever reaches a relay, and no feature needs one to.
//!
//! **Invariant:** a lying or vanished relay costs time, never data: what it says is a hint that is
//! checked by signature or by asking, and what it keeps is counted as one holder at one site.

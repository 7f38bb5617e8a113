//! Backups and restores within one process, without a network.

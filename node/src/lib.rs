//! The shell of a Larder device: disk, network, database and command line.
//!
//! Decides nothing about people's data: `larder-protocol` does. This crate reads files, moves
//! bytes, asks clocks and carries out orders.

pub mod cli;
pub mod command;
pub mod control;
mod database;
pub mod demo;
pub mod depot;
mod descriptors;
pub mod engine;
pub mod files;
pub mod home;
mod lock;
pub mod memory;
mod metering;
pub mod net;
mod power;
pub mod state;
pub mod vaults;

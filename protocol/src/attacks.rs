//! Attacks that are none of one module: a signature in another place, a second form of a record, another algorithm.

mod algorithms;
mod canonical;
mod domains;

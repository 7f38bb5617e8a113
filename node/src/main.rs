//! The `larder` program. Everything is in the library, for the tests and the relay to use.

fn main() {}

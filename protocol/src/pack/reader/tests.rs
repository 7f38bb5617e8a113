//! Tests of `pack::reader`.



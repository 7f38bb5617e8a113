//! Tests of `index::segment`.



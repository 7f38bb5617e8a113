//! Tests of `snapshot`.



//! Tests of `manifest`.



//! Tests of `tree::diff`.



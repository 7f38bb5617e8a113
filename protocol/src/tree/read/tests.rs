//! Tests of `tree::read`.



//! Tests of `tree::node`.



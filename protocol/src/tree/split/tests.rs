//! Tests of `tree::split`.



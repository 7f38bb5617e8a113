//! What the lab does on the command line.

pub(crate) mod circle;
pub(crate) mod run;
pub(crate) mod trust;
pub(crate) mod validate;

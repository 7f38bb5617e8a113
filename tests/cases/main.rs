//! All end-to-end cases in one binary: linked once, one file per behaviour.

mod harness;
mod tidy;

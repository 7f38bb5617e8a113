//! Reading real files.

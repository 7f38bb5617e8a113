//! Walking real directories.

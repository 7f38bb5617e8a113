//! The fetching machine alone.

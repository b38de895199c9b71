//! The trees of snapshots: which directories, files and paths need a damaged content.

pub(crate) mod graph;
pub(crate) mod impact;
pub(crate) mod tree;
pub(crate) mod walk;

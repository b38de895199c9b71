//! The trees of snapshots: which directories, files and paths need a content that cannot be read.

pub(crate) mod directories;
pub(crate) mod findings;
pub(crate) mod graph;
pub(crate) mod impact;
pub(crate) mod objects;
pub(crate) mod walk;

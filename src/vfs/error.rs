//! What keeps a node from being found or read.

use crate::{object, snapshot};

/// A failure of one question to the tree; others are not concerned.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no such entry.
    #[error("there is no such entry")]
    NotFound,
    /// The node was given up.
    #[error("inode {inode} is not in use")]
    Stale {
        /// Its number.
        inode: u64,
    },
    /// It is no directory.
    #[error("it is not a directory")]
    NotADirectory,
    /// It is no file.
    #[error("it is not a file")]
    NotAFile,
    /// It is no symbolic link.
    #[error("it is not a symbolic link")]
    NotALink,
    /// The entry names no data.
    #[error("the entry names no object")]
    NoObject,
    /// A directory cannot be read.
    #[error(transparent)]
    Directory(#[from] snapshot::Error),
    /// Data cannot be read.
    #[error(transparent)]
    Data(#[from] object::Error),
}

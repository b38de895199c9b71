//! What a run leaves on the local disk for the next one: files that only the repository's keys open, and that are never
//! believed otherwise.
//!
//! [`Folder`] is where the files of one repository are, [`Sealed`] is one of them. Whatever is wrong with a file, or with
//! the folder, costs time and never an answer.

mod folder;
mod sealed;

pub(crate) use folder::{Folder, NAME, hashed};
pub(crate) use sealed::{Backing, PAGE_ROOM, Sealed, SealedWriter};

/// Bytes that all files in a directory may take together where nothing else is said.
pub(crate) const LIMIT: u64 = 4 << 30;

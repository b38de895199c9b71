//! What a kind of file server has to say and do for itself.

use std::time::SystemTime;

use crate::blob::Trouble;
use crate::blob::remote::Refusal;

/// What a folder says of one thing in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::blob) struct Entry {
    /// Its name in the folder.
    pub(in crate::blob) name: String,
    pub(in crate::blob) kind: EntryKind,
    pub(in crate::blob) modified: Option<SystemTime>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::blob) enum EntryKind {
    Folder,
    /// A file, with its size in bytes.
    File(u64),
}

/// Files below one folder of a server. Paths are below that folder, with slashes, without one at either end; the folder
/// itself is the empty path. Each call is one question, which is not asked again here.
pub(in crate::blob) trait Server: Send + Sync {
    /// What is in a folder: an answer for exactly this folder, well-formed from end to end.
    fn list(&self, folder: &str) -> Result<Vec<Entry>, Refusal>;

    /// The size of a file.
    fn size(&self, path: &str) -> Result<u64, Refusal>;

    /// A whole file of at most `limit` bytes; else its size, as far as that is known.
    fn read(&self, path: &str, limit: u64) -> Result<Result<Vec<u8>, u64>, Refusal>;

    /// Fills the buffer from `offset`; tells how many bytes there were.
    fn fill(&self, path: &str, offset: u64, buffer: &mut [u8]) -> Result<usize, Refusal>;
}

/// Whether it can be the name of something in a folder.
pub(in crate::blob) fn is_name(name: &str) -> bool {
    !matches!(name, "" | "." | "..") && !name.contains('/') && !name.chars().any(char::is_control)
}

/// What it means that no answer could be waited for.
pub(in crate::blob) fn no_runtime(error: &std::io::Error) -> Trouble {
    Trouble::new(crate::blob::Cause::Refused, format!("no thread for connections: {error}"))
}

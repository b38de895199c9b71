//! Blobs as files in folders of a server, laid out as in a directory: WebDAV and SFTP.

mod server;
mod store;
mod walk;

pub(super) use server::{Entry, EntryKind, Server, no_runtime};
pub use store::Folders;

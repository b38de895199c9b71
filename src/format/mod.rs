//! The format blob: what a repository is and the keys to read it.

mod copies;
mod error;
mod repository_format;
mod stored;

pub use error::Error;
pub use repository_format::{EpochParameters, OpenOptions, RepositoryFormat};

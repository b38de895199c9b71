//! Inside a pack blob: its postamble and the index it carries of itself.

mod error;
mod local_index;
mod postamble;
mod recover;

pub use error::Error;
pub(crate) use local_index::MAX_LOCAL_INDEX;
pub use local_index::{LocalIndex, open_local_index, read_local_index};
pub use postamble::Postamble;
pub use recover::{LocalIndexes, read_local_indexes};

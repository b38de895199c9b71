//! Files on their way into an archive or a download: whether their data can be had, and is what their entries say.

use crate::content::ContentSource;
use crate::object::{self, Reader, read_all};
use crate::snapshot::DirEntry;

/// Files up to this size are read before they are begun, so that one that cannot be read is left out. A failure in a larger one
/// comes when a part of it was given out.
const READ_FIRST: u64 = 8 << 20;

/// A file that is ready to be given out.
pub(super) enum Begun<'a> {
    Whole(Vec<u8>),
    /// The reader at its beginning, and how many bytes it has.
    Open(Box<Reader<'a>>, u64),
}

impl Begun<'_> {
    pub(super) fn length(&self) -> u64 {
        match self {
            Self::Whole(data) => data.len() as u64,
            Self::Open(_, length) => *length,
        }
    }
}

/// Why a file is not given out.
#[derive(Debug)]
pub(super) struct Unfit {
    pub(super) code: &'static str,
    pub(super) why: String,
}

impl From<object::Error> for Unfit {
    fn from(error: object::Error) -> Self {
        Self { code: error.code(), why: error.to_string() }
    }
}

/// Finds out whether the object of an entry can be read, as far as that costs little, and is as long as the entry says.
pub(super) fn begin<'a>(
    source: &dyn ContentSource,
    mut reader: Reader<'a>,
    entry: &DirEntry,
) -> Result<Begun<'a>, Unfit> {
    let begun = if entry.size <= READ_FIRST {
        Begun::Whole(read_all(source, reader.object(), READ_FIRST)?)
    } else {
        let length = reader.length()?;
        Begun::Open(Box::new(reader), length)
    };
    check_length(entry, begun.length())?;
    Ok(begun)
}

/// Data is as long as its entry says. That of files that were still being saved may be shorter.
pub(super) fn check_length(entry: &DirEntry, length: u64) -> Result<(), Unfit> {
    if length == entry.size || (length < entry.size && entry.is_checkpointed()) {
        return Ok(());
    }
    let why = format!("its data has {length} bytes, the entry says {}", entry.size);
    Err(Unfit { code: "entry-size-mismatch", why })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_is_as_long_as_its_entry_says() {
        let entry = |name: &str| DirEntry { raw_name: name.to_owned(), size: 5, ..DirEntry::default() };
        let whole = entry("a");
        assert!(check_length(&whole, 5).is_ok());
        for length in [4, 6] {
            assert_eq!(check_length(&whole, length).unwrap_err().code, "entry-size-mismatch");
        }
        let name = ".checkpointed.a.00000000-0000-0000-0000-000000000000";
        let part = entry(name);
        assert_eq!((check_length(&part, 4).is_ok(), check_length(&part, 6).is_ok()), (true, false));
    }
}

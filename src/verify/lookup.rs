//! Look-ups during a verification, which looks up millions of contents.
//!
//! An index that could not be read remembers it, and the run then ends with that error instead of a report. So here what
//! could not be looked up counts as not found.

use crate::index::{ContentId, ContentIndex, Entry, Position};

/// The entry of a content and its place.
pub(super) fn look_up(index: &ContentIndex, content: &ContentId) -> Option<(Position, Entry)> {
    index.find(content).ok().flatten()
}

/// The place of an entry of any index in this one.
pub(super) fn place_of(index: &ContentIndex, entry: &Entry) -> Option<Position> {
    Some(look_up(index, &entry.id)?.0)
}

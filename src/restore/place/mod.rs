//! The file system that is restored into: directories by descriptor, files that appear when they are whole.

mod apply;
mod attributes;
mod collision;
mod dir;
mod direct;
mod file;
mod names;
mod removal;
mod resolution;
mod staging;
mod territory;

pub(super) use apply::{Node, apply};
pub(super) use attributes::{Attributes, Have, Keep, has_similar_time, is_similar, matches};
pub(super) use collision::{Listed, spelling_of};
pub(super) use dir::{Dir, OPEN, OpenDir, kind, swap};
pub(super) use file::{OutFile, Place, Placed, make_link};
pub(super) use names::{is_staged, staged_name};
pub(super) use removal::{Fate, Stays, Sweep, list};
pub(super) use resolution::Resolution;
pub(super) use staging::Staging;
pub(crate) use territory::may_delete_in;
pub(super) use territory::{Territory, is_of_the_volume};

//! The file system that is restored into: directories by descriptor, files that appear when they are whole.

mod apply;
mod attributes;
mod collision;
mod contest;
mod dir;
mod direct;
mod file;
mod mark;
mod names;
mod open_dir;
mod patchable;
mod removal;
mod resolution;
mod session;
mod staging;
mod tally;
mod territory;

pub(super) use apply::{Node, apply};
pub(super) use attributes::{Attributes, Have, Keep, is_similar, matches};
pub(super) use collision::{Listed, spelling_of, what_is_in};
pub(super) use dir::Dir;
pub(super) use file::{OutFile, Place, Placed, make_link};
pub(super) use names::{is_staged, staged_name};
pub(super) use open_dir::{OPEN, OpenDir, kind, make_accessible, may_open, swap};
pub(super) use patchable::Base;
pub(super) use removal::{Fate, Stays, Sweep, list};
pub(super) use session::{Session, tell_unseen};
pub(super) use staging::Staging;
pub(crate) use territory::may_delete_in;
pub(super) use territory::{Territory, is_of_the_volume};

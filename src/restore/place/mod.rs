//! The file system that is restored into: directories by descriptor, files that appear when they are whole.

mod apply;
mod attributes;
mod dir;
mod file;
mod names;
mod remove;

pub(super) use apply::{Node, Proven, apply};
pub(super) use attributes::{Attributes, Have, Keep, is_similar, matches};
pub(super) use dir::{Dir, OPEN, OpenDir, kind};
pub(super) use file::{OutFile, make_link};
pub(super) use names::{is_staged, staged_name};
use remove::remove_all;
pub(super) use remove::{Sweep, list, sweep_all};

//! What is read in this run: the contents of each pack, and the order of the packs.

pub(crate) mod packs;
pub(crate) mod places;
pub(crate) mod selection;

//! Reading, decrypting and hashing the contents of packs.

pub(crate) mod batch;
pub(crate) mod lanes;
pub(crate) mod packs;
pub(crate) mod scan;
pub(crate) mod second_look;
pub(crate) mod workers;

//! The result of a verification.

pub(crate) mod assemble;
pub(crate) mod model;

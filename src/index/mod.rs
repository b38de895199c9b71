//! Which contents exist and where their bytes are.

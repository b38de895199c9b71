//! The format blob: what a repository is and the keys to read it.

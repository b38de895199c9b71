//! Named byte blobs and the stores that hold them.

//! Snapshots, their sources, directories and retention.

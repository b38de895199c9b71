//! Labelled JSON entries: snapshots, policies and the rest.

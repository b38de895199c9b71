//! The operating system: sandbox, signals, threads. Nothing here knows of backups.

pub(crate) mod adaptive_workers;
pub(crate) mod executable;
pub(crate) mod parallel;
pub(crate) mod privacy;
pub(crate) mod sandbox;
pub(crate) mod signals;

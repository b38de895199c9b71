//! The operating system: sandbox, signals, threads. Nothing here knows of backups.

pub(crate) mod adaptive_workers;
#[cfg(feature = "rclone")]
pub(crate) mod companion;
#[cfg(any(feature = "kopia-front", feature = "mover", feature = "rclone"))]
pub(crate) mod executable;
pub(crate) mod links;
pub(crate) mod mounts;
pub(crate) mod parallel;
pub(crate) mod privacy;
pub(crate) mod sandbox;
#[cfg(feature = "cli")]
pub(crate) mod signals;
pub(crate) mod sync;
#[cfg(feature = "cli")]
pub(crate) mod users;
pub(crate) mod zeros;

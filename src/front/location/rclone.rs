//! Remotes of rclone: `rclone:REMOTE:PATH`.

use std::ffi::OsStr;
use std::path::PathBuf;

use super::{Location, shown};
use crate::blob::rclone::RcloneOptions;

/// What comes before a remote.
pub(super) const BEFORE: &[u8] = b"rclone:";

/// `REMOTE:PATH` as rclone takes it.
pub(super) fn of_text(whole: &OsStr, remote: &[u8]) -> Location {
    let read = || {
        let remote = std::str::from_utf8(remote).map_err(|_| "it is not UTF-8".to_owned())?;
        at(remote.to_owned(), PathBuf::new())
    };
    read().unwrap_or_else(|reason| Location::Invalid { location: shown(whole), reason })
}

/// The remote that Kopia was given, and the rclone to start for it; an empty path is the one in `PATH`.
pub(crate) fn at(remote: String, program: PathBuf) -> Result<Location, String> {
    of_options(RcloneOptions { remote, program, ..RcloneOptions::default() })
}

pub(super) fn of_options(options: RcloneOptions) -> Result<Location, String> {
    // A name without a colon is a directory to rclone, and so is one that begins with a slash.
    let names_remote = options.remote.contains(':') && !options.remote.starts_with("//");
    if !names_remote || options.remote.starts_with('-') {
        return Err("it names no remote of rclone, as rclone:REMOTE:PATH does".into());
    }
    Ok(Location::Rclone(Box::new(options)))
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_remote_is_what_rclone_calls_one() {
        let read = |text: &str| super::Location::parse(text.as_ref());
        for text in ["rclone:drive:", "rclone:drive:backups/kopia", "rclone::local:/srv/kopia"] {
            assert_eq!(read(text).to_string(), text);
            assert!(matches!(read(text), super::Location::Rclone(_)), "{text}");
        }
        for text in ["rclone:", "rclone:drive", "rclone://drive/path", "rclone:-x:y"] {
            assert!(matches!(read(text), super::Location::Invalid { .. }), "{text}");
        }
    }
}

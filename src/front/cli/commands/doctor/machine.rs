//! What the machine offers: room at the target, and features of its kernel.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nix::libc::O_TMPFILE;
use nix::sys::statvfs::{FsFlags, statvfs};

use super::{Check, Report, State};
use crate::blob::Guard;
use crate::front::cli::failure::Failure;
use crate::front::cli::units::human_size;
use crate::os::sandbox::{self, existing_directory};

/// The target of a restore, as it was before the repository was opened.
pub(super) struct ManifestMemory {
    target: PathBuf,
    /// The file system that it is or will be in.
    found: Result<Found, String>,
}

struct Found {
    directory: PathBuf,
    free: u64,
    read_only: bool,
    /// Whether files can be written before they have a name.
    unnamed: io::Result<()>,
}

impl ManifestMemory {
    pub(super) fn of(target: Option<&Path>) -> Option<Self> {
        let target = target?.to_owned();
        let found = Found::at(&target);
        Some(Self { target, found })
    }

    /// Compares the room with the bytes of the snapshots to restore.
    pub(super) fn check(&self, guard: &Guard, needed: Option<u64>, report: &mut Report) {
        let target = self.target.display();
        if let Err(error) = guard.writable_tree(&self.target, false) {
            return report.failure("target", &Failure::from(error));
        }
        let found = match &self.found {
            Ok(found) => found,
            Err(reason) => {
                return report.add("target", State::Failed, format!("{target}: {reason}"), &[]);
            }
        };
        if found.read_only {
            let help = ["mount it writable, or give another target"];
            return report.add("target", State::Failed, format!("{target} is read-only"), &help);
        }
        let free = human_size(found.free);
        match needed {
            Some(needed) if needed > found.free => report.add(
                "target",
                State::Failed,
                format!("{target} has {free} free, and the newest snapshot takes {}", human_size(needed)),
                &["make room, or give another target; files that are there already and match are kept and need none"],
            ),
            Some(needed) => report.ok(
                "target",
                format!("{target} has {free} free for {}", human_size(needed)),
            ),
            None => report.add(
                "target",
                State::NotChecked,
                format!("{target} has {free} free; how much is needed is not known"),
                &[],
            ),
        }
        match &found.unnamed {
            Ok(()) => report.ok("files", "new files get their name when they are complete (O_TMPFILE)"),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => report.add(
                "files",
                State::Failed,
                format!("this user cannot make files in {}: {error}", found.directory.display()),
                &["run the restore as a user that may write there"],
            ),
            Err(_) => report.ok(
                "files",
                "the file system has no O_TMPFILE: new files have a temporary name until they are complete",
            ),
        }
    }
}

impl Found {
    fn at(target: &Path) -> Result<Self, String> {
        if target.exists() && !target.is_dir() {
            return Err("it is not a directory".to_owned());
        }
        let directory = existing_directory(target).ok_or("no directory above it exists")?;
        let stat = statvfs(&directory).map_err(|e| e.to_string())?;
        let free = u128::from(stat.blocks_available()) * u128::from(stat.fragment_size());
        // The file has no name and is gone when it is closed.
        let unnamed = OpenOptions::new().write(true).custom_flags(O_TMPFILE).open(&directory).map(drop);
        Ok(Self {
            free: u64::try_from(free).unwrap_or(u64::MAX),
            read_only: stat.flags().contains(FsFlags::ST_RDONLY),
            unnamed,
            directory,
        })
    }
}

/// What the kernel has.
pub(super) fn kernel() -> Option<Check> {
    let mut report = Report::default();
    match sandbox::is_available() {
        Ok(()) => report.ok("kernel", "Landlock is there: --sandbox auto restricts what rokopia can reach"),
        Err(reason) => report.add(
            "kernel",
            State::Warning,
            format!("--sandbox auto would not restrict files: {reason}"),
            &["restores work without it"],
        ),
    }
    report.0.pop()
}

//! Giving up what the process does not need, before it parses what others wrote: files elsewhere, other programs, the
//! network. What the kernel cannot take away stays, and the result says so.

#[cfg(feature = "sandbox")]
mod calls;
#[cfg(feature = "sandbox")]
mod files;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

/// Turns the sandbox on where there is no option for it.
const VARIABLE: &str = "ROKOPIA_SANDBOX";

/// Whether reading is limited to some places.
static LIMITS_READING: AtomicBool = AtomicBool::new(false);

/// What a process still needs. Everything else is given up by [`enter`](Self::enter).
///
/// ```no_run
/// use rokopia::Sandbox;
///
/// Sandbox::default().repository("/mnt/kopia").writing("/srv/data").enter().log();
/// assert!(std::fs::write("/tmp/elsewhere", "").is_err());
/// ```
#[derive(Debug, Clone, Default)]
pub struct Sandbox {
    off: bool,
    reads_anywhere: bool,
    listens: bool,
    connects: bool,
    repositories: Vec<PathBuf>,
    readable: Vec<PathBuf>,
    listable: Vec<PathBuf>,
    writable: Vec<PathBuf>,
}

/// What the process can no longer do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SandboxStatus {
    /// The sandbox is turned off.
    Off,
    /// Restricted as far as the kernel can.
    Restricted {
        /// Access to files; else why not.
        files: Result<Enforcement, String>,
        /// System calls that start programs, reach into other processes, mount, or open the network; else why not.
        calls: Result<Enforcement, String>,
    },
}

/// How much of a restriction the kernel enforces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Enforcement {
    /// All of it.
    Full,
    /// The part for which this older kernel has rules.
    Partial,
}

impl SandboxStatus {
    /// One line in the log, at level `debug`.
    pub fn log(&self) {
        tracing::debug!("{self}");
    }
}

impl fmt::Display for SandboxStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Restricted { files, calls } = self else { return f.write_str("sandbox: turned off") };
        match (files, calls) {
            (Ok(Enforcement::Full), Ok(_)) => f.write_str("sandbox: files and system calls are restricted"),
            (Ok(Enforcement::Partial), Ok(_)) => {
                f.write_str("sandbox: files and system calls are restricted as far as this kernel can")
            }
            (Err(reason), Ok(_)) => {
                write!(f, "sandbox: system calls are restricted, but files are not: {reason}")
            }
            (Ok(_), Err(reason)) => {
                write!(f, "sandbox: files are restricted, but system calls are not: {reason}")
            }
            (Err(files), Err(calls)) => {
                write!(f, "sandbox: not available; files: {files}; system calls: {calls}")
            }
        }
    }
}

impl Sandbox {
    /// The sandbox where `ROKOPIA_SANDBOX` says `auto`, else none.
    #[must_use]
    pub fn from_env() -> Self {
        Self { off: std::env::var_os(VARIABLE).is_none_or(|value| value != "auto"), ..Self::default() }
    }

    /// One that is never entered.
    #[must_use]
    pub fn off() -> Self {
        Self { off: true, ..Self::default() }
    }

    /// Reads the repository in a directory, and what links in its upper levels lead to: a shard directory may have been
    /// moved to another disk.
    #[must_use]
    pub fn repository(mut self, directory: impl Into<PathBuf>) -> Self {
        self.repositories.push(directory.into());
        self
    }

    /// Reads a file, or everything in a directory.
    #[must_use]
    pub fn reading(mut self, path: impl Into<PathBuf>) -> Self {
        self.readable.push(path.into());
        self
    }

    /// Sees which files there are in a directory, without reading them.
    #[must_use]
    pub fn listing(mut self, directory: impl Into<PathBuf>) -> Self {
        self.listable.push(directory.into());
        self
    }

    /// Reads anything that its user may: for a service, whose storage may be mounted again and whose secrets are replaced.
    #[must_use]
    pub fn reading_anywhere(mut self) -> Self {
        self.reads_anywhere = true;
        self
    }

    /// Writes in a directory. Of a file, or of what is not there yet, that is the nearest directory above which is.
    #[must_use]
    pub fn writing(mut self, path: impl Into<PathBuf>) -> Self {
        self.writable.push(path.into());
        self
    }

    /// Answers over the network; else there is none.
    #[must_use]
    pub fn listening(mut self) -> Self {
        self.listens = true;
        self
    }

    /// Asks servers over the network, whose names it looks up; else there is none.
    #[must_use]
    pub fn connecting(mut self) -> Self {
        self.connects = true;
        self
    }

    /// Gives up everything else, for this thread and those that it starts from here on, for good. What cannot be given
    /// up keeps nobody from going on.
    pub fn enter(&self) -> SandboxStatus {
        if self.off {
            return SandboxStatus::Off;
        }
        self.restrict()
    }

    #[cfg(feature = "sandbox")]
    fn restrict(&self) -> SandboxStatus {
        crate::os::parallel::available_threads();
        // Where the kernel refuses, both of the following do so as well, and say why.
        let _ = nix::sys::prctl::set_no_new_privs();
        let files = files::restrict(self);
        if files.is_ok() && !self.reads_anywhere {
            LIMITS_READING.store(true, Ordering::Relaxed);
        }
        SandboxStatus::Restricted { files, calls: calls::restrict(self).map(|()| Enforcement::Full) }
    }

    #[cfg(not(feature = "sandbox"))]
    fn restrict(&self) -> SandboxStatus {
        let reason = "this program was built without the feature `sandbox`".to_owned();
        SandboxStatus::Restricted { files: Err(reason.clone()), calls: Err(reason) }
    }
}

/// Whether this kernel can restrict files. Nothing is restricted by asking.
///
/// # Errors
/// Why it cannot.
#[cfg(feature = "cli")]
pub(crate) fn is_available() -> Result<(), String> {
    #[cfg(feature = "sandbox")]
    return files::is_available();
    #[cfg(not(feature = "sandbox"))]
    Err("this program was built without the feature `sandbox`".to_owned())
}

/// Whether a file that cannot be opened may be one that this process gave up.
#[must_use]
pub(crate) fn limits_reading() -> bool {
    LIMITS_READING.load(Ordering::Relaxed)
}

/// The nearest directory that is there: the path itself, or one above it.
pub(crate) fn existing_directory(path: &Path) -> Option<PathBuf> {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    path.ancestors().find(|path| path.is_dir()).map(Path::to_path_buf)
}

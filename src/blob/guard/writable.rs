//! Paths that may be written to, and what writes to them.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// A path that was found to lie outside of the repository. Only [`Guard`](super::Guard) makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WritablePath(PathBuf);

impl WritablePath {
    pub(super) fn new(path: &Path) -> Self {
        Self(path.to_path_buf())
    }

    /// The path.
    #[must_use]
    pub fn as_path(&self) -> &Path {
        &self.0
    }

    /// The same with something behind its last name, as for the file that takes its place.
    pub(crate) fn with_suffix(&self, suffix: &str) -> Self {
        let mut path = self.0.as_os_str().to_owned();
        path.push(suffix);
        Self(path.into())
    }

    /// Something in this directory.
    pub(crate) fn child(&self, name: &str) -> Self {
        Self(self.0.join(name))
    }

    /// Makes the directory, and those above it that are missing.
    pub(crate) fn create_dir_all(&self) -> io::Result<()> {
        fs::create_dir_all(&self.0)
    }

    /// Makes the directory, and those above it that are missing, for their owner alone.
    pub(crate) fn create_private_dir_all(&self) -> io::Result<()> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.0)
    }

    /// Makes the directory above, and those above that, for their owner alone.
    pub(crate) fn create_private_parent(&self) -> io::Result<()> {
        match self.0.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            Some(parent) => Self::new(parent).create_private_dir_all(),
            None => Ok(()),
        }
    }

    /// Makes the directory, which must not be there.
    pub(crate) fn create_dir(&self) -> io::Result<()> {
        fs::create_dir(&self.0)
    }

    /// Opens the file for reading and appending, and makes it where it is missing.
    pub(crate) fn append(&self) -> io::Result<File> {
        OpenOptions::new().read(true).append(true).create(true).open(&self.0)
    }

    /// Opens a file without a name in this directory. Where that is not possible it has a name for a moment.
    pub(crate) fn unnamed_file(&self, name: &str, mode: u32) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).mode(mode);
        match options.clone().custom_flags(nix::libc::O_TMPFILE).open(&self.0) {
            Err(e) if is_unsupported(&e) => {
                let path = self.0.join(name);
                let file = options.create_new(true).open(&path)?;
                fs::remove_file(&path)?;
                Ok(file)
            }
            other => other,
        }
    }

    /// Gives the file another name.
    pub(crate) fn rename(&self, to: &Self) -> io::Result<()> {
        fs::rename(&self.0, &to.0)
    }

    /// Replaces the file in one step: under its name it is complete, or what it was before. With a mode the file has
    /// exactly that one.
    pub(crate) fn replace(&self, bytes: &[u8], mode: Option<u32>) -> io::Result<()> {
        self.replace_with(mode, |file| file.write_all(bytes))
    }

    /// The same with what `write` writes.
    pub(crate) fn replace_with(
        &self,
        mode: Option<u32>,
        write: impl FnOnce(&mut File) -> io::Result<()>,
    ) -> io::Result<()> {
        self.replace_staged(".partial", mode, write)
    }

    /// The same by way of a file with this at the end of its name, so that several processes can do so at a time.
    pub(crate) fn replace_by_way_of(
        &self,
        suffix: &str,
        mode: u32,
        write: impl FnOnce(&mut File) -> io::Result<()>,
    ) -> io::Result<()> {
        self.replace_staged(suffix, Some(mode), write)
    }

    /// Removes the file.
    pub(crate) fn remove_file(&self) -> io::Result<()> {
        fs::remove_file(&self.0)
    }

    fn replace_staged(
        &self,
        suffix: &str,
        mode: Option<u32>,
        write: impl FnOnce(&mut File) -> io::Result<()>,
    ) -> io::Result<()> {
        match self.0.metadata() {
            // A device or a pipe takes what is written; in its place a file would be in everybody's way.
            Ok(there) if !there.is_file() => {
                return write(&mut OpenOptions::new().write(true).open(&self.0)?);
            }
            // A link stays one.
            Ok(_) if self.0.is_symlink() => {
                return Self(self.0.canonicalize()?).replace_staged(suffix, mode, write);
            }
            _ => {}
        }
        let staged = self.with_suffix(suffix);
        // Never through a link that somebody put there.
        let create =
            || OpenOptions::new().write(true).create_new(true).mode(mode.unwrap_or(0o666)).open(&staged.0);
        let mut file = match create() {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                fs::remove_file(&staged.0)?;
                create()?
            }
            other => other?,
        };
        let finish = || {
            if let Some(mode) = mode {
                file.set_permissions(fs::Permissions::from_mode(mode))?;
            }
            write(&mut file)?;
            file.sync_all()?;
            staged.rename(self)
        };
        let written = finish();
        if written.is_err() {
            // The first error is the one that is reported.
            let _ = fs::remove_file(&staged.0);
        }
        written
    }
}

/// What file systems and old kernels say that cannot make files without a name.
fn is_unsupported(error: &io::Error) -> bool {
    use nix::libc::{EINVAL, EISDIR, ENOENT, EOPNOTSUPP};
    error.raw_os_error().is_some_and(|number| [EINVAL, EISDIR, ENOENT, EOPNOTSUPP].contains(&number))
}

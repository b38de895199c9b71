//! `--with`: other repositories of the same data.

use std::ffi::OsString;
use std::path::PathBuf;

use super::context::Context;

/// The other repositories that a command asks.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct OtherStores {
    /// Another repository of the same data, of Kopia or restic. It has the same password unless --with-password-file is
    /// given. May be given several times
    #[arg(long, value_name = "LOCATION")]
    with: Vec<OsString>,

    /// Password file for a --with: the first one is for the first --with, and so on
    #[arg(long, value_name = "FILE", requires = "with")]
    with_password_file: Vec<PathBuf>,
}

impl OtherStores {
    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.with.is_empty()
    }

    /// The settings of a command for each of them.
    pub(super) fn contexts<'a>(&'a self, context: &'a Context) -> impl Iterator<Item = Context> + 'a {
        self.with
            .iter()
            .enumerate()
            .map(|(at, location)| context.at(location, self.with_password_file.get(at).cloned()))
    }
}

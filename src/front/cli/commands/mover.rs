//! `rokopia mover`: VolSync's mover. Here for its help alone; see `cli::program`.

use std::ffi::OsString;

use crate::front::cli::context::Context;
use crate::front::cli::failure::{Exit, Failure};

/// Restore a volume as VolSync's mover, configured by environment variables
#[derive(Debug, clap::Args)]
#[command(after_help = "\
VolSync's operator starts the same program under the name entry.sh. See docs/volsync.md.

Examples:
  rokopia mover restore
  DIRECTION=destination rokopia mover")]
pub(in crate::front::cli) struct Args {
    /// `restore`, or `backup` where a kopia binary is on PATH; the variable DIRECTION takes precedence
    #[arg(trailing_var_arg = true, value_name = "OPERATION")]
    arguments: Vec<OsString>,
}

impl Args {
    pub(in crate::front::cli) fn run(self, _: &Context) -> Result<Exit, Failure> {
        // Options before the command's name lead here: the mover takes its settings from the environment alone.
        Err(Failure::wrong_usage("the mover takes no options: `rokopia mover` has to come first"))
    }
}

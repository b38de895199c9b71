//! `rokopia mover`: VolSync's mover. Here for its help alone; see `cli::program`.

use std::ffi::OsString;

use crate::front::cli::context::Context;
use crate::front::cli::failure::{Exit, Failure};

/// Restore a volume as VolSync's mover, configured by environment variables
#[derive(Debug, clap::Args)]
#[command(after_help = "\
VolSync's operator starts the same program under the name entry.sh. These variables matter most; docs/volsync.md lists \
all:
  DATA_DIR                     where to restore to; must exist
  KOPIA_REPOSITORY             /path, filesystem:///path or s3://bucket/prefix
  KOPIA_PASSWORD               the password
  KOPIA_OVERRIDE_USERNAME, KOPIA_OVERRIDE_HOSTNAME
                               user and host of the snapshot
  KOPIA_SOURCE_PATH_OVERRIDE   path of the snapshot; by default /data if
                               DATA_DIR is /restore/data, otherwise DATA_DIR
  KOPIA_RESTORE_AS_OF          the newest snapshot of this time or before
  KOPIA_ENABLE_FILE_DELETION   true: delete what the snapshot does not have
  ROKOPIA_STRICT               true: nothing to restore is a failure

Examples:
  DIRECTION=destination rokopia mover
  DATA_DIR=/mnt/volume KOPIA_REPOSITORY=/mnt/kopia KOPIA_PASSWORD=... \\
    KOPIA_OVERRIDE_USERNAME=data-demo KOPIA_OVERRIDE_HOSTNAME=apps \\
    KOPIA_SOURCE_PATH_OVERRIDE=/data rokopia mover restore")]
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

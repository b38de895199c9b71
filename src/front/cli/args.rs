//! What was typed: options common to all commands.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::styling::{AnsiColor, Styles};
use clap::{ArgAction, Parser, ValueEnum};

use super::commands::Command;

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default().bold())
    .placeholder(AnsiColor::Cyan.on_default());

const AFTER_HELP: &str = "\
How to name a snapshot (REF):
  latest                     the newest complete snapshot, of the only source
  3ef20a5b                   the snapshot whose ID begins with these digits
  data@nas:/srv              the newest complete snapshot of a source
  data@nas:/srv@2026-11-20   its newest one that began on that day or before
  data@nas:/srv@yesterday    the same for yesterday
  data@nas:/srv~2            the second one before its newest
  /srv                       the same, if the path belongs to one source only
  k70b2742...                an object, by the ID that Kopia prints
  REF/etc/hosts              an entry of any of these; ID:etc/hosts is the same

Sizes are written 256MiB or 1.5GB. Times are written 2026-11-21, \"2026-11-21 08:00\", 2026-11-21T08:00:00Z, or 3d for \
three days ago.

Exit codes: 0 done; 1 a definite no; 2 wrong usage; 3 could not tell or could not start; 4 done in part.

Examples:
  rokopia --repo /mnt/kopia snapshots
  rokopia --repo /mnt/kopia restore latest /srv/data";

/// Opens, restores, checks and verifies Kopia repositories, without Kopia and without writing to them
#[derive(Debug, Parser)]
#[command(
    name = "rokopia",
    version,
    styles = STYLES,
    after_help = AFTER_HELP,
    max_term_width = 100
)]
pub(super) struct Cli {
    #[command(flatten)]
    pub(super) global: Global,
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Common options")]
pub(super) struct Global {
    /// The repository: a path, s3://bucket/prefix?endpoint=https://host:port, gs://bucket/prefix, az://container/prefix,
    /// b2://bucket/prefix, webdav://host/folder, sftp://user@host/folder, rclone:REMOTE:PATH, restic:/path, or @FILE for
    /// a connection file of Kopia (repository.config) [env: ROKOPIA_REPOSITORY, KOPIA_REPOSITORY]
    #[arg(short, long, global = true, value_name = "LOCATION")]
    pub(super) repo: Option<OsString>,

    /// Read the password from a file. Without it: ROKOPIA_PASSWORD, KOPIA_PASSWORD, or a prompt [env:
    /// ROKOPIA_PASSWORD_FILE]
    #[arg(long, global = true, value_name = "FILE", conflicts_with = "password_fd")]
    pub(super) password_file: Option<PathBuf>,

    /// Read the password from an open file descriptor
    #[arg(long, global = true, value_name = "N")]
    pub(super) password_fd: Option<u32>,

    /// Maximum memory for indexes and data [default: 256MiB] [env: ROKOPIA_MEMORY]
    #[arg(long, global = true, value_name = "SIZE")]
    pub(super) memory: Option<String>,

    /// Decoding threads [default: the number of CPUs]
    #[arg(long, global = true, value_name = "N")]
    pub(super) threads: Option<usize>,

    /// Number of parallel reads from the storage [default: 16, more over a network]
    #[arg(long, global = true, value_name = "N")]
    pub(super) reads: Option<usize>,

    /// Read no more than this from the storage per second, such as 8MiB/s [env: ROKOPIA_BANDWIDTH]
    #[arg(long, global = true, value_name = "SIZE/s")]
    pub(super) bandwidth: Option<String>,

    /// Make no more requests to the storage than this per second [env: ROKOPIA_REQUESTS_PER_SECOND]
    #[arg(long, global = true, value_name = "N")]
    pub(super) requests_per_second: Option<String>,

    /// Read a bucket that keeps versions as it was at this time, for example before a deletion [env:
    /// ROKOPIA_POINT_IN_TIME]
    #[arg(long, global = true, value_name = "TIME")]
    pub(super) point_in_time: Option<String>,

    /// Print how many requests, bytes and retries the storage took, at the end [env: ROKOPIA_STATS]
    #[arg(long, global = true)]
    pub(super) stats: bool,

    /// Use what can be read of a damaged repository; lists may then be incomplete
    #[arg(long, global = true)]
    pub(super) degraded: bool,

    /// Keep the index and the list of snapshots in this directory, so that the next run reads only what is new. An index
    /// that does not fit into memory goes there, too [default: nothing is kept; a large index goes beside the target of a
    /// restore, or to the directory for temporary files] [env: ROKOPIA_CACHE_DIR]
    #[arg(long, global = true, value_name = "DIR")]
    pub(super) cache_dir: Option<PathBuf>,

    /// Maximum size of what is kept in --cache-dir; what was used longest ago is removed first [default: 4GiB] [env:
    /// ROKOPIA_CACHE_SIZE]
    #[arg(long, global = true, value_name = "SIZE")]
    pub(super) cache_size: Option<String>,

    /// Give up access to other files, programs and the network before the repository is read, as far as the kernel can
    /// [env: ROKOPIA_SANDBOX] [default: off]
    #[arg(long, global = true, value_enum, value_name = "WHEN")]
    pub(super) sandbox: Option<SandboxMode>,

    /// Print JSON for programs instead of text for people
    #[arg(long, global = true)]
    pub(super) json: bool,

    /// Print errors only
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(super) quiet: bool,

    /// Print more; -vv prints even more
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub(super) verbose: u8,

    /// When to use colours [env: NO_COLOR]
    #[arg(long, global = true, value_enum, default_value_t, value_name = "WHEN")]
    pub(super) color: Color,

    /// Format of messages on stderr
    #[arg(long, global = true, value_enum, default_value_t, value_name = "FORMAT")]
    pub(super) log_format: LogFormat,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Color {
    #[default]
    Auto,
    Always,
    Never,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum LogFormat {
    #[default]
    Text,
    Json,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum SandboxMode {
    Auto,
    Off,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definitions_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_explains_itself_with_examples() {
        for command in Cli::command().get_subcommands() {
            let name = command.get_name();
            assert!(command.get_about().is_some(), "{name} says nothing about itself");
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.contains("Examples:") && help.contains("rokopia "), "{name} has no examples");
        }
    }

    #[test]
    fn no_option_takes_the_password_itself() {
        assert!(Cli::try_parse_from(["rokopia", "--password", "x", "status"]).is_err());
        assert!(Cli::try_parse_from(["rokopia", "--password=x", "status"]).is_err());
    }
}

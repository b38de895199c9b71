//! `rokopia completions`: for shells.

use clap::ValueEnum;

use crate::front::cli::complete;
use crate::front::cli::context::Context;
use crate::front::cli::failure::{Exit, Failure};
use crate::front::cli::output::Output;

/// Print the completion script for a shell
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The script completes commands, options, and the snapshots, sources and paths of the repository in ROKOPIA_REPOSITORY. The \
password must be in the environment or in a file, because completion never asks for it.

Examples:
  rokopia completions bash > /etc/bash_completion.d/rokopia
  rokopia completions zsh > /usr/local/share/zsh/site-functions/_rokopia
  rokopia completions fish > ~/.config/fish/completions/rokopia.fish")]
pub(in crate::front::cli) struct Args {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Shell {
    Bash,
    Elvish,
    Fish,
    Powershell,
    Zsh,
}

impl Args {
    pub(in crate::front::cli) fn run(self, _: &Context) -> Result<Exit, Failure> {
        let name = match self.shell {
            Shell::Bash => "bash",
            Shell::Elvish => "elvish",
            Shell::Fish => "fish",
            Shell::Powershell => "powershell",
            Shell::Zsh => "zsh",
        };
        // Into memory first: part of a script would be worse than none.
        let script = complete::script(name).map_err(Failure::output)?;
        let mut out = Output::new();
        out.bytes(&script)?;
        out.finish()?;
        Ok(Exit::Done)
    }
}

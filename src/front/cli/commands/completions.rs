//! `rokopia completions`: for shells.

use clap::CommandFactory;
use clap_complete::Shell;

use crate::front::cli::args::Cli;
use crate::front::cli::context::Context;
use crate::front::cli::failure::{Exit, Failure};
use crate::front::cli::output::Output;

/// Print the completions for a shell
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  rokopia completions bash > /etc/bash_completion.d/rokopia
  rokopia completions fish > ~/.config/fish/completions/rokopia.fish")]
pub(in crate::front::cli) struct Args {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

impl Args {
    pub(in crate::front::cli) fn run(self, _: &Context) -> Result<Exit, Failure> {
        // Into memory first: the generator panics where it cannot write.
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "rokopia", &mut script);
        let mut out = Output::new();
        out.bytes(&script)?;
        out.finish()?;
        Ok(Exit::Done)
    }
}

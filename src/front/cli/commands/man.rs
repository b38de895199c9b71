//! `rokopia man`: manual pages.

use clap::CommandFactory;

use crate::front::cli::args::Cli;
use crate::front::cli::context::{Context, wrong_value};
use crate::front::cli::failure::{Exit, Failure};
use crate::front::cli::output::Output;

/// Print the manual page of the program or of a command
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  rokopia man | man -l -
  rokopia man restore > rokopia-restore.1")]
pub(in crate::front::cli) struct Args {
    /// The command; the program itself without
    #[arg(value_name = "COMMAND")]
    command: Option<String>,
}

impl Args {
    pub(in crate::front::cli) fn run(self, _: &Context) -> Result<Exit, Failure> {
        let mut program = Cli::command();
        program.build();
        let page = match &self.command {
            None => program,
            Some(name) => {
                let found = program.find_subcommand(name).cloned();
                found.ok_or_else(|| wrong_value("COMMAND", name, "the name of a command"))?
            }
        };
        let mut out = Output::new();
        clap_mangen::Man::new(page).render(&mut out).map_err(Failure::output)?;
        out.finish()?;
        Ok(Exit::Done)
    }
}

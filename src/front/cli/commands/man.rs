//! `rokopia man`: manual pages.

use std::path::{Path, PathBuf};

use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

use crate::blob::{BlobStore, FileSystem, Guard};
use crate::front::cli::context::{Context, wrong_value};
use crate::front::cli::failure::{Exit, Failure};
use crate::front::cli::output::Output;
use crate::front::cli::usage;

/// Print a manual page, or write those of all commands
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  rokopia man | man -l -
  rokopia man restore | man -l -
  rokopia man --all /usr/local/share/man/man1")]
pub(in crate::front::cli) struct Args {
    /// The command; without it, the page of the program itself
    #[arg(value_name = "COMMAND")]
    command: Option<String>,

    /// Write the pages of the program and of every command to this directory
    #[arg(long, value_name = "DIR", conflicts_with = "command")]
    all: Option<PathBuf>,
}

impl Args {
    pub(in crate::front::cli) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let program = usage::documented();
        if let Some(directory) = &self.all {
            return write_all(&program, directory, &guard(context));
        }
        let page = match &self.command {
            None => &program,
            Some(name) => {
                let found = program.find_subcommand(name);
                found.ok_or_else(|| wrong_value("COMMAND", name, "the name of a command"))?
            }
        };
        let mut out = Output::new();
        out.bytes(&rendered(&program, page)?)?;
        out.finish()?;
        Ok(Exit::Done)
    }
}

/// What keeps the repository, where one is named, from being written to.
fn guard(context: &Context) -> Guard {
    let directory = context.location().ok().and_then(|location| location.directory().map(Path::to_path_buf));
    let store = directory.and_then(|directory| FileSystem::open(directory).ok());
    store.map(|store| store.guard()).unwrap_or_default()
}

fn write_all(program: &clap::Command, directory: &Path, guard: &Guard) -> Result<Exit, Failure> {
    let commands = program.get_subcommands().filter(|command| command.get_name() != "help");
    for page in std::iter::once(program).chain(commands) {
        let path = directory.join(format!("{}.1", name(program, page)));
        let page = rendered(program, page)?;
        guard
            .writable(&path)?
            .replace(&page, None)
            .map_err(|e| Failure::output(e).during(&path.display().to_string()))?;
    }
    Ok(Exit::Done)
}

/// The name of a page: `rokopia-restore`.
fn name(program: &clap::Command, page: &clap::Command) -> String {
    match page.get_name() == program.get_name() {
        true => program.get_name().to_owned(),
        false => format!("{}-{}", program.get_name(), page.get_name()),
    }
}

fn rendered(program: &clap::Command, page: &clap::Command) -> Result<Vec<u8>, Failure> {
    let name = name(program, page);
    let mut text = Vec::new();
    Man::new(page.clone().display_name(&name)).title(&name).render(&mut text).map_err(Failure::output)?;
    let mut see_also = Roff::new();
    see_also.control("SH", ["SEE ALSO"]);
    let commands = program.get_subcommands().filter(|command| command.get_name() != "help");
    let others = std::iter::once(program).chain(commands).map(|other| self::name(program, other));
    let others: Vec<String> = others.filter(|other| *other != name).collect();
    for (at, other) in others.iter().enumerate() {
        let end = if at + 1 == others.len() { "(1)" } else { "(1), " };
        see_also.text([bold(other), roman(end)]);
    }
    see_also.to_writer(&mut text).map_err(Failure::output)?;
    Ok(text)
}

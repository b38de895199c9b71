//! The command line: arguments, one file per command, and what people and programs see of it.
//!
//! What was typed (`args`) is kept apart from what it means (`context`).

mod args;
mod commands;
mod complete;
mod context;
mod doubts;
mod existence;
mod failure;
mod filter;
#[cfg(any(feature = "mount", feature = "nfs"))]
mod follow;
mod help;
mod links;
mod listing;
mod logging;
mod open_repository;
mod output;
mod page;
mod program;
mod progress;
mod reference;
mod restic;
mod source_template;
mod stores;
mod tree;
mod units;
mod usage;

use std::ffi::OsString;
use std::process::ExitCode;

#[cfg(feature = "testkit")]
use clap::CommandFactory;

use context::Context;
use failure::Exit;
use program::Program;

use crate::os::signals;

/// Parses a text as every kind of argument that the command line takes: for fuzzers.
#[cfg(feature = "testkit")]
pub fn parse_as_anything(text: &str) {
    let now = jiff::Zoned::default();
    let _ = (units::size(text), units::duration(text), units::period(text, &now));
    let _ = crate::front::location::Location::parse(text.as_ref());
    let snapshots = crate::snapshot::Snapshots::new(&crate::manifest::ManifestSet::default());
    let _ = reference::resolve(&snapshots, text, &now);
    let words = std::iter::once("rokopia").chain(text.split('\0'));
    let _ = args::Cli::command().try_get_matches_from(words);
}

/// Runs the command that the process was started with.
#[must_use]
pub fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    #[cfg(feature = "rclone")]
    if let Some(error) = crate::os::companion::become_companion(&arguments) {
        return failed_to_become(&error);
    }
    if complete::answer() {
        return ExitCode::SUCCESS;
    }
    let exit = match Program::named_by(&arguments) {
        #[cfg(feature = "mover")]
        Program::Mover(arguments) => return ExitCode::from(crate::front::mover::main(arguments)),
        #[cfg(feature = "kopia-front")]
        Program::Kopia(arguments) => return crate::front::kopia::main(arguments),
        #[cfg(not(feature = "mover"))]
        Program::Mover(_) => left_out("mover"),
        #[cfg(not(feature = "kopia-front"))]
        Program::Kopia(_) => left_out("kopia-front"),
        Program::Rokopia => run(&arguments),
    };
    // A signal that arrived while the command cleaned up decides, whatever the command made of it.
    ExitCode::from(signals::exit_code().unwrap_or_else(|| exit.code()))
}

/// The end of a process that was to become another program; who started it reads this.
#[cfg(feature = "rclone")]
fn failed_to_become(error: &std::io::Error) -> ExitCode {
    use std::io::Write;

    let _ = writeln!(std::io::stderr(), "it cannot be started: {error}");
    ExitCode::FAILURE
}

/// The end of a program that this build does not contain.
#[cfg(not(all(feature = "mover", feature = "kopia-front")))]
fn left_out(feature: &str) -> Exit {
    let failure =
        failure::Failure::wrong_usage(format!("this program was built without the feature `{feature}`"));
    failure.report(false, args::Color::Auto)
}

fn run(arguments: &[OsString]) -> Exit {
    let cli = match usage::parse(arguments) {
        Ok(cli) => cli,
        Err(exit) => return exit,
    };
    let sandbox = context::sandbox(&cli.global);
    signals::install(signals::SignalPolicy { sandbox, ..signals::SignalPolicy::default() });
    let (json, color) = (cli.global.json, cli.global.color);
    if !cli.command.logs_itself() {
        logging::start(&cli.global);
    }
    let result = Context::new(&cli.global).and_then(|context| {
        let result = cli.command.run(&context);
        if let Some(counts) = context.stats() {
            logging::tell_stats(json, &counts);
        }
        result
    });
    match result {
        Ok(exit) => exit,
        Err(failure) => failure.report(json, color),
    }
}

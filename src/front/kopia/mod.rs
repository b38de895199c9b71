//! Kopia's command line, as far as it reads: programs that start `kopia` and parse what it prints run on this unchanged.
//!
//! It answers when the program is started under the name `kopia`, or as `rokopia kopia …`. What writes is handed to a real
//! Kopia, if there is one.

mod commands;
mod config;
mod connection;
mod failure;
mod globals;
mod grammar;
mod handover;
mod json;
mod output;
mod password;
mod paths;
mod sample;
mod text;
mod words;

use std::ffi::OsString;
use std::io::{Write, stderr};
use std::process::ExitCode;

use crate::Sandbox;
use crate::os::signals;
use failure::Failure;
use grammar::Request;

/// The release whose behaviour this follows.
const FOLLOWS: &str = "0.23.1";

/// Answers a command line of Kopia's, without the program's name.
pub(crate) fn main(arguments: &[OsString]) -> ExitCode {
    signals::install(signals::SignalPolicy {
        sandbox: Sandbox::from_env(),
        ..signals::SignalPolicy::default()
    });
    let exit = run(arguments).map_or_else(
        |failure| {
            if !matches!(failure, Failure::BrokenPipe) {
                say(&failure.to_string());
            }
            failure.exit_code()
        },
        |()| 0,
    );
    ExitCode::from(signals::exit_code().unwrap_or(exit))
}

/// Parses words, separated by NUL, as a command line of kopia, and a file as its configuration: for fuzzers.
#[cfg(feature = "testkit")]
pub fn parse_as_anything(words: &str, configuration: &std::path::Path) {
    let words: Vec<String> = words.split('\0').map(str::to_owned).collect();
    let _ = grammar::parse(&words, globals::FLAGS, commands::ALL, |_| None);
    if let Ok(Some(config)) = config::Config::load(configuration) {
        let _ = config.storage();
        for key in ["hostname", "username", "description"] {
            let _ = (config.text(key), config.on(key));
        }
    }
}

fn run(arguments: &[OsString]) -> Result<(), Failure> {
    let text = |argument: &OsString| {
        let text = argument.to_str().map(str::to_owned);
        text.ok_or_else(|| Failure::usage(format!("{} is not UTF-8", argument.display())))
    };
    let words = arguments.iter().map(text).collect::<Result<Vec<_>, _>>()?;
    let variable = |name: &str| std::env::var(name).ok();
    let result = match grammar::parse(&words, globals::FLAGS, commands::ALL, variable)? {
        Request::Run(run, typed) => run(&typed),
        Request::HandOver(words) => Err(Failure::Foreign(format!("`kopia {}`", words.join(" ")))),
        Request::Version => print(&format!("{FOLLOWS} build: {} from: rokopia\n", env!("CARGO_PKG_VERSION"))),
        Request::Help => print(HELP),
    };
    match result {
        Err(Failure::Foreign(what)) => Err(handover::hand_over(arguments, &what)),
        result => result,
    }
}

fn print(text: &str) -> Result<(), Failure> {
    let mut out = output::Output::new();
    out.bytes(text.as_bytes())?;
    out.finish()
}

/// A line on stderr.
fn say(message: &str) {
    // There is nowhere left to complain when stderr is gone.
    let _ = stderr().write_all(format!("{message}\n").as_bytes());
}

const HELP: &str = "\
usage: kopia [<flags>] <command> [<args> ...]

rokopia in the place of kopia: it reads, and hands what writes to the kopia that ROKOPIA_KOPIA names,
or to the next one on PATH.

Commands:
  repository connect filesystem|from-config|s3|gcs|azure, status, disconnect, set-client, throttle get|set
  cache info, set
  snapshot list, restore, verify
  list, show, restore
  policy list, show
  manifest list, show
  content list, stats, verify
  blob list, stats
  index list
  maintenance info

Flags are those of kopia 0.23.
";

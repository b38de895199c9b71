//! What was typed, parsed; and what is said where it makes no sense, or asks for help.

use std::ffi::OsString;
use std::num::ParseIntError;

use clap::builder::StyledStr;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory, FromArgMatches};

use super::args::{Cli, Color};
use super::failure::{Exit, Failure};
use super::logging::use_color_on_stdout;
use super::output::Output;

/// Where a command's help says what it has in common with the others.
const COMMON: &str = "\
Common options such as --repo, --password-file, --json, -q and -v: `rokopia --help` explains them.";

/// Parses the arguments. An error is how to end: help was printed, or the arguments make no sense and that was said.
pub(super) fn parse(arguments: &[OsString]) -> Result<Cli, Exit> {
    let typed = Cli::command()
        .try_get_matches_from(arguments)
        .and_then(|mut matches| Cli::from_arg_matches_mut(&mut matches));
    let error = match typed {
        Ok(cli) => return Ok(cli),
        Err(error) => error,
    };
    if asks_for_help(&error, arguments) {
        return Err(help(arguments, &error));
    }
    let json = arguments.iter().any(|argument| argument == "--json");
    let asked = format!("`{} --help` explains what there is", command_of(arguments));
    Err(failure(&error).with_help(asked).report(json, Color::Auto))
}

/// The definition of the command line as help, manual pages and completions show it: the common options stand in one
/// place.
pub(super) fn documented() -> clap::Command {
    let mut command = Cli::command();
    command.build();
    command.mut_subcommands(|command| {
        if command.get_name() == "help" {
            return command;
        }
        // The mover takes its settings from the environment alone.
        let takes_common = command.get_name() != "mover";
        let with_common = |help: Option<&StyledStr>| {
            help.filter(|_| takes_common).map(|help| format!("{}\n\n{COMMON}", help.ansi()))
        };
        let (short, long) =
            (with_common(command.get_after_help()), with_common(command.get_after_long_help()));
        let mut command = command.mut_args(|arg| {
            let hidden = arg.is_global_set() || arg.is_hide_set();
            arg.hide(hidden)
        });
        if let Some(short) = short {
            command = command.after_help(short);
        }
        if let Some(long) = long {
            command = command.after_long_help(long);
        }
        command
    })
}

/// The definition of the command line for completion, which offers common options everywhere.
pub(super) fn completed() -> clap::Command {
    Cli::command()
}

/// A command without anything else asks for help as well; that is no error.
fn asks_for_help(error: &clap::Error, arguments: &[OsString]) -> bool {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => true,
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => arguments.len() <= 1,
        _ => false,
    }
}

fn help(arguments: &[OsString], error: &clap::Error) -> Exit {
    let shown = match documented().try_get_matches_from(arguments) {
        Err(shown) if shown.kind() == error.kind() => shown.render(),
        _ => error.render(),
    };
    print(&shown).unwrap_or_else(|failure| failure.exit)
}

/// Prints the short help of a command.
pub(super) fn print_help(command: &str) -> Result<Exit, Failure> {
    let mut program = documented();
    let command = program.find_subcommand_mut(command);
    print(&command.map(clap::Command::render_help).unwrap_or_default())
}

fn print(shown: &StyledStr) -> Result<Exit, Failure> {
    let color = use_color_on_stdout();
    let text = if color { shown.ansi().to_string() } else { shown.to_string() };
    let mut out = Output::new();
    out.bytes(text.as_bytes())?;
    out.finish()?;
    Ok(Exit::Done)
}

/// The failure for arguments that make no sense, in our words.
fn failure(error: &clap::Error) -> Failure {
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.as_str()),
        _ => None,
    };
    let texts = |kind| match error.get(kind) {
        Some(ContextValue::Strings(texts)) => texts.clone(),
        Some(ContextValue::String(text)) => vec![text.clone()],
        _ => Vec::new(),
    };
    let argument = text(ContextKind::InvalidArg).map(|shown| shown.split([' ', '=']).next().unwrap_or(shown));
    let value = text(ContextKind::InvalidValue).unwrap_or_default();
    let message = match (error.kind(), argument) {
        (ErrorKind::InvalidValue, Some(argument)) => {
            let expected = alternatives(&texts(ContextKind::ValidValue));
            match value {
                "" => format!("{argument} needs a value: expected {expected}"),
                _ => format!("invalid value {value:?} for {argument}: expected {expected}"),
            }
        }
        (ErrorKind::ValueValidation, Some(argument)) => {
            let why = std::error::Error::source(error);
            let expected = match why {
                Some(why) if why.is::<ParseIntError>() => "expected a number".to_owned(),
                Some(why) => why.to_string(),
                None => "expected something else".to_owned(),
            };
            format!("invalid value {value:?} for {argument}: {expected}")
        }
        (ErrorKind::MissingRequiredArgument, _) => {
            format!("missing: {}", texts(ContextKind::InvalidArg).join(", "))
        }
        (ErrorKind::UnknownArgument, Some(argument)) => match argument.starts_with('-') {
            true => format!("there is no option {argument}"),
            false => format!("unexpected argument {argument:?}"),
        },
        (ErrorKind::InvalidSubcommand, _) => {
            format!("there is no command {:?}", text(ContextKind::InvalidSubcommand).unwrap_or_default())
        }
        (ErrorKind::MissingSubcommand | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand, _) => {
            "no command was given".to_owned()
        }
        _ => first_line(error),
    };
    let mut failure = Failure::wrong_usage(message);
    let mut suggested = texts(ContextKind::SuggestedArg);
    suggested.extend(texts(ContextKind::SuggestedSubcommand));
    suggested.extend(texts(ContextKind::SuggestedValue));
    if !suggested.is_empty() {
        failure = failure.with_help(format!("did you mean {}?", alternatives(&suggested)));
    }
    failure
}

fn first_line(error: &clap::Error) -> String {
    let rendered = error.render().to_string();
    let first = rendered.lines().find(|line| !line.trim().is_empty()).unwrap_or("wrong usage");
    first.strip_prefix("error: ").unwrap_or(first).to_owned()
}

/// `a, b or c`.
fn alternatives(words: &[String]) -> String {
    match words {
        [] => "something else".to_owned(),
        [only] => only.clone(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}

/// The words of the command that was meant.
fn command_of(arguments: &[OsString]) -> String {
    let program = Cli::command();
    let named = |argument: &OsString| Some(program.find_subcommand(argument)?.get_name().to_owned());
    match arguments.iter().skip(1).find_map(named) {
        Some(command) => format!("rokopia {command}"),
        None => "rokopia".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn said(words: &str) -> String {
        let error = Cli::command().try_get_matches_from(words.split(' ')).unwrap_err();
        failure(&error).message
    }

    #[test]
    fn a_wrong_value_is_named_with_its_option_and_what_is_expected() {
        assert_eq!(
            said("rokopia --color x status"),
            "invalid value \"x\" for --color: expected auto, always or never"
        );
        assert_eq!(
            said("rokopia verify --level x"),
            "invalid value \"x\" for --level: expected index, decrypt, hash or files"
        );
        assert_eq!(
            said("rokopia status --reads many"),
            "invalid value \"many\" for --reads: expected a number"
        );
        assert_eq!(said("rokopia restore latest"), "missing: <TARGET>");
        assert_eq!(said("rokopia status --jason"), "there is no option --jason");
        assert_eq!(said("rokopia statu"), "there is no command \"statu\"");
    }

    #[test]
    fn help_fits_a_terminal_and_is_wrapped_by_the_terminal_alone() {
        for command in documented().get_subcommands_mut().filter(|command| command.get_name() != "help") {
            for help in [command.get_after_help(), command.get_after_long_help()].into_iter().flatten() {
                let help = help.to_string();
                for paragraph in help.split("\n\n").filter(|text| !text.contains("\n  ")) {
                    assert!(
                        !paragraph.contains('\n'),
                        "{}: wrapped by hand: {paragraph}",
                        command.get_name()
                    );
                }
                for line in help.lines().filter(|line| line.starts_with("  ")) {
                    assert!(line.chars().count() <= 80, "{}: too long: {line}", command.get_name());
                }
            }
            let shown = command.clone().term_width(80).render_help().to_string();
            assert!(!shown.contains("--password-fd"), "common options stand in one place");
        }
        assert!(documented().render_help().to_string().contains("--password-fd"));
    }
}

//! One binary, several programs: which one is meant by the name it was started with.

use std::ffi::OsString;
use std::path::Path;

/// A program, with its arguments where they are not ours to read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Program<'a> {
    Rokopia,
    /// VolSync's mover, as `entry.sh` or as `rokopia mover`.
    Mover(&'a [OsString]),
    /// Kopia's command line, as `kopia` or as `rokopia kopia`.
    Kopia(&'a [OsString]),
}

/// What VolSync's operator starts in a mover's container is called so.
const MOVER: &str = "entry.sh";

/// The name by which callers start Kopia, and the command that stands for it.
const KOPIA: &str = "kopia";

impl<'a> Program<'a> {
    pub(super) fn named_by(arguments: &'a [OsString]) -> Self {
        match arguments {
            [name, rest @ ..] if file_name_is(name, MOVER) => Self::Mover(rest),
            [name, rest @ ..] if file_name_is(name, KOPIA) => Self::Kopia(rest),
            [_, command, rest @ ..] if command == KOPIA => Self::Kopia(rest),
            [_, command, rest @ ..] if command == "mover" && !asks_for_help(rest) => Self::Mover(rest),
            _ => Self::Rokopia,
        }
    }
}

fn file_name_is(path: &OsString, name: &str) -> bool {
    Path::new(path).file_name().is_some_and(|file| file == name)
}

fn asks_for_help(arguments: &[OsString]) -> bool {
    arguments.iter().any(|argument| argument == "--help" || argument == "-h")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_commands() {
        let arguments = |line: &str| line.split(' ').map(OsString::from).collect::<Vec<_>>();
        for line in ["/mover-kopia/entry.sh restore", "entry.sh restore", "rokopia mover restore"] {
            let arguments = arguments(line);
            assert_eq!(Program::named_by(&arguments), Program::Mover(&["restore".into()]), "{line}");
        }
        for line in ["/usr/bin/kopia list --help", "kopia list --help", "rokopia kopia list --help"] {
            let arguments = arguments(line);
            assert_eq!(
                Program::named_by(&arguments),
                Program::Kopia(&["list".into(), "--help".into()]),
                "{line}"
            );
        }
        for line in ["rokopia status", "rokopia", "rokopia mover --help", "./entry.sh.old restore"] {
            assert_eq!(Program::named_by(&arguments(line)), Program::Rokopia, "{line}");
        }
        assert_eq!(Program::named_by(&[]), Program::Rokopia);
    }
}

//! How a command of the front fails: a line on stderr and exit code 1, as Kopia does.

use std::fmt;
use std::io;

use crate::Error;

use super::words;

/// Exit code of every failure.
const FAILED: u8 = 1;

/// What a shell sees of a process that SIGPIPE ended.
const BROKEN_PIPE: u8 = 128 + 13;

/// Why a command failed.
#[derive(Debug)]
pub(super) enum Failure {
    /// The command line makes no sense.
    Usage(String),
    /// The command could not do what it should.
    Failed(String),
    /// Only a real Kopia can do this; the text says what it is.
    Foreign(String),
    /// The reader of our output has stopped.
    BrokenPipe,
}

impl Failure {
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self::Failed(message.into())
    }

    pub(super) fn usage(message: impl Into<String>) -> Self {
        Self::Usage(message.into())
    }

    /// Our own output could not be written.
    pub(super) fn output(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::BrokenPipe,
            _ => Self::new(format!("error writing output: {error}")),
        }
    }

    /// Says what was being done.
    pub(super) fn during(self, what: &str) -> Self {
        match self {
            Self::Failed(message) => Self::Failed(format!("{what}: {message}")),
            other => other,
        }
    }

    pub(super) fn exit_code(&self) -> u8 {
        match self {
            Self::BrokenPipe => BROKEN_PIPE,
            _ => FAILED,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(message) => write!(f, "kopia: error: {message}, try --help"),
            Self::Failed(message) | Self::Foreign(message) => f.write_str(message),
            Self::BrokenPipe => f.write_str("broken pipe"),
        }
    }
}

impl<E: Into<Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Failed(words::told(error))
    }
}

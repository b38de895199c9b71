//! Why a command ends otherwise than well, and how that is said.

use std::io::{self, Write, stderr};

use nix::errno::Errno;
use serde::Serialize;

use super::args::Color;
use super::help;
use super::logging::use_color;
use super::output::escape;
use crate::blob::InRepository;
use crate::os::sandbox;
use crate::{Error, repository};

/// How the process ends; the codes are a promise to its callers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Exit {
    /// Done; the answer is yes; everything checked is good.
    Done,
    /// The definite negative.
    Negative,
    /// Wrong usage; nothing was read.
    Usage,
    /// Could not tell, or could not start; nothing in a target was touched.
    Unknown,
    /// Done in part.
    Partial,
    /// The reader of our output stopped: as if ended by SIGPIPE.
    BrokenPipe,
}

impl Exit {
    pub(super) fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Negative => 1,
            Self::Usage => 2,
            Self::Unknown => 3,
            Self::Partial => 4,
            Self::BrokenPipe => 128 + 13,
        }
    }
}

/// An error as the user sees it: exit code, stable code, one line of text and a few lines of help.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) exit: Exit,
    pub(super) code: &'static str,
    pub(super) message: String,
    details: Box<Details>,
}

/// What else is known of an error.
#[derive(Debug, Default, Serialize)]
struct Details {
    #[serde(skip)]
    help: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    blob: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    snapshot: Option<String>,
    retry: bool,
}

/// The `error` object of `--json`.
#[derive(Serialize)]
struct Report<'a> {
    code: &'a str,
    message: &'a str,
    #[serde(flatten)]
    details: &'a Details,
}

impl Failure {
    pub(super) fn new(exit: Exit, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            exit,
            code,
            message: message.into(),
            details: Box::new(Details {
                help: help::lines(code).iter().map(ToString::to_string).collect(),
                ..Details::default()
            }),
        }
    }

    /// Wrong usage.
    pub(super) fn wrong_usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, "usage", message)
    }

    /// Our own output could not be written.
    pub(super) fn output(error: io::Error) -> Self {
        let exit = if error.kind() == io::ErrorKind::BrokenPipe { Exit::BrokenPipe } else { Exit::Partial };
        Self::new(exit, "output-failed", format!("writing the output: {error}"))
    }

    /// Says what was being done.
    pub(super) fn during(mut self, what: &str) -> Self {
        self.message = format!("{what}: {}", self.message);
        self
    }

    /// What to do about it.
    pub(super) fn help(&self) -> &[String] {
        &self.details.help
    }

    pub(super) fn with_help(mut self, line: impl Into<String>) -> Self {
        self.details.help.push(line.into());
        self
    }

    /// Whether the same may succeed when tried again.
    pub(super) fn retry(mut self, retry: bool) -> Self {
        self.details.retry = retry;
        self
    }

    pub(super) fn exit(mut self, exit: Exit) -> Self {
        self.exit = exit;
        self
    }

    pub(super) fn blob(mut self, blob: Option<impl ToString>) -> Self {
        self.details.blob = blob.map(|blob| blob.to_string());
        self
    }

    pub(super) fn path(mut self, path: impl Into<String>) -> Self {
        self.details.path = Some(path.into());
        self
    }

    pub(super) fn snapshot(mut self, id: impl ToString) -> Self {
        self.details.snapshot = Some(id.to_string());
        self
    }

    /// Prints the failure; returns how to end.
    pub(super) fn report(&self, json: bool, color: Color) -> Exit {
        if self.exit == Exit::BrokenPipe {
            return self.exit;
        }
        let mut text = String::new();
        let label = format!("error[{}]:", self.code);
        let colored = use_color(color);
        let one_line = |message: &str| escape(&message.replace('\n', " ")).into_owned();
        if colored {
            text.push_str(&format!("\x1b[1;31m{label}\x1b[0m {}\n", one_line(&self.message)));
        } else {
            text.push_str(&format!("{label} {}\n", one_line(&self.message)));
        }
        for line in &self.details.help {
            text.push_str(&format!("help: {}\n", one_line(line)));
        }
        if json {
            let report = Report { code: self.code, message: &self.message, details: &self.details };
            let object = serde_json::json!({ "error": report });
            text.push_str(&format!("{object}\n"));
        }
        // There is nowhere left to complain when stderr is gone.
        let _ = stderr().write_all(text.as_bytes());
        self.exit
    }
}

impl From<InRepository> for Failure {
    fn from(error: InRepository) -> Self {
        Self::new(Exit::Unknown, error.code(), error.to_string())
    }
}

/// Whether the system refused to open something.
fn is_denied(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut causes = std::iter::successors(Some(error), |error| error.source());
    causes.any(|cause| {
        cause.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::PermissionDenied)
            || cause.downcast_ref::<Errno>() == Some(&Errno::EACCES)
    })
}

impl From<repository::Error> for Failure {
    fn from(error: repository::Error) -> Self {
        Error::from(error).into()
    }
}

impl From<Error> for Failure {
    /// What keeps a repository from being read means "could not tell", whatever the layer.
    fn from(error: Error) -> Self {
        let mut failure = Self::new(Exit::Unknown, error.code(), error.to_string());
        failure.details.blob = error.blob().map(ToString::to_string);
        failure.details.content = error.content().map(|content| content.to_string());
        failure.details.retry = error.is_retryable();
        match sandbox::limits_reading() && is_denied(&error) {
            true => failure.with_help(
                "what lies outside of the repository and the target, links followed, takes --sandbox off",
            ),
            false => failure,
        }
    }
}

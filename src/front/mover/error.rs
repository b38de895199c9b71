//! Why a run of the mover ends otherwise than well.

use std::path::PathBuf;

use super::log;
use super::operation::Operation;
use crate::Reason;
use crate::blob::InRepository;
use crate::front::limits::InvalidLimit;
use crate::manifest::ManifestId;
use crate::text::escape;

/// A failure of the mover. Its text is the one `ERROR:` line that the operator copies into the status.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error(
        "no operation was given; usage: entry.sh restore|backup, or DIRECTION=destination|source|maintenance"
    )]
    NoOperation,
    #[error("unknown operation: {0}")]
    UnknownOperation(String),
    #[error("Command-based maintenance no longer supported. Use KopiaMaintenance CRD.")]
    MaintenanceArgument,
    #[error("{0} must be defined")]
    Undefined(&'static str),
    #[error("Data directory {} does not exist", .0.display())]
    DataDirectory(PathBuf),
    #[error("{name} {value:?} is not {expected}")]
    Setting { name: &'static str, value: String, expected: &'static str },
    #[error("{} {:?} is not {}", .0.name, .0.value, .0.expected)]
    Limit(InvalidLimit),
    #[error("additional argument {0} is not supported by this mover; nothing was changed")]
    Argument(String),
    #[error("additional argument {flag} cannot have the value {value:?}")]
    ArgumentValue { flag: String, value: String },
    #[error("No repository configuration found")]
    NoLocation,
    #[error("Invalid filesystem URL format. Expected filesystem:///path")]
    LocationFormat,
    #[error("Invalid filesystem path. Path must be absolute and cannot contain ..")]
    LocationPath,
    #[error("KOPIA_STRUCTURED_REPOSITORY_CONFIG cannot be used: {0}")]
    Structured(String),
    #[error(
        "this mover has no {0} storage, and does not fall back to another: mount the repository, or use another image"
    )]
    Backend(&'static str),
    #[error("CUSTOM_CA cannot be used: {0}")]
    CustomCa(String),
    #[error("Cannot open the repository at {}: {reason}", path.display())]
    NotMounted { path: PathBuf, reason: &'static str },
    #[error("the log cannot be written: {0}")]
    Log(#[from] InRepository),
    #[error("Cannot {what}: {source}")]
    Repository { what: &'static str, source: Box<crate::Error> },
    #[error("whether {source_name} has a snapshot to restore is not certain: {reason}")]
    Uncertain { source_name: String, reason: Reason },
    #[error(
        "KOPIA_PREVIOUS={asked} asks for a snapshot that does not exist: {found} found for {source_name}"
    )]
    TooFew { asked: u64, found: usize, source_name: String },
    #[error("nothing eligible for {0}, and strict mode does not take that for success")]
    NothingStrict(String),
    #[error("the user of this process has no name: KOPIA_OVERRIDE_USERNAME must be defined")]
    NoUserName,
    #[error("Failed to restore snapshot: {snapshot}: {reason}")]
    Restore { snapshot: ManifestId, reason: String },
    #[error("{operation} needs a kopia binary, and this image has none on PATH")]
    NoKopia { operation: Operation },
    #[error("cannot {what}: {source}")]
    System { what: String, source: std::io::Error },
    #[error("{what} failed: {reason}")]
    Kopia { what: &'static str, reason: String },
    #[error("ended by a signal before it was complete; the next run goes on from here")]
    Stopped,
    /// An error whose line is in the log already.
    #[error(transparent)]
    AlreadyReported(Box<Error>),
}

/// Bytes of the 1024 that the operator keeps.
const LONGEST: usize = 480;

/// The stock mover's code for an operation that it does not know.
const UNKNOWN_OPERATION: u8 = 2;

impl Error {
    pub(super) fn repository(what: &'static str, source: impl Into<crate::Error>) -> Self {
        Self::Repository { what, source: Box::new(source.into()) }
    }

    /// Stable name of what went wrong.
    pub(super) fn code(&self) -> &'static str {
        match self {
            Self::NoOperation => "no-operation",
            Self::UnknownOperation(_) => "unknown-operation",
            Self::MaintenanceArgument => "maintenance-argument",
            Self::Undefined(_) => "variable-undefined",
            Self::DataDirectory(_) => "no-data-directory",
            Self::Setting { .. } | Self::Limit(_) => "invalid-setting",
            Self::Argument(_) => "unsupported-argument",
            Self::ArgumentValue { .. } => "invalid-argument",
            Self::NoLocation => "no-repository-configured",
            Self::LocationFormat | Self::LocationPath => "invalid-location",
            Self::Structured(_) => "invalid-configuration",
            Self::Backend(_) => "unsupported-storage",
            Self::CustomCa(_) => "invalid-setting",
            Self::NotMounted { .. } => "volume-not-mounted",
            Self::Log(refused) => refused.code(),
            Self::Repository { source, .. } => source.code(),
            Self::Uncertain { reason, .. } => reason.code(),
            Self::TooFew { .. } => "too-few-snapshots",
            Self::NothingStrict(_) => "nothing-eligible",
            Self::NoUserName => "no-user-name",
            Self::Restore { .. } => "restore-incomplete",
            Self::NoKopia { .. } => "no-kopia",
            Self::System { .. } => "system",
            Self::Kopia { .. } => "kopia-failed",
            Self::Stopped => "stopped",
            Self::AlreadyReported(error) => error.code(),
        }
    }

    /// Whether the line goes without a code: it is the stock mover's, which users look for, or has its cause's.
    fn is_plain(&self) -> bool {
        matches!(
            self,
            Self::UnknownOperation(_)
                | Self::MaintenanceArgument
                | Self::Undefined(_)
                | Self::DataDirectory(_)
                | Self::NoLocation
                | Self::LocationFormat
                | Self::LocationPath
                | Self::Restore { .. }
        )
    }

    pub(super) fn exit_code(&self) -> u8 {
        match self {
            Self::UnknownOperation(_) => UNKNOWN_OPERATION,
            Self::AlreadyReported(error) => error.exit_code(),
            _ => 1,
        }
    }

    /// The line for the log, short enough to leave the operator room for more.
    pub(super) fn line(&self) -> String {
        let text = format!("ERROR: {}", escape(&self.to_string()));
        let code = if self.is_plain() { String::new() } else { format!(" [{}]", self.code()) };
        if text.len() + code.len() <= LONGEST {
            return text + &code;
        }
        format!("{} ...{code}", log::cut(&text, LONGEST - code.len()))
    }
}

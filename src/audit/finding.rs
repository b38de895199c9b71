//! What an audit may find about a source.

use std::fmt;
use std::time::Duration;

use super::Limit;
use crate::snapshot::UtcTimestamp;
use crate::text::{counted, human_span};

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Worth knowing; decides nothing.
    Notice,
    /// A restore works, but perhaps not with what is expected in it.
    Warning,
    /// A restore would not bring back what it should.
    Critical,
}

impl Severity {
    /// The word for it: `notice`, `warning` or `critical`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Notice => "notice",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

/// Something that is wrong with the backups of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Finding {
    /// An expected source certainly has no snapshot.
    Missing,
    /// An expected source was not found, and that is not certain.
    Unknown,
    /// There are snapshots, and none is complete.
    NeverCompleted {
        /// Incomplete snapshots.
        attempts: usize,
    },
    /// The newest complete snapshot is older than the limit.
    Stale {
        /// Its age.
        age: Duration,
        /// The limit.
        limit: Limit,
    },
    /// The newest complete snapshot lies in the future, so that its age is not known.
    FromTheFuture {
        /// How far.
        ahead: Duration,
    },
    /// The newest complete snapshot is much smaller than those before it.
    Shrunk {
        /// Its bytes.
        size: i64,
        /// The median of the bytes of those before it.
        usual_size: i64,
        /// Its files.
        files: i64,
        /// The median of the files of those before it.
        usual_files: i64,
    },
    /// The newest complete snapshots have the same content, although those before them hardly ever had.
    Unchanging {
        /// How many have it.
        snapshots: usize,
        /// When the first of them began.
        since: UtcTimestamp,
    },
    /// A recent pause was much longer than the history of the source shows.
    Gap {
        /// When the last snapshot before it began.
        after: UtcTimestamp,
        /// How long it was.
        length: Duration,
        /// The median of the pauses before it.
        usual: Duration,
    },
    /// The client could not save some entries of the newest complete snapshot.
    FailedEntries {
        /// How many.
        entries: u64,
    },
    /// Attempts after the newest complete snapshot did not end.
    Incomplete {
        /// How many.
        attempts: usize,
    },
}

impl Finding {
    /// The stable code, as listed in `docs/audit.md`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Missing => "backup-missing",
            Self::Unknown => "backup-unknown",
            Self::NeverCompleted { .. } => "backup-never-completed",
            Self::Stale { limit: Limit { given: true, .. }, .. } => "backup-stale",
            Self::Stale { .. } => "backup-overdue",
            Self::FromTheFuture { .. } => "clock-ahead",
            Self::Shrunk { .. } => "backup-shrunk",
            Self::Unchanging { .. } => "backup-unchanging",
            Self::Gap { .. } => "schedule-gap",
            Self::FailedEntries { .. } => "entries-failed",
            Self::Incomplete { .. } => "attempts-incomplete",
        }
    }

    /// How bad it is. A limit that was only learned gives a warning.
    pub fn severity(&self) -> Severity {
        match self {
            Self::Missing
            | Self::Unknown
            | Self::NeverCompleted { .. }
            | Self::Stale { limit: Limit { given: true, .. }, .. }
            | Self::FromTheFuture { .. } => Severity::Critical,
            Self::Stale { .. }
            | Self::Shrunk { .. }
            | Self::Unchanging { .. }
            | Self::FailedEntries { .. } => Severity::Warning,
            Self::Gap { .. } | Self::Incomplete { .. } => Severity::Notice,
        }
    }

    /// What to do about it.
    pub fn cure(&self) -> &'static str {
        match self {
            Self::Missing => {
                "check that the backup of this source is set up, and that the name in the list is right"
            }
            Self::Unknown => "run `rokopia verify --level index`: it names what makes lists uncertain",
            Self::NeverCompleted { .. } | Self::Incomplete { .. } => {
                "look at the log of the backup job: it begins and does not end"
            }
            Self::Stale { .. } => "look at the backup job: it did not run, or it failed",
            Self::FromTheFuture { .. } => {
                "set the clock of the client that makes the backups, or of this machine"
            }
            Self::Shrunk { .. } => {
                "compare with `rokopia diff`; if data is missing, restore an older snapshot before it expires"
            }
            Self::Unchanging { .. } => {
                "check that the backup reads the live volume, not an old clone or an empty mount"
            }
            Self::Gap { .. } => "no restore is possible to a time in that pause",
            Self::FailedEntries { .. } => {
                "look at the log of the backup job: it names the files it could not read"
            }
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("expected, and there is no snapshot of it"),
            Self::Unknown => {
                f.write_str("expected, and not found, but the list of snapshots may be incomplete")
            }
            Self::NeverCompleted { attempts } => write!(f, "no snapshot is complete ({attempts} incomplete)"),
            Self::Stale { age, limit } => {
                let usual = if limit.given { "the limit is" } else { "its history suggests at most" };
                write!(
                    f,
                    "the newest complete snapshot is {} old; {usual} {}",
                    human_span(*age),
                    human_span(limit.age)
                )
            }
            Self::FromTheFuture { ahead } => {
                write!(
                    f,
                    "the newest complete snapshot lies {} in the future, so its age is not known",
                    human_span(*ahead)
                )
            }
            Self::Shrunk { size, usual_size, files, usual_files } => write!(
                f,
                "the newest complete snapshot has {} of {}; usual are {} of {}",
                counted(*files, "file"),
                counted(*size, "byte"),
                counted(*usual_files, "file"),
                counted(*usual_size, "byte")
            ),
            Self::Unchanging { snapshots, since } => {
                write!(f, "the newest {snapshots} snapshots have the same content, since {since}")
            }
            Self::Gap { after, length, usual } => {
                write!(
                    f,
                    "no snapshot for {} after {after}; usual are {}",
                    human_span(*length),
                    human_span(*usual)
                )
            }
            Self::FailedEntries { entries } => {
                write!(f, "{} could not be saved", counted(*entries, "entry/entries"))
            }
            Self::Incomplete { attempts } => {
                write!(f, "{} did not end", counted(*attempts, "later attempt"))
            }
        }
    }
}

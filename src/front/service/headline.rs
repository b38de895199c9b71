//! The first line of the page: the worst of all that is known.

use super::verified::{Verdict, Verified};
use crate::checker::{Reason, Status};
use crate::text::counted;

/// How bad something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Grade {
    Good,
    Warn,
    Bad,
}

impl Grade {
    /// The class in the style of the page.
    pub(super) fn class(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Warn => "warn",
            Self::Bad => "bad",
        }
    }

    /// The colour of pictures, in hex.
    pub(super) fn colour(self) -> &'static str {
        match self {
            Self::Good => "18794e",
            Self::Warn => "d97706",
            Self::Bad => "c62a2f",
        }
    }
}

/// The worst, in a few words.
pub(super) fn headline(
    ready: &Result<(), Reason>,
    status: &Status,
    verified: Option<&Result<Verified, String>>,
    stale: usize,
    findings: usize,
) -> (Grade, String) {
    let mut known: Vec<(Grade, String)> = Vec::new();
    let mut note = |grade, text: String| known.push((grade, text));
    if ready.is_err() {
        note(Grade::Bad, "not ready: every answer is unknown".to_owned());
    }
    if let Some(view) = &status.view {
        if view.doubts().next().is_some() {
            note(Grade::Bad, "no source can be called absent".to_owned());
        }
        let sources = view.sources().len();
        match (stale, sources) {
            (_, 0) => note(Grade::Warn, "no snapshots".to_owned()),
            (0, _) => note(Grade::Good, format!("{} up to date", counted(sources as u64, "source"))),
            (_, 1) => note(Grade::Warn, "the only source is stale".to_owned()),
            _ if stale == sources => note(Grade::Bad, format!("all {sources} sources are stale")),
            _ => {
                let verb = if stale == 1 { "is" } else { "are" };
                note(Grade::Warn, format!("{stale} of {sources} sources {verb} stale"));
            }
        }
        let suspects = view.suspects().count() as u64;
        if suspects > 0 {
            note(Grade::Warn, counted(suspects, "snapshot cannot be read/snapshots cannot be read"));
        }
    }
    match verified {
        Some(Ok(verified)) if verified.result == Verdict::Damaged => {
            note(Grade::Bad, counted(verified.damages(), "damage found/damages found"));
        }
        Some(Err(_)) => note(Grade::Warn, "the verify report cannot be read".to_owned()),
        _ => {}
    }
    if findings > 0 {
        note(Grade::Warn, counted(findings as u64, "finding in the audit/findings in the audit"));
    }
    if status.failure.is_some() && ready.is_ok() {
        note(Grade::Warn, "the last reading failed".to_owned());
    }
    // Of equals the first.
    let worst = known.into_iter().rev().max_by_key(|(grade, _)| *grade);
    worst.unwrap_or((Grade::Bad, "nothing is known yet".to_owned()))
}

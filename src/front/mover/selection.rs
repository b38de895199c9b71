//! Which snapshot is restored.

use std::sync::Arc;

use super::environment::Environment;
use super::error::Error;
use crate::snapshot::{Period, Snapshot, Snapshots, Source};
use crate::{Reason, Unlisted};

/// What the environment asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) source: Source,
    as_of: Option<Period>,
    previous: u64,
    shallow: Option<u64>,
}

/// What there is to restore.
pub(super) enum Choice {
    Snapshot(Arc<Snapshot>),
    /// Nothing, which is what a volume without a backup gets; with what was passed over.
    Nothing(Passed),
}

/// Snapshots of the source that were not eligible.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Passed {
    pub(super) incomplete: usize,
    pub(super) later: usize,
}

impl Request {
    pub(super) fn new(environment: &Environment, source: Source) -> Result<Self, Error> {
        let number = |name| match environment.text(name) {
            None => Ok(None),
            Some(text) => text.trim().parse::<u64>().map(Some).map_err(|_| Error::Setting {
                name,
                value: text.into_owned(),
                expected: "a whole number from 0",
            }),
        };
        let as_of = match environment.text("KOPIA_RESTORE_AS_OF") {
            None => None,
            Some(text) => Some(Period::rfc3339(&text).ok_or_else(|| Error::Setting {
                name: "KOPIA_RESTORE_AS_OF",
                value: text.into_owned(),
                expected: "a time as in RFC 3339, such as 2026-01-31T12:00:00Z",
            })?),
        };
        let previous = number("KOPIA_PREVIOUS")?.unwrap_or(0);
        Ok(Self { source, as_of, previous, shallow: number("KOPIA_SHALLOW")? })
    }

    /// Chooses by start time. Only complete snapshots of exactly this source count.
    /// `degraded` passes over those that cannot be read.
    pub(super) fn choose(&self, snapshots: &Snapshots, degraded: bool) -> Result<Choice, Error> {
        let all = snapshots.of(&self.source);
        // What cannot be read may be the very one that is asked for.
        if let Some(problem) = all.problems().first()
            && (!degraded || all.is_empty())
        {
            let reason = problem.into();
            return Err(Error::Uncertain { source_name: self.source.to_string(), reason });
        }
        let found = all.len();
        let complete = all.complete();
        let incomplete = found - complete.len();
        let found = complete.len();
        let eligible = match self.as_of {
            Some(time) => complete.as_of(time.last()),
            None => complete,
        };
        let passed = Passed { incomplete, later: found - eligible.len() };
        // With a time, `shallow` has no effect; else the window it opens is never empty but for 0.
        let window_is_empty = self.as_of.is_none() && self.shallow == Some(0);
        if eligible.is_empty() || window_is_empty {
            return Ok(Choice::Nothing(passed));
        }
        let steps = usize::try_from(self.previous).unwrap_or(usize::MAX);
        let chosen = eligible.previous(steps).ok_or_else(|| Error::TooFew {
            asked: self.previous,
            found: eligible.len(),
            source_name: self.source.to_string(),
        })?;
        Ok(Choice::Snapshot(chosen))
    }

    /// Why the chosen snapshot may not be the one that was asked for: because a newer one is not listed.
    pub(super) fn newer<'a>(&self, unlisted: &'a Unlisted, chosen: &Snapshot) -> Option<&'a Reason> {
        let asked = self.source.clone().into();
        unlisted.newer_than(chosen.start_time, self.as_of.map(Period::last), Some(&asked))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(pairs: &[(&str, &str)]) -> Result<Request, Error> {
        Request::new(&pairs.iter().copied().collect(), Source::new("u", "h", "/data"))
    }

    #[test]
    fn settings_that_make_no_sense_are_errors() {
        for (name, value) in [
            ("KOPIA_PREVIOUS", "-1"),
            ("KOPIA_PREVIOUS", "abc"),
            ("KOPIA_PREVIOUS", "1.5"),
            ("KOPIA_SHALLOW", "-2"),
            ("KOPIA_RESTORE_AS_OF", "now"),
        ] {
            let error = request(&[(name, value)]).unwrap_err().to_string();
            assert!(error.contains(name) && error.contains(value), "{error}");
        }
        let empty = request(&[("KOPIA_PREVIOUS", ""), ("KOPIA_SHALLOW", ""), ("KOPIA_RESTORE_AS_OF", "")]);
        assert_eq!(empty.unwrap(), request(&[]).unwrap());
    }
}

#[cfg(test)]
mod fixtures {
    use std::path::{Path, PathBuf};

    use serde::Deserialize;

    use super::*;
    use crate::Repository;
    use crate::blob::FileSystem;
    use crate::crypto::Password;

    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Selection {
        username: String,
        hostname: String,
        path: String,
        previous: i64,
        restore_as_of: Option<String>,
        outcome: String,
        #[serde(rename = "expected_snapshot_id")]
        snapshot: String,
        candidates: usize,
    }

    fn fixtures() -> Option<Vec<PathBuf>> {
        let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/fixtures");
        let root = std::env::var_os("ROKOPIA_FIXTURES").map_or(beside, PathBuf::from);
        let all = std::fs::read_dir(root).ok()?.map(|entry| entry.unwrap().path());
        Some(all.filter(|path| path.join("selections.json").exists()).collect())
    }

    #[test]
    fn selections_of_real_repositories() {
        let Some(cases) = fixtures().filter(|cases| !cases.is_empty()) else {
            assert!(std::env::var_os("ROKOPIA_REQUIRE_FIXTURES").is_none(), "no fixtures");
            println!("skipped: no fixtures");
            return;
        };
        let mut compared = 0;
        for case in cases {
            let json = |name| std::fs::read(case.join(name)).unwrap();
            let about: serde_json::Value = serde_json::from_slice(&json("case.json")).unwrap();
            let password = Password::new(about["password"].as_str().unwrap());
            let store = FileSystem::open(case.join("repo")).unwrap();
            let catalog = Repository::open(store, &password).unwrap().catalog().unwrap();
            let snapshots = Snapshots::new(catalog.manifests());
            for selection in serde_json::from_slice::<Vec<Selection>>(&json("selections.json")).unwrap() {
                // Whole seconds were recorded as instants.
                let as_of = selection.restore_as_of.clone().unwrap_or_default();
                let whole = as_of.ends_with('Z') && !as_of.contains('.');
                let as_of = if whole { as_of.replace('Z', ".000000000Z") } else { as_of };
                let pairs =
                    [("KOPIA_PREVIOUS", selection.previous.to_string()), ("KOPIA_RESTORE_AS_OF", as_of)];
                let source = Source::new(&selection.username, &selection.hostname, &selection.path);
                let request = Request::new(&pairs.into_iter().collect(), source).unwrap();
                let (outcome, id) = match request.choose(&snapshots, false) {
                    Ok(Choice::Snapshot(snapshot)) => ("snapshot", snapshot.id.to_string()),
                    Ok(Choice::Nothing(_)) => ("nothing", "none".to_owned()),
                    Err(Error::TooFew { found, .. }) => {
                        assert_eq!(found, selection.candidates);
                        ("too-few", "none".to_owned())
                    }
                    Err(e) => panic!("{e}"),
                };
                assert_eq!((outcome, id), (selection.outcome.as_str(), selection.snapshot), "{request:?}");
                compared += 1;
            }
        }
        println!("compared {compared} selections");
    }
}

//! Snapshot references: what people type to name a snapshot or an object, and a path in it.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use jiff::Zoned;

use super::units::{self, human_time};
use crate::object::ObjectId;
use crate::snapshot::{AskedSource, Period, Selection, Snapshot, Snapshots, Source, UtcTimestamp};
use crate::text::counted;

/// Digits of a snapshot ID that are needed at least.
const LEAST_DIGITS: usize = 4;

/// How many candidates an error lists.
const CANDIDATES: usize = 5;

/// From which likeness on, of at most 1, a name is offered in place of another, and how many are where none is like it.
pub(super) const ALIKE: f64 = 0.7;
const FEW: usize = 3;

/// What a reference names.
#[derive(Debug)]
pub(super) enum Root {
    /// A snapshot, also where its root was named by the object.
    Snapshot(Arc<Snapshot>),
    /// An object that is the root of no snapshot.
    Object(ObjectId),
}

impl fmt::Display for Root {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Snapshot(snapshot) => snapshot.id.fmt(f),
            Self::Object(object) => object.fmt(f),
        }
    }
}

/// What a reference means, before any tree is read.
#[derive(Debug)]
pub(super) enum Resolved {
    /// `newest` tells which snapshots that are not known of could have been meant instead.
    Found { root: Root, path: String, newest: Option<Newest> },
    /// Several snapshots fit.
    Ambiguous { what: String, candidates: Vec<String> },
    /// None fits. `asked` is the source that was named, if one was.
    Unknown { what: String, candidates: Vec<String>, asked: Option<AskedSource> },
    /// It is no reference.
    Invalid { what: String },
}

/// Of which snapshots the newest was meant.
#[derive(Debug)]
pub(super) struct Newest {
    /// Those of this source; of any where none was named.
    pub(super) asked: Option<AskedSource>,
    /// Those that began at this time or before.
    pub(super) until: Option<UtcTimestamp>,
}

impl Resolved {
    fn snapshot(snapshot: &Arc<Snapshot>, path: &str) -> Self {
        Self::Found { root: Root::Snapshot(Arc::clone(snapshot)), path: path.to_owned(), newest: None }
    }
}

/// What `reference` means among the snapshots of a repository.
pub(super) fn resolve(snapshots: &Snapshots, reference: &str, now: &Zoned) -> Resolved {
    // As other tools write it: `ID:path`.
    let slashed = match reference.split_once(':') {
        Some((head, tail)) if is_bare(head) => format!("{head}/{}", tail.trim_start_matches('/')),
        _ => reference.to_owned(),
    };
    let reference = slashed.as_str();
    let (first, path) = reference.split_once('/').unwrap_or((reference, ""));
    if let Some(snapshot) = snapshots.get(first) {
        return Resolved::snapshot(snapshot, path);
    }
    // A time by itself means the newest snapshot of then.
    let qualifier = first.strip_prefix("latest").or_else(|| first.starts_with('@').then_some(first));
    if let Some(text) = qualifier
        && let Some(qualifier) = Qualifier::parse(text, now)
    {
        if qualifier.is_ok()
            && let Some(several) = several_sources(snapshots)
        {
            return several;
        }
        return choose(qualifier, snapshots.all(), None, path);
    }
    if reference.starts_with('/')
        && let Some(resolved) = by_absolute_path(snapshots, reference, now)
    {
        return resolved;
    }
    if let Some(resolved) = by_source(snapshots, reference, now) {
        return resolved;
    }
    if let Some(resolved) = by_prefix(snapshots, first, path) {
        return resolved;
    }
    if let Ok(object) = first.parse::<ObjectId>() {
        return match snapshots.root_attributes(&object) {
            Some((snapshot, _)) => Resolved::snapshot(snapshot, path),
            None => Resolved::Found { root: Root::Object(object), path: path.to_owned(), newest: None },
        };
    }
    let asked = source_in(reference);
    Resolved::Unknown { what: not_here(reference), candidates: nearest(snapshots, reference), asked }
}

/// Whether a text names a snapshot or an object by itself.
fn is_bare(text: &str) -> bool {
    let digits = text.len() >= LEAST_DIGITS && text.bytes().all(|b| b.is_ascii_hexdigit());
    digits || text == "latest" || (!text.contains(['@', '/']) && text.parse::<ObjectId>().is_ok())
}

/// What `latest` means where there are several sources: nothing for certain.
fn several_sources(snapshots: &Snapshots) -> Option<Resolved> {
    let newest = |(source, group): (&Source, Vec<Arc<Snapshot>>)| {
        let newest = group.iter().rev().find(|snapshot| snapshot.is_complete())?;
        Some((newest.start_time, source.to_string()))
    };
    let mut sources: Vec<_> = snapshots.groups().into_iter().filter_map(newest).collect();
    if sources.len() < 2 {
        return None;
    }
    sources.sort_by(|a, b| b.cmp(a));
    let mut candidates: Vec<String> = sources
        .iter()
        .take(CANDIDATES)
        .map(|(time, source)| format!("{source} ({})", human_time(*time)))
        .collect();
    if let Some(more) = sources.len().checked_sub(CANDIDATES).filter(|more| *more > 0) {
        candidates.push(format!("and {more} more"));
    }
    let what = format!("which source? The repository has {}: name one", sources.len());
    Some(Resolved::Ambiguous { what, candidates })
}

/// An absolute path that belongs to the source of one user and host.
fn by_absolute_path(snapshots: &Snapshots, reference: &str, now: &Zoned) -> Option<Resolved> {
    let holds = |source: &&Source| {
        let path = source.path.trim_end_matches('/');
        reference.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '@', '~']))
    };
    let mut owners: Vec<(&str, &str)> = snapshots
        .sources()
        .into_iter()
        .filter(holds)
        .map(|source| (source.user.as_str(), source.host.as_str()))
        .collect();
    owners.dedup();
    match owners.as_slice() {
        [] => None,
        [(user, host)] => by_source(snapshots, &format!("{user}@{host}:{reference}"), now),
        several => Some(Resolved::Ambiguous {
            what: format!("{reference:?} belongs to several sources"),
            candidates: several
                .iter()
                .take(CANDIDATES)
                .map(|(user, host)| format!("{user}@{host}:{reference}"))
                .collect(),
        }),
    }
}

/// The source that a reference names, where nothing in it may be a qualifier.
fn source_in(reference: &str) -> Option<AskedSource> {
    let (_, path) = reference.split_once(':')?;
    if path.contains(['@', '~']) { None } else { reference.parse().ok() }
}

/// A source with what may follow it. The longest source that fits is meant: `u@h:/a/b` before `/b` in `u@h:/a`.
fn by_source(snapshots: &Snapshots, reference: &str, now: &Zoned) -> Option<Resolved> {
    let sources: HashSet<Source> = snapshots.sources().into_iter().cloned().map(Source::cleaned).collect();
    // A root ends with its separator, every other directory before one.
    let marks = reference.match_indices(['/', '\\', '@', '~']);
    let mut ends: Vec<usize> = marks.flat_map(|(at, _)| [at, at + 1]).chain([reference.len()]).collect();
    ends.sort_unstable();
    ends.dedup();
    ends.reverse();
    for end in ends {
        let (text, rest) = reference.split_at_checked(end)?;
        let Ok(asked) = text.parse::<AskedSource>() else { continue };
        let Some(source) = asked.readings().iter().find(|reading| sources.contains(reading)) else {
            continue;
        };
        // Where a directory ends in its separator, what follows is in it.
        let separators: &[char] = if source.path.contains('\\') { &['/', '\\'] } else { &['/'] };
        let (qualifier, path) = match rest.starts_with(['@', '~']) {
            true => rest.split_once(separators).unwrap_or((rest, "")),
            false => ("", rest.trim_start_matches(separators)),
        };
        if let Some(qualifier) = Qualifier::parse(qualifier, now) {
            let path = if source.path.contains('\\') { path.replace('\\', "/") } else { path.to_owned() };
            let found = snapshots.asked(&asked);
            return Some(choose(qualifier, found, Some(source.clone().into()), &path));
        }
    }
    None
}

fn by_prefix(snapshots: &Snapshots, digits: &str, path: &str) -> Option<Resolved> {
    if digits.len() < LEAST_DIGITS || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let prefix = digits.to_ascii_lowercase();
    let matching = snapshots.all().filter(|snapshot| snapshot.id.as_str().starts_with(&prefix));
    match (matching.len(), matching.latest()) {
        (1, Some(snapshot)) => Some(Resolved::snapshot(&snapshot, path)),
        (0, _) | (_, None) => None,
        (several, _) => Some(Resolved::Ambiguous {
            what: format!("{several} snapshot IDs begin with {digits:?}"),
            candidates: newest(&matching),
        }),
    }
}

fn choose(
    qualifier: Result<Qualifier, String>,
    all: Selection,
    asked: Option<AskedSource>,
    path: &str,
) -> Resolved {
    let of = asked.as_ref().map_or_else(|| "the repository".to_owned(), AskedSource::to_string);
    let until = match &qualifier {
        Ok(Qualifier::AsOf(time, _)) => Some(time.last()),
        _ => None,
    };
    let backups = match until {
        Some(until) => all.clone().as_of(until).backups(),
        None => all.clone().backups(),
    };
    let count = backups.len();
    let (snapshot, what) = match qualifier {
        Err(what) => return Resolved::Invalid { what },
        Ok(Qualifier::Latest) => (backups.latest(), format!("{of} has no complete snapshot")),
        Ok(Qualifier::AsOf(time, 0)) => {
            let what =
                format!("{of} has no complete snapshot that began at {} or before", human_time(time.last()));
            (backups.latest(), what)
        }
        Ok(Qualifier::AsOf(time, steps)) => {
            let complete = counted(count as u64, "complete snapshot");
            let last = human_time(time.last());
            let what = format!("{of} has {complete} that began at {last} or before, not {steps} more");
            (backups.previous(steps), what)
        }
        Ok(Qualifier::Before(steps)) => {
            let complete = counted(count as u64, "complete snapshot");
            let what = format!("{of} has {complete}, not {steps} before its newest one");
            (backups.previous(steps), what)
        }
    };
    match snapshot {
        Some(snapshot) => {
            let newest = Some(Newest { asked, until });
            Resolved::Found { root: Root::Snapshot(snapshot), path: path.to_owned(), newest }
        }
        None => {
            let candidates = if until.is_some() { oldest(&all) } else { newest(&all) };
            Resolved::Unknown { what, candidates, asked }
        }
    }
}

/// What may follow a source: `@TIME`, `~N`, `@TIME~N` or nothing.
#[derive(Debug, PartialEq, Eq)]
enum Qualifier {
    Latest,
    /// The newest that began at this time or before, or the one that many before it.
    AsOf(Period, usize),
    Before(usize),
}

impl Qualifier {
    /// `None` when the text is not a qualifier at all, an error when it is a bad one.
    fn parse(text: &str, now: &Zoned) -> Option<Result<Self, String>> {
        if text.is_empty() {
            return Some(Ok(Self::Latest));
        }
        if let Some(number) = text.strip_prefix('~') {
            return Some(steps(number).map(Self::Before));
        }
        let (time, number) = match text.strip_prefix('@')?.split_once('~') {
            Some((time, number)) => (time, Some(number)),
            None => (text.strip_prefix('@')?, None),
        };
        let parsed = units::period(time, now).ok_or_else(|| {
            format!("{time:?} is not a time: RFC 3339, 2026-11-21, \"2026-11-21 08:00\" or 3d are")
        });
        Some(parsed.and_then(|time| Ok(Self::AsOf(time, number.map_or(Ok(0), steps)?))))
    }
}

/// How many snapshots before another one: one where no number is given.
fn steps(number: &str) -> Result<usize, String> {
    if number.is_empty() {
        return Ok(1);
    }
    number.parse().map_err(|_| format!("~{number} is not a number of snapshots"))
}

/// The message for what nothing fits.
pub(super) fn not_here(reference: &str) -> String {
    format!("{reference:?} is no snapshot, source or object of this repository")
}

/// The sources and snapshot IDs most like what was typed.
pub(super) fn nearest(snapshots: &Snapshots, typed: &str) -> Vec<String> {
    let mut candidates: Vec<String> = snapshots.sources().iter().map(ToString::to_string).collect();
    if !typed.contains(['@', ':']) {
        candidates.extend(snapshots.all().iter().map(|snapshot| snapshot.id.to_string()));
    }
    // A source is often typed by the last name of its path alone.
    let likeness = |text: &String| {
        let name = text.rsplit(['/', '\\']).next().unwrap_or(text);
        strsim::jaro_winkler(typed, text).max(strsim::jaro_winkler(typed, name))
    };
    candidates.sort_by(|a, b| likeness(b).total_cmp(&likeness(a)));
    // Where nothing is like it, a few show what references look like.
    let alike = candidates.iter().take_while(|text| likeness(text) >= ALIKE).count();
    candidates.truncate(if alike == 0 { FEW } else { alike.min(CANDIDATES) });
    candidates
}

fn newest(snapshots: &Selection) -> Vec<String> {
    snapshots.iter().rev().take(CANDIDATES).map(described).collect()
}

/// The snapshots nearest to a time before all of them.
fn oldest(snapshots: &Selection) -> Vec<String> {
    snapshots.iter().take(CANDIDATES).map(described).collect()
}

fn described(snapshot: &Arc<Snapshot>) -> String {
    let incomplete = if snapshot.is_complete() { "" } else { ", incomplete" };
    format!("{} ({}, {}{incomplete})", snapshot.id, snapshot.source, human_time(snapshot.start_time))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::testing::manifests_from;

    fn manifest(id: &str, path: &str, day: u32, incomplete: &str) -> String {
        let files = if path == "/nothing" { 0 } else { 1 };
        let time = format!("2026-01-{day:02}T03:00:00Z");
        format!(
            r#"{{"id":"{id}","modified":"{time}",
            "labels":{{"type":"snapshot","username":"u","hostname":"h","path":"{path}"}},
            "data":{{"id":"","source":{{"userName":"u","host":"h","path":"{path}"}},"startTime":"{time}",
            "endTime":"{time}","incomplete":"{incomplete}",
            "rootEntry":{{"name":"x","type":"d","obj":"k{day:032x}","summ":{{"files":{files}}}}}}}}}"#
        )
    }

    fn snapshots() -> Snapshots {
        Snapshots::new(&manifests_from(&[
            manifest("aaaaaa11", "/a", 1, ""),
            manifest("aaaaaa22", "/a", 2, ""),
            manifest("aaaaaa33", "/a", 3, "checkpoint"),
            manifest("bbbbbbbb", "/a/b", 4, ""),
            manifest("cccccccc", "/", 5, ""),
            manifest("dddddddd", "/new", 6, "canceled"),
            manifest("eeeeeeee", "/nothing", 7, "canceled"),
        ]))
    }

    fn resolved(reference: &str) -> String {
        let now: Zoned = "2026-01-10T12:00:00+00:00[UTC]".parse().unwrap();
        match resolve(&snapshots(), reference, &now) {
            Resolved::Found { root, path, .. } => format!("{root} {path}"),
            Resolved::Ambiguous { candidates, .. } => format!("{} fit", candidates.len()),
            Resolved::Unknown { candidates, .. } => {
                format!("unknown, {}", candidates.first().map_or("nothing near", String::as_str))
            }
            Resolved::Invalid { .. } => "invalid".into(),
        }
    }

    #[test]
    fn snapshots_are_named_in_many_ways() {
        for (reference, expected) in [
            ("aaaaaa33", "aaaaaa33 "),
            ("aaaaaa1:x/y", "aaaaaa11 x/y"),
            ("aaaaaa1:/x", "aaaaaa11 x"),
            ("bbbb", "bbbbbbbb "),
            ("/a/c", "aaaaaa22 c"),
            ("/a/b/c", "bbbbbbbb c"),
            ("/a@2026-01-01", "aaaaaa11 "),
            ("/a~1/b", "aaaaaa11 b"),
            ("aaaaaa1/x/y", "aaaaaa11 x/y"),
            ("AAAAAA1", "aaaaaa11 "),
            ("aaaaaa", "3 fit"),
            ("latest", "3 fit"),
            ("@2026-01-05", "3 fit"),
            ("u@h:/a", "aaaaaa22 "),
            ("u@h:/a/b", "bbbbbbbb "),
            ("u@h:/a/b/c", "bbbbbbbb c"),
            ("u@h:/a/c", "aaaaaa22 c"),
            ("u@h:/a~1/b", "aaaaaa11 b"),
            ("u@h:/a@2026-01-01T03:00:00Z/b", "aaaaaa11 b"),
            ("u@h:/a@8d", "aaaaaa22 "),
            ("u@h:/a/", "aaaaaa22 "),
            ("u@h:/a//", "aaaaaa22 "),
            ("u@h://a/./", "aaaaaa22 "),
            ("u@h:/x/../a", "aaaaaa22 "),
            ("u@h:/a/@2026-01-01", "aaaaaa11 "),
            ("u@h:/a/~/b", "aaaaaa11 b"),
            ("u@h:/a//b/", "bbbbbbbb "),
            ("u@h:/a/b/../c", "aaaaaa22 c"),
            ("u@h:/etc", "cccccccc etc"),
            ("u@h:/", "cccccccc "),
            ("u@h:/new", "dddddddd "),
            ("u@h:/new/x", "dddddddd x"),
            ("k00000000000000000000000000000002/x", "aaaaaa22 x"),
            ("k00000000000000000000000000000009", "k00000000000000000000000000000009 "),
        ] {
            assert_eq!(resolved(reference), expected, "{reference}");
        }
    }

    #[test]
    fn what_is_not_there_lists_what_is_near() {
        let day = |day: i64| human_time(UtcTimestamp((1_767_236_400 + (day - 1) * 86_400) * 1_000_000_000));
        let nothing = format!("unknown, eeeeeeee (u@h:/nothing, {}, incomplete)", day(7));
        let third = format!("unknown, aaaaaa33 (u@h:/a, {}, incomplete)", day(3));
        let first = format!("unknown, aaaaaa11 (u@h:/a, {})", day(1));
        for (reference, expected) in [
            ("v@h:/a", "unknown, u@h:/a"),
            ("bbb", "unknown, bbbbbbbb"),
            ("nothin", "unknown, u@h:/nothing"),
            ("u@h:/nothing", nothing.as_str()),
            ("u@h:/a~2", third.as_str()),
            ("u@h:/a@2025-12-31", first.as_str()),
            ("u@h:/a@yesteryear", "invalid"),
            ("latest~x", "invalid"),
        ] {
            assert_eq!(resolved(reference), expected, "{reference}");
        }
    }
}

//! The block of the log from which the operator learns which identities the repository has.
//!
//! Of a failed run the operator keeps the last [`STATUS_BYTES`] of the lines that pass its filter, and reads the identities out
//! of them. So the block is made as long as fits together with what comes after it.

use std::collections::BTreeMap;

use super::log;
use crate::snapshot::{Snapshots, Source, UtcTimestamp};
use crate::text::{counted, escape};

/// What the operator keeps of a log.
const STATUS_BYTES: usize = 1024;

const HEADER: &str = "=== Discovery Mode: Available Snapshots ===";
const FOOTER: &str = "=== End Discovery Mode ===";

/// Bytes of a path in the lines for the operator, which reads user and host alone.
const LONGEST_PATH: usize = 120;

/// Lines of the full list, which are not for the operator.
const MAX_LISTED: usize = 5000;

/// The complete snapshots of one identity.
#[derive(Clone, Copy)]
struct Identity<'a> {
    source: &'a Source,
    newest: UtcTimestamp,
}

/// Prints the block and then `closing`, the last of which decides what people read.
pub(super) fn print(snapshots: &Snapshots, requested: &Source, closing: &[String]) {
    // Some of these lines may pass the filter by the names in them, and would push what comes before them out.
    list_all(snapshots);
    log::line(HEADER);
    let taken: usize = HEADER.len() + 1 + closing.iter().map(|line| line.len() + 1).sum::<usize>();
    for line in fitting(snapshots, requested, STATUS_BYTES.saturating_sub(taken)) {
        log::line(line);
    }
    log::line(FOOTER);
    for line in closing {
        log::line(line);
    }
}

/// One line for each identity as long as they fit: the requested one first, then the newest.
fn fitting(snapshots: &Snapshots, requested: &Source, mut room: usize) -> Vec<String> {
    let complete = snapshots.all().complete();
    let mut newest: BTreeMap<(&str, &str), Identity<'_>> = BTreeMap::new();
    for snapshot in complete.iter() {
        let source = &snapshot.found_as;
        let candidate = Identity { source, newest: snapshot.end_time };
        let identity = newest.entry((&source.user, &source.host)).or_insert(candidate);
        if candidate.newest > identity.newest {
            *identity = candidate;
        }
    }
    let mut identities: Vec<_> =
        newest.into_values().filter(|identity| is_readable(identity.source)).collect();
    let is_requested = |source: &Source| source.user == requested.user && source.host == requested.host;
    identities.sort_by_key(|identity| (!is_requested(identity.source), std::cmp::Reverse(identity.newest)));
    let mut lines = Vec::new();
    for identity in identities {
        let Source { user, host, path } = identity.source;
        let short = log::cut(path, LONGEST_PATH);
        let rest = if short == path { "" } else { "..." };
        let line = format!("{user}@{host}:{short}{rest} {}", seconds(identity.newest));
        if line.len() < room {
            room -= line.len() + 1;
            lines.push(line);
        }
    }
    lines
}

/// Whether the operator can tell the parts of this source from each other in a line.
fn is_readable(source: &Source) -> bool {
    let Source { user, host, path } = source;
    let plain = [user, host, path].iter().all(|part| !part.is_empty() && escape(part) == **part);
    plain && !user.contains('@') && !host.contains(':')
}

/// The form in which the operator reads times.
fn seconds(time: UtcTimestamp) -> String {
    let text = time.to_string();
    log::cut(&text, "2006-01-02T15:04:05".len()).replace('T', " ")
}

/// Everything there is, for people, in a form that the operator's filter drops.
fn list_all(snapshots: &Snapshots) {
    let mut sources: BTreeMap<&Source, (usize, usize, UtcTimestamp)> = BTreeMap::new();
    let all = snapshots.all();
    for snapshot in all.iter() {
        let (complete, incomplete, end) = sources.entry(&snapshot.found_as).or_default();
        let count = if snapshot.is_complete() { complete } else { incomplete };
        *count += 1;
        *end = snapshot.end_time.max(*end);
    }
    log::info(format_args!(
        "the repository has {} of {}",
        counted(all.len(), "snapshot"),
        counted(sources.len(), "source")
    ));
    for (source, (complete, incomplete, end)) in sources.iter().take(MAX_LISTED) {
        let Source { user, host, path } = source;
        log::info(format_args!(
            "- user={user} host={host} path={path} complete={complete} incomplete={incomplete} newest={end}"
        ));
    }
    if sources.len() > MAX_LISTED {
        log::info(format_args!("... and {} more", sources.len() - MAX_LISTED));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_as_the_operator_reads_them() {
        assert_eq!(seconds("2024-01-02T03:04:05.678Z".parse().unwrap()), "2024-01-02 03:04:05");
    }

    #[test]
    fn sources_that_a_line_cannot_carry() {
        assert!(is_readable(&Source::new("a-b", "n.s", "/da ta")));
        for (user, host, path) in
            [("a@b", "h", "/"), ("", "h", "/"), ("a", "h:1", "/"), ("a", "h", ""), ("a", "h", "/x\ny")]
        {
            assert!(!is_readable(&Source::new(user, host, path)), "{user} {host} {path}");
        }
    }
}

//! `kopia snapshot list`: which snapshots there are, and why they are kept.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::tz::TimeZone;

use super::snapshot_rows::Rows;
use super::storage_stats::Counter;
use crate::content::Contents;
use crate::front::kopia::connection::{Connection, check_nothing, say_unlisted};
use crate::front::kopia::failure::Failure;
use crate::front::kopia::grammar::{Argument, Command, Flag, Kind, Typed};
use crate::front::kopia::output::{JSON, List, Output};
use crate::front::kopia::say;
use crate::snapshot::{AskedSource, Policies, Snapshot, Source, StorageStats};

const FLAGS: &[Flag] = &[
    Flag::switch("incomplete").letter('i'),
    Flag::new("human-readable", Kind::Switch(true)),
    Flag::switch("delta").letter('d'),
    Flag::switch("manifest-id").letter('m'),
    Flag::new("retention", Kind::Switch(true)),
    Flag::switch("mtime"),
    Flag::switch("owner"),
    Flag::switch("show-identical").letter('l'),
    Flag::switch("storage-stats"),
    Flag::switch("reverse"),
    Flag::switch("all").letter('a'),
    Flag::new("max-results", Kind::Int).letter('n'),
    Flag::new("tags", Kind::Texts),
];
const SOURCE: &[Argument] = &[Argument { name: "source", required: false, many: false }];

pub(super) const COMMAND: Command = Command::new(&["list", "ls"], &[FLAGS, JSON], SOURCE, run);

/// Labels of tags begin with this.
const TAG: &str = "tag:";

/// What to list.
struct Wanted {
    source: Option<AskedSource>,
    tags: BTreeMap<String, String>,
}

impl Wanted {
    fn new(typed: &Typed, connection: &Connection) -> Result<Self, Failure> {
        let source = typed.arguments.first().filter(|text| !text.is_empty());
        let source = source.map(|text| connection.asked(text)).transpose()?;
        Ok(Self { source, tags: tags(typed.texts("tags"))? })
    }

    /// A snapshot counts if its manifest is filed under the source or under a directory that contains it.
    fn has(&self, user: &str, host: &str, path: &str) -> bool {
        let Some(asked) = &self.source else { return true };
        !asked.is_without_path() && asked.is_covered_by(&Source::new(user, host, path))
    }

    fn takes(&self, snapshot: &Snapshot) -> bool {
        let Source { user, host, path } = &snapshot.found_as;
        self.has(user, host, path)
            && self.tags.iter().all(|(key, value)| snapshot.tags.get(key) == Some(value))
    }
}

fn tags(typed: &[String]) -> Result<BTreeMap<String, String>, Failure> {
    let mut tags = BTreeMap::new();
    for text in typed {
        let (key, value) = text
            .split_once(':')
            .ok_or_else(|| Failure::new(format!("Invalid tag format ({text}). Requires <key>:<value>")))?;
        if tags.insert(format!("{TAG}{key}"), value.to_owned()).is_some() {
            return Err(Failure::new(format!("Duplicate tag <key> found. ({key})")));
        }
    }
    Ok(tags)
}

fn run(typed: &Typed) -> Result<(), Failure> {
    tags(typed.texts("tags"))?;
    let connection = Connection::open(typed)?;
    let wanted = Wanted::new(typed, &connection)?;
    let mut catalog = connection.catalog()?;
    say_unlisted(&mut catalog, wanted.source.as_ref());
    let snapshots = catalog.all_snapshots();
    let found: Vec<_> = snapshots
        .groups()
        .into_iter()
        .map(|(source, group)| (source, group.into_iter().filter(|s| wanted.takes(s)).collect::<Vec<_>>()))
        .filter(|(_, group)| !group.is_empty())
        .collect();
    let known = |part: &Option<String>| part.clone().unwrap_or_default();
    let concerned = |problem: &crate::snapshot::Problem| {
        let unlabelled = [&problem.user, &problem.host, &problem.path].iter().any(|part| part.is_none());
        unlabelled || wanted.has(&known(&problem.user), &known(&problem.host), &known(&problem.path))
    };
    if found.is_empty() {
        check_nothing(&catalog, wanted.source.as_ref())?;
    }
    // Kopia does not list at all what it cannot read in full.
    if let Some(problem) = snapshots.problems().iter().find(|problem| concerned(problem)) {
        return Err(Failure::new(format!("unable to load snapshots: {}", problem.reason)));
    }
    let policies = Policies::new(catalog.manifests());
    for problem in policies.problems() {
        say(&format!("unable to determine effective policy: {problem}"));
    }
    let mut out = Output::new();
    let contents = typed.on("storage-stats").then(|| connection.contents()).transpose()?;
    if typed.on("json") {
        print_json(typed, &found, &policies, contents.as_ref(), &mut out)?;
        return out.finish();
    }
    let shown: Vec<_> = found
        .iter()
        .filter(|(source, _)| {
            typed.on("all") || (source.host == connection.host && source.user == connection.user)
        })
        .collect();
    if shown.is_empty() && !typed.on("all") && !found.is_empty() {
        say("No snapshots found. Pass --all to show snapshots from all users/hosts.\n");
    }
    let mut rows = Rows::new(typed, &connection, wanted.source.as_ref());
    for (i, (source, group)) in shown.into_iter().enumerate() {
        out.line(format!("{}{source}", if i > 0 { "\n" } else { "" }))?;
        let reasons = policies.retention(source).reasons(group, &TimeZone::system());
        let group = cut(typed, group.iter().cloned().zip(reasons).collect());
        let stats = storage_stats(contents.as_ref(), group.iter().map(|(snapshot, _)| snapshot))?;
        rows.print(group, stats, &mut out)?;
    }
    out.finish()?;
    rows.conclude()
}

/// Puts a group, which begins with the oldest, in the order that was asked for and keeps its end.
fn cut<T>(typed: &Typed, mut group: Vec<T>) -> Vec<T> {
    if typed.on("reverse") {
        group.reverse();
    }
    match typed.int("max-results").map(usize::try_from) {
        Some(Ok(most)) if most > 0 => group.split_off(group.len().saturating_sub(most)),
        _ => group,
    }
}

/// What each of the snapshots of a source adds to those before it; nothing, unless that is wanted.
fn storage_stats<'a>(
    contents: Option<&Contents>,
    group: impl Iterator<Item = &'a Arc<Snapshot>>,
) -> Result<Vec<StorageStats>, Failure> {
    let Some(contents) = contents else { return Ok(Vec::new()) };
    let index = contents.index();
    let mut counter = Counter::new(contents, &index);
    let counted = group.map(|snapshot| counter.add(snapshot)).collect::<Result<_, _>>();
    counted.map_err(|failure| failure.during("unable to iterate snapshots"))
}

fn print_json(
    typed: &Typed,
    found: &[(&Source, Vec<Arc<Snapshot>>)],
    policies: &Policies,
    contents: Option<&Contents>,
    out: &mut Output,
) -> Result<(), Failure> {
    let mut list = List::begin(typed, out)?;
    for (source, group) in found {
        let group = cut(typed, group.clone());
        // Here the reasons are those of what is left after the cut.
        let reasons = match typed.on("retention") {
            true => policies.retention(source).reasons(&group, &TimeZone::system()),
            false => vec![Vec::new(); group.len()],
        };
        let stats = storage_stats(contents, group.iter())?;
        for (i, (snapshot, reasons)) in group.iter().zip(&reasons).enumerate() {
            let listed = snapshot.listed(reasons);
            let json = match stats.get(i) {
                Some(stats) => listed.with_storage_stats(*stats).to_kopia_json(),
                None => listed.to_kopia_json(),
            };
            list.item(out, &json.map_err(|e| Failure::new(e.to_string()))?)?;
        }
    }
    list.end(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_part_of_what_contains_it() {
        let wanted = |source: &str| Wanted { source: source.parse().ok(), tags: BTreeMap::new() };
        let deep = wanted("u@h:/data/a/b");
        for (path, has) in [
            ("/data/a/b", true),
            ("/data", true),
            ("/", true),
            ("/data/a/b/c", false),
            ("/dat", false),
            ("/data/a/", true),
            ("", false),
        ] {
            assert_eq!(deep.has("u", "h", path), has, "{path}");
        }
        assert!(!deep.has("v", "h", "/data") && !deep.has("u", "g", "/data"));
        assert!(!wanted("u@h").has("u", "h", "/data"), "Kopia lists nothing for a source without a path");
        assert!(Wanted { source: None, tags: BTreeMap::new() }.has("", "", ""));
    }

    #[test]
    fn tags_are_checked() {
        let texts = |all: &[&str]| all.iter().map(|&text| text.to_owned()).collect::<Vec<_>>();
        assert_eq!(tags(&texts(&["a:b:c"])).unwrap(), [("tag:a".to_owned(), "b:c".to_owned())].into());
        assert!(tags(&texts(&["a"])).is_err());
        assert!(tags(&texts(&["a:b", "a:c"])).is_err());
    }
}

//! `kopia restore`: a snapshot, or what is below it, into a directory.

use std::path::{Path, PathBuf};

use super::resolve;
use crate::content::Contents;
use crate::front::kopia::connection::Connection;
use crate::front::kopia::failure::Failure;
use crate::front::kopia::grammar::{Argument, Command, Flag, Kind, Typed};
use crate::front::kopia::text::{Times, bytes};
use crate::front::kopia::{config::os_text, paths, say, words};
use crate::object::ObjectId;
use crate::os::signals;
use crate::restore::{Overwrite, Progress, Restore, Summary};
use crate::snapshot::{DirEntry, Snapshots, Source, Tree};
use crate::{Catalog, Error};

const fn on(name: &'static str) -> Flag {
    Flag::new(name, Kind::Switch(true))
}

const FLAGS: &[Flag] = &[
    on("overwrite-directories"),
    on("overwrite-files"),
    on("overwrite-symlinks"),
    Flag::switch("write-sparse-files"),
    Flag::switch("consistent-attributes").variable("KOPIA_RESTORE_CONSISTENT_ATTRIBUTES"),
    Flag::new("mode", Kind::OneOf(&["auto", "local", "zip", "zip-nocompress", "tar", "tgz"])),
    Flag::new("parallel", Kind::Int),
    Flag::switch("skip-owners"),
    Flag::switch("skip-permissions"),
    Flag::switch("skip-times"),
    on("ignore-permission-errors"),
    Flag::switch("write-files-atomically"),
    Flag::switch("ignore-errors"),
    Flag::switch("skip-existing"),
    Flag::switch("delete-extra"),
    Flag::new("shallow", Kind::Int),
    Flag::new("shallow-minsize", Kind::Int),
    Flag::new("snapshot-time", Kind::Text),
    Flag::switch("flush-files"),
];
const SOURCES: &[Argument] = &[Argument { name: "sources", required: true, many: true }];

pub(super) const COMMAND: Command = Command::new(&["restore"], &[FLAGS], SOURCES, run);

const DEFAULT_PARALLEL: i64 = 8;

/// Fewer reads in flight than this make a restore slow and nothing better.
const LEAST_READS: usize = 16;

/// Ends the names of files that stand for what a shallow restore has left out.
const PLACEHOLDER: &str = ".kopia-entry";

const ARCHIVES: [&str; 4] = [".zip", ".tar", ".tar.gz", ".tgz"];

fn run(typed: &Typed) -> Result<(), Failure> {
    only_ours(typed)?;
    let connection = Connection::open_for(typed, &written(typed))?;
    let (text, target) = source_and_target(typed, &connection)
        .map_err(|failure| failure.during("unable to initialize output"))?;
    let parallel = typed.int("parallel").unwrap_or(DEFAULT_PARALLEL);
    say(&format!("Restoring to local filesystem ({}) with parallelism={parallel}...", target.display()));
    let (catalog, contents) = connection.catalog_and_contents()?;
    let mut root = find(typed, &connection, &catalog, &contents, &text)?;
    forget_unsaved(&mut root);
    if !typed.on("overwrite-directories") && root.is_directory() && has_entries(&target)? {
        let what = "non-empty directory already exists, not overwriting it";
        return Err(Failure::new(format!(
            "error restoring: restore error: {what}: \"{}\"",
            target.display()
        )));
    }
    let object =
        root.object.ok_or_else(|| Failure::new("unable to get filesystem entry: entry without object ID"))?;
    resolve::exists(&contents, &object).map_err(|failure| {
        failure.during(&format!("error restoring: restore error: unable to open object: {object}"))
    })?;
    let clean_up = signals::CleanUp::new();
    let reads = usize::try_from(parallel).unwrap_or(0).max(LEAST_READS).max(contents.store().hints().reads);
    let keep = !typed.on("overwrite-files") || !typed.on("overwrite-symlinks");
    let summary = Restore::new(&contents, &root)
        .reads(reads)
        .overwrite(if keep { Overwrite::Never } else { Overwrite::Always })
        .skip_existing(typed.on("skip-existing"))
        .delete(typed.on("delete-extra"))
        .owner(!typed.on("skip-owners"))
        .permissions(!typed.on("skip-permissions"))
        .times(!typed.on("skip-times"))
        .sparse(typed.on("write-sparse-files"))
        .fsync(typed.on("flush-files"))
        .cancel(clean_up.flag())
        .run(&target, &Warnings)
        .map_err(|error| Failure::from(error).during("error restoring: restore error"))?;
    conclude(typed, &summary, keep)
}

/// Hands on what only a real Kopia does.
fn only_ours(typed: &Typed) -> Result<(), Failure> {
    let foreign = |what: &str| Err(Failure::Foreign(format!("`restore` {what}")));
    let archive = |text: &&String| ARCHIVES.iter().any(|ending| text.ends_with(ending));
    let mode = typed.text("mode").unwrap_or("auto");
    if !matches!(mode, "auto" | "local")
        || (mode == "auto" && typed.arguments.last().filter(archive).is_some())
    {
        return foreign("into an archive");
    }
    if typed.text("shallow").is_some() || typed.arguments.iter().any(|text| text.ends_with(PLACEHOLDER)) {
        return foreign("of placeholders");
    }
    match typed.text("snapshot-time") {
        None | Some("latest" | "oldest") => Ok(()),
        Some("") => Err(Failure::new("invalid snapshot time: it is empty")),
        Some(_) => foreign("with --snapshot-time"),
    }
}

/// Where it will write to, as far as that is known before the repository is open.
fn written(typed: &Typed) -> Vec<PathBuf> {
    let target = match typed.arguments.as_slice() {
        [source] if !source.starts_with('/') => source
            .split_once('@')
            .and_then(|(_, rest)| rest.split_once(':'))
            .map_or(source.as_str(), |(_, path)| path),
        [target] | [_, target] => target.as_str(),
        _ => return Vec::new(),
    };
    std::path::absolute(target).map(|target| paths::clean(&target)).into_iter().collect()
}

fn source_and_target(typed: &Typed, connection: &Connection) -> Result<(String, PathBuf), Failure> {
    match typed.arguments.as_slice() {
        [source] => {
            let Source { user, host, path } = connection.source(source)?;
            if path.is_empty() {
                return Err(Failure::new("the source must contain a path element"));
            }
            if host != connection.host || user != connection.user {
                let what = "a source of another user or host cannot be the target, too: name a target";
                return Err(Failure::new(what));
            }
            Ok((source.clone(), PathBuf::from(path)))
        }
        [source, target] => {
            let target = std::path::absolute(target).map_err(|e| Failure::new(os_text(&e)))?;
            Ok((source.clone(), paths::clean(&target)))
        }
        _ => Err(Failure::new("restore requires a source and targetpath or placeholders")),
    }
}

fn has_entries(directory: &Path) -> Result<bool, Failure> {
    match std::fs::read_dir(directory) {
        Ok(mut entries) => Ok(entries.next().is_some()),
        Err(e) if matches!(e.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory) => {
            Ok(false)
        }
        Err(e) => Err(Failure::new(format!("error restoring: {}: {}", directory.display(), os_text(&e)))),
    }
}

/// What is to be restored: by an ID with a path, or by a path in the newest snapshot that has it.
fn find(
    typed: &Typed,
    connection: &Connection,
    catalog: &Catalog,
    contents: &Contents,
    text: &str,
) -> Result<DirEntry, Failure> {
    let (id, _) = resolve::split(text);
    let snapshots = catalog.all_snapshots();
    if snapshots.get(id).is_none() && id.parse::<ObjectId>().is_err() {
        return find_in_sources(typed, connection, &snapshots, contents, text);
    }
    find_by_id(typed, &snapshots, catalog, contents, text)
        .map_err(|failure| failure.during("unable to get filesystem entry"))
}

fn find_by_id(
    typed: &Typed,
    snapshots: &Snapshots,
    catalog: &Catalog,
    contents: &Contents,
    text: &str,
) -> Result<DirEntry, Failure> {
    let (id, path) = resolve::split(text);
    let object = id.parse::<ObjectId>().ok().filter(|_| snapshots.get(id).is_none() && path.is_empty());
    if let Some(object) = object {
        if snapshots.root_attributes(&object).is_none() && resolve::exists(contents, &object).is_err() {
            // For Kopia an unknown object has attributes, too, and fails when it is read.
            return Ok(DirEntry { object: Some(object), ..DirEntry::default() });
        }
        if typed.on("consistent-attributes")
            && snapshots.root_attributes(&object).is_some_and(|(_, differ)| differ)
        {
            return Err(Failure::new("found multiple snapshots with inconsistent root attributes"));
        }
    }
    let found = resolve::find(catalog, contents, text)?;
    found.tree.entry(&found.path).map_err(resolve::lost)
}

fn find_in_sources(
    typed: &Typed,
    connection: &Connection,
    snapshots: &Snapshots,
    contents: &Contents,
    text: &str,
) -> Result<DirEntry, Failure> {
    let wanted = connection.asked(text)?;
    if wanted.is_without_path() {
        return Err(Failure::new("the source must contain a path element"));
    }
    let mut containing: Vec<Source> = wanted.readings().to_vec();
    for reading in wanted.readings() {
        containing.extend(std::iter::successors(reading.parent(), Source::parent));
    }
    let complete = snapshots.all().complete().filter(|snapshot| wanted.is_covered_by(&snapshot.found_as));
    if let Some(problem) =
        complete.problems().iter().find(|p| containing.iter().any(|source| p.concerns(source)))
    {
        return Err(Failure::new(format!("unable to load snapshots: {}", problem.reason)));
    }
    let mut candidates: Vec<_> = complete.iter().rev().collect();
    if typed.text("snapshot-time") == Some("oldest") {
        candidates.reverse();
    }
    for snapshot in candidates {
        let path = wanted.path_inside(&snapshot.found_as).unwrap_or_default();
        let found = Tree::of_snapshot(contents, snapshot).and_then(|tree| tree.entry(&path));
        match found {
            Ok(entry) => {
                let object = entry.object.map(|object| object.to_string()).unwrap_or_default();
                let time = Times::new(typed).show(snapshot.start_time);
                say("Restoring from");
                say(&format!("   Snapshot source: {}", snapshot.source));
                say(&format!("   Snapshot time: {time}"));
                say(&format!("   Relative path: {path}"));
                say(&format!("   Object ID: {object}"));
                return Ok(entry);
            }
            Err(error) if error.is_not_found() => {}
            // Passing over what cannot be read would restore older data without a word.
            Err(error) => return Err(Error::from(error).into()),
        }
    }
    Err(Failure::new(format!("no snapshots contain data for {wanted}")))
}

/// Kopia restores what it has, and says nothing about entries that it could not save.
fn forget_unsaved(root: &mut DirEntry) {
    if let Some(summary) = &mut root.summary {
        (summary.failed, summary.ignored_errors) = (0, 0);
        summary.errors.clear();
    }
}

struct Warnings;

impl Progress for Warnings {
    fn warning(&self, message: &str) {
        say(message);
    }
}

fn conclude(typed: &Typed, summary: &Summary, kept: bool) -> Result<(), Failure> {
    let size = |count: u64| bytes(i64::try_from(count).unwrap_or(i64::MAX));
    let Summary { files, dirs, symlinks, skipped, deleted, error_count, refused, .. } = summary;
    let ignored = typed.on("ignore-errors");
    let first = summary.errors.first();
    let first = first.map(|error| words::with_word(error.code, format!("{}: {}", error.path, error.message)));
    if *error_count > 0 && !ignored {
        let first = first.unwrap_or_default();
        let more =
            if *error_count > 1 { format!(" (and {} more errors)", error_count - 1) } else { String::new() };
        return Err(Failure::new(format!("error restoring: restore error: error copying: {first}{more}")));
    }
    if kept && *skipped > 0 {
        let what = format!("unable to create {skipped} entries, they already exist");
        return Err(Failure::new(format!("error restoring: restore error: error copying: {what}")));
    }
    if !refused.is_empty() {
        if !typed.on("ignore-permission-errors") && !ignored {
            // Lower case, as Go writes what the system said: callers look for it.
            let first = refused.entries.first();
            let first = first.map(|entry| format!("{}: {}", entry.path, entry.message.to_lowercase()));
            let what =
                format!("cannot set attributes of {} entries: {}", refused.count, first.unwrap_or_default());
            return Err(Failure::new(format!("error restoring: restore error: error copying: {what}")));
        }
        say(&format!("warning: {refused}"));
    }
    let mut line = format!(
        "Restored {files} files, {dirs} directories and {symlinks} symbolic links ({})",
        size(summary.bytes)
    );
    if *skipped > 0 {
        line.push_str(&format!(", skipped {skipped} ({})", size(summary.reused_bytes)));
    }
    if *deleted > 0 {
        line.push_str(&format!(", deleted {deleted} entries"));
    }
    if *error_count > 0 {
        line.push_str(&format!(", ignored {error_count} errors"));
    }
    say(&format!("{line}.\n"));
    Ok(())
}

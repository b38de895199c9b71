//! From a reference to the tree it names.

use std::fmt::Display;

use super::context::Context;
use super::failure::{Exit, Failure};
use super::links;
use super::open_repository::{Found, OpenRepository};
use super::output::shell_word;
use super::reference::{ALIKE, Root};
use crate::Error;
use crate::content::{ContentSource, Contents};
use crate::snapshot::{self, DirEntry, EntryType, Tree, WalkEntry};

/// Opens the tree that a reference names and finds the entry at the path after it.
pub(super) fn locate<'a>(
    repo: &mut OpenRepository,
    contents: &'a Contents,
    reference: &str,
    found: &Found,
) -> Result<(Tree<'a>, DirEntry), Failure> {
    let tree = open_found(repo, contents, reference, found)?;
    let entry = tree.entry(&found.path).map_err(|error| not_found_in(&tree, &found.path, error))?;
    Ok((tree, entry))
}

/// The failure for a path that leads nowhere, with the names most like the first one that is missing.
fn not_found_in(tree: &Tree<'_>, path: &str, error: snapshot::Error) -> Failure {
    let nearest = if error.is_not_found() { nearest(tree, path) } else { None };
    let failure = from(error);
    if let Some(nearest) = nearest {
        return failure.with_help(format!("nearest: {nearest}"));
    }
    let name = path.rsplit('/').next().unwrap_or(path);
    failure.with_help(format!("`rokopia find --all {}` looks for it in all snapshots", shell_word(name)))
}

/// The path with its first missing name replaced by the most similar one in that directory.
fn nearest(tree: &Tree<'_>, path: &str) -> Option<String> {
    let mut known = String::new();
    for name in path.split('/').filter(|name| !name.is_empty()) {
        let next = if known.is_empty() { name.to_owned() } else { format!("{known}/{name}") };
        if tree.entry(&next).is_ok() {
            known = next;
            continue;
        }
        let directory = tree.entry(&known).ok()?;
        let names = tree.directory(&directory, &known).ok()?.flatten().map(|entry| entry.raw_name);
        let likeness = |other: &String| strsim::jaro_winkler(name, other);
        let alike = names.filter(|other| likeness(other) >= ALIKE);
        let best = alike.max_by(|a, b| likeness(a).total_cmp(&likeness(b)))?;
        return Some(if known.is_empty() { best } else { format!("{known}/{best}") });
    }
    None
}

/// Opens the tree that a reference names.
pub(super) fn open_found<'a>(
    repo: &mut OpenRepository,
    contents: &'a Contents,
    reference: &str,
    found: &Found,
) -> Result<Tree<'a>, Failure> {
    match &found.root {
        Root::Snapshot(snapshot) => Tree::of_snapshot(contents, snapshot).map_err(from),
        Root::Object(object) => {
            if contents.original_length(object.content()).map_err(Error::from)?.is_none() {
                return Err(repo.no_such_object(reference)?);
            }
            Tree::of_object(contents, object).map_err(from)
        }
    }
}

/// The entry that a reference names, and what is needed to read it.
pub(super) struct Place<'a> {
    pub(super) contents: &'a Contents,
    pub(super) tree: Tree<'a>,
    pub(super) entry: DirEntry,
    pub(super) found: Found,
}

/// Opens the repository and calls `work` with the place that a reference names.
pub(super) fn at(
    context: &Context,
    reference: &str,
    work: impl FnOnce(&Place<'_>) -> Result<Exit, Failure>,
) -> Result<Exit, Failure> {
    with_repo(OpenRepository::open_for_contents(context)?, reference, work)
}

/// As [`at`], with symbolic links followed inside the snapshot.
pub(super) fn at_followed(
    context: &Context,
    reference: &str,
    work: impl FnOnce(&Place<'_>) -> Result<Exit, Failure>,
) -> Result<Exit, Failure> {
    let mut repo = OpenRepository::open_for_contents(context)?;
    let mut found = repo.find(reference)?;
    let contents = repo.contents()?;
    let tree = open_found(&mut repo, &contents, reference, &found)?;
    let entry = match tree.entry(&found.path) {
        Ok(entry) if entry.kind != EntryType::Symlink => entry,
        Err(error) if error.code() != "not-a-directory" => {
            return Err(not_found_in(&tree, &found.path, error));
        }
        _ => {
            let top = found.snapshot().map_or("", |snapshot| &snapshot.source.path);
            let (path, entry) = links::resolve(&tree, &found.path, top)?;
            found.path = path;
            entry
        }
    };
    work(&Place { contents: &contents, tree, entry, found })
}

/// As [`at`], by way of what all packs say of themselves.
pub(super) fn at_recovered(
    context: &Context,
    reference: &str,
    work: impl FnOnce(&Place<'_>) -> Result<Exit, Failure>,
) -> Result<Exit, Failure> {
    with_repo(OpenRepository::recovered(context)?, reference, work)
}

fn with_repo(
    mut repo: OpenRepository,
    reference: &str,
    work: impl FnOnce(&Place<'_>) -> Result<Exit, Failure>,
) -> Result<Exit, Failure> {
    let found = repo.find(reference)?;
    let contents = repo.contents()?;
    let (tree, entry) = locate(&mut repo, &contents, reference, &found)?;
    // The manifests make room for data.
    drop(repo);
    work(&Place { contents: &contents, tree, entry, found })
}

/// A failure in a tree: a path that is not there is a definite no.
pub(super) fn from(error: snapshot::Error) -> Failure {
    let not_found = error.is_not_found();
    let path = error.path().map(str::to_owned);
    let id = error.snapshot().map(ToString::to_string);
    let mut failure = Failure::from(Error::from(error));
    if not_found {
        failure = failure.exit(Exit::Negative);
    }
    if let Some(path) = path {
        failure = failure.path(path);
    }
    if let Some(id) = id {
        failure = failure.snapshot(id);
    }
    failure
}

/// Counts and names what could not be read while the rest goes on.
#[derive(Default)]
pub(super) struct Troubles {
    count: u64,
}

impl Troubles {
    pub(super) fn add(&mut self, error: &snapshot::Error) {
        self.note(error.code(), error);
    }

    /// Names something else than an error of a tree.
    pub(super) fn note(&mut self, code: &str, what: impl Display) {
        self.count += 1;
        tracing::error!("{what} [{code}]");
    }

    /// Done in part where there was trouble, else as given.
    pub(super) fn exit(&self, otherwise: Exit) -> Exit {
        if self.count > 0 && otherwise == Exit::Done { Exit::Partial } else { otherwise }
    }
}

/// Shows every entry below the path to `visit`, with paths relative to it; a file is shown itself, by its name.
pub(super) fn each(
    tree: &Tree<'_>,
    path: &str,
    recursive: bool,
    troubles: &mut Troubles,
    mut visit: impl FnMut(&str, &DirEntry, &mut Troubles) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut walk = tree.walk(path).map_err(from)?;
    let mut base = None;
    while let Some(item) = walk.next() {
        let WalkEntry { path, depth, entry } = match item {
            Ok(found) => found,
            Err(error) => {
                troubles.add(&error);
                continue;
            }
        };
        if base.is_none() {
            if !entry.is_directory() {
                let name = entry.raw_name.clone();
                visit(&name, &entry, troubles)?;
            }
            base = Some(path.len());
            continue;
        }
        let relative = path.get(base.unwrap_or(0)..).unwrap_or(&path).trim_start_matches('/');
        visit(relative, &entry, troubles)?;
        if !recursive && depth > 0 {
            walk.skip_directory();
        }
    }
    Ok(())
}

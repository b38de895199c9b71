//! A directory of this machine against a snapshot.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::comparison::{Compared, Comparison};
use super::{Counted, Line, text};
use crate::front::cli::context::Context;
use crate::front::cli::failure::{Exit, Failure};
use crate::front::cli::listing::Attributes;
use crate::front::cli::open_repository::OpenRepository;
use crate::front::cli::output::Output;
use crate::front::cli::progress::{Activity, Unit};
use crate::front::cli::tree::{Troubles, locate};
use crate::front::cli::units::human_size;
use crate::snapshot::{Difference, Snapshots};
use crate::text::counted;

/// The last object of `--json`.
#[derive(Serialize)]
struct Summary {
    identical: bool,
    files: u64,
    dirs: u64,
    symlinks: u64,
    /// Bytes that were read on both sides.
    bytes: u64,
    differences: u64,
    uncompared: u64,
}

/// The directory that an argument of `diff` means: a path that begins with `/`, `./` or `../`, and is there.
///
/// # Errors
/// It is as well the path of a source, so that the newest snapshot of that could be meant.
pub(super) fn named(argument: &str, snapshots: &Snapshots) -> Result<Option<PathBuf>, Failure> {
    let is_path =
        matches!(argument, "." | "..") || ["/", "./", "../"].iter().any(|p| argument.starts_with(p));
    if !is_path || !Path::new(argument).is_dir() {
        return Ok(None);
    }
    let path = argument.trim_end_matches('/');
    let is_below = |top: &str| {
        let top = top.trim_end_matches('/');
        path.strip_prefix(top).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let explicit = argument.ends_with("/.");
    match snapshots.sources().into_iter().find(|source| is_below(&source.path)) {
        Some(source) if !explicit => Err(Failure::wrong_usage(format!(
            "{argument} is a directory here and the path of a source: which one is meant?"
        ))
        .with_help(format!("{path}/. is the directory"))
        .with_help(format!("{}@{}:{argument} is the snapshot", source.user, source.host))),
        _ => Ok(Some(PathBuf::from(argument))),
    }
}

/// The failure for an argument that names nothing in the repository; a directory here may have been meant.
pub(super) fn meant(argument: &str, failure: Failure) -> Failure {
    match Path::new(argument).is_dir() {
        true => failure.with_help(format!("./{argument} is the directory of this machine")),
        false => failure,
    }
}

/// Compares them and says whether they are identical.
pub(super) fn run(
    directory: &Path,
    reference: &str,
    is_new: bool,
    chosen: &Counted,
    mut repo: OpenRepository,
    context: &Context,
) -> Result<Exit, Failure> {
    let found = repo.find(reference).map_err(|failure| meant(reference, failure))?;
    let contents = repo.contents()?;
    let (tree, entry) = locate(&mut repo, &contents, reference, &found)?;
    let mut comparison = Comparison::new(directory, &tree, entry).map_err(|e| {
        Failure::new(Exit::Unknown, "local-unreadable", format!("reading {}: {e}", directory.display()))
    })?;
    let mut troubles = Troubles::default();
    let mut out = Output::new();
    let mut activity = Activity::new(context, Unit::Things("difference"), None);
    let (mut differences, mut uncompared) = (0, 0);
    for item in comparison.by_ref() {
        let found = match item {
            Ok(found) => found,
            Err(trouble) => {
                uncompared += 1;
                let path = if trouble.path.is_empty() { "." } else { &trouble.path };
                troubles.note(trouble.code, format!("{path}: {}", trouble.reason));
                continue;
            }
        };
        let Some(found) = chosen.leave_out(found) else { continue };
        differences += 1;
        activity.step();
        // The directory comes as the old side.
        let found = match is_new {
            false => found,
            true => Difference { old: found.new, new: found.old, ..found },
        };
        if context.json {
            let mut shown =
                |entry, here: bool| Attributes::new(&tree, &found.path, entry, !here, &mut troubles);
            let old = found.old.as_ref().map(|entry| shown(entry, !is_new));
            let new = found.new.as_ref().map(|entry| shown(entry, is_new));
            activity.aside(|| out.json(&Line::new(&found, old, new)))?;
        } else {
            activity.aside(|| out.line(text(&found)))?;
        }
    }
    drop(activity);
    let compared = comparison.compared();
    if compared.special > 0 {
        let special = counted(compared.special, "socket, pipe or device/sockets, pipes and devices");
        tracing::warn!("left out: {special}, which no snapshot holds");
    }
    if context.json {
        let Compared { files, dirs, symlinks, bytes, .. } = compared;
        let identical = differences == 0 && uncompared == 0;
        out.json(&Summary { identical, files, dirs, symlinks, bytes, differences, uncompared })?;
    } else if differences == 0 && uncompared == 0 && !context.quiet {
        out.line(good_news(&compared, chosen.filter.is_everything()))?;
    }
    out.finish()?;
    Ok(troubles.exit(if differences > 0 { Exit::Negative } else { Exit::Done }))
}

/// That nothing differs, and how much that says.
fn good_news(compared: &Compared, is_everything: bool) -> String {
    let Compared { files, dirs, symlinks, bytes, .. } = *compared;
    format!(
        "{}: {}, {}, {}, {} read and compared",
        if is_everything { "identical" } else { "nothing that the filters choose differs" },
        counted(files, "file"),
        counted(dirs, "directory/directories"),
        counted(symlinks, "symbolic link"),
        human_size(bytes)
    )
}

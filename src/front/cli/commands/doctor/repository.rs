//! Whether the repository opens, and what a restore would find in it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Report, State};
use crate::Access;
use crate::audit::health::MANY_INDEX_BLOBS;
use crate::blob::BlobStore;
use crate::front::cli::context::Context;
use crate::front::cli::failure::Failure;
use crate::front::cli::open_repository::OpenRepository;
use crate::front::cli::units::{ago, human_size, human_span};
use crate::snapshot::{Snapshot, UtcTimestamp};
use crate::text::counted;

/// An opening that takes this long is felt in each restore and each answer.
const SLOW: Duration = Duration::from_secs(10);

/// Bytes that the snapshots to restore take. `None` where they are not known.
pub(super) fn check(
    context: &Context,
    store: &Arc<dyn BlobStore>,
    sources: &[String],
    report: &mut Report,
) -> Option<u64> {
    let begun = Instant::now();
    let opened = context.repository_in(Arc::clone(store), Access::Snapshots);
    let repository = match opened {
        Ok(repository) => repository,
        Err(failure) => {
            report.failure("repository", &failure);
            return None;
        }
    };
    let format = repository.format();
    let identity = format!(
        "{}, format version {}, {}, {}",
        hex::encode(format.unique_id()),
        format.version(),
        format.encryption().name(),
        format.hash_algorithm().name()
    );
    match format.warnings() {
        [] => report.ok("repository", format!("the password fits: {identity}")),
        warnings => {
            let warnings: Vec<String> = warnings.iter().map(ToString::to_string).collect();
            report.add("repository", State::Warning, format!("{identity}; {}", warnings.join("; ")), &[]);
        }
    }
    let mut repo = match OpenRepository::for_contents(context, repository) {
        Ok(repo) => repo,
        Err(failure) => {
            report.failure("index", &failure);
            return None;
        }
    };
    index(context, &mut repo, begun, report);
    snapshots(&mut repo, report);
    if sources.is_empty() {
        let groups = repo.snapshots.groups();
        let newest = groups.iter().filter_map(|(_, group)| group.iter().rev().find(|s| s.is_complete()));
        return newest.filter_map(|snapshot| size(snapshot)).max();
    }
    let found: Vec<_> = sources.iter().map(|source| choice(&mut repo, source, report)).collect();
    found.into_iter().sum()
}

/// The index is loaded as for a restore.
fn index(context: &Context, repo: &mut OpenRepository, begun: Instant, report: &mut Report) {
    let contents = match repo.contents() {
        Ok(contents) => contents,
        Err(failure) => return report.failure("index", &failure),
    };
    let took = begun.elapsed();
    let index = contents.index();
    let blobs = repo.catalog.index().blob_count();
    let text = format!(
        "{} with {}, {} in memory; opened in {}",
        counted(blobs as u64, "index blob"),
        counted(index.entries(), "content"),
        human_size(index.memory()),
        human_span(took)
    );
    if let Err(failure) = context.memory_for_data(&contents) {
        return report.failure("index", &failure);
    }
    if blobs >= MANY_INDEX_BLOBS || took > SLOW {
        let help = "run `kopia maintenance run --full` with Kopia: it merges index blobs";
        return report.add("index", State::Warning, text, &[help]);
    }
    report.ok("index", text);
}

fn snapshots(repo: &mut OpenRepository, report: &mut Report) {
    let complete = repo.lists_are_complete();
    let text = format!(
        "{} of {}",
        counted(repo.snapshots.all().len() as u64, "snapshot"),
        counted(repo.snapshots.sources().len() as u64, "source")
    );
    match repo.doubts.first() {
        None if complete => report.ok("snapshots", text),
        reason => {
            let why = reason
                .map_or_else(|| "packs name snapshots that no index lists".to_owned(), ToString::to_string);
            report.add(
                "snapshots",
                State::Warning,
                format!("{text}, but the list may be incomplete: {why}"),
                &["`rokopia verify --level index` names what is missing"],
            );
        }
    }
}

/// What a restore of this source would take; its bytes.
fn choice(repo: &mut OpenRepository, source: &str, report: &mut Report) -> Option<u64> {
    let found = repo.find(source).and_then(|found| match found.snapshot() {
        Some(snapshot) => Ok((snapshot.clone(), found.newer.clone())),
        None => Err(Failure::wrong_usage(format!("{source} is not a source"))),
    });
    let (snapshot, newer) = match found {
        Ok(found) => found,
        Err(failure) => {
            report.failure("source", &failure);
            return None;
        }
    };
    let size = size(&snapshot);
    let age = ago(snapshot.start_time, UtcTimestamp::now());
    let shown = size.map_or_else(String::new, |size| format!(", {}", human_size(size)));
    let text = format!("{source}: a restore takes {}, begun {age}{shown}", snapshot.id);
    match newer {
        None => report.ok("source", text),
        Some(reason) => {
            let text = format!("{text}; a newer one may exist: {reason}");
            report.add("source", State::Warning, text, &["`rokopia verify --level index` says more"]);
        }
    }
    size
}

fn size(snapshot: &Snapshot) -> Option<u64> {
    let root = snapshot.root.as_ref()?;
    u64::try_from(root.kopia_size_and_mtime().0).ok()
}

//! One verification from beginning to end.

use std::collections::HashMap;
use std::sync::Arc;

use super::error::Error;
use super::fault::Fault;
use super::forensics::{Examined, Forensics};
use super::job::Job;
use super::ledger::{ProofHistory, compare};
use super::options::Level;
use super::outcome::Outcome;
use super::plan::packs::Plan;
use super::read::packs::read_packs;
use super::read::second_look::SecondLook;
use super::report::assemble::{self, Evidence};
use super::report::model::Report;
use super::snapshots::ListedSnapshots;
use super::view::{self, SnapshotView};
use super::{auxiliary, repaired};
use crate::blob::{BlobId, BlobKind, BlobMetadata};
use crate::content::Contents;
use crate::format::RepositoryFormat;
use crate::index::{self, ContentIndex, IndexReader, Position};

/// The part of the memory that the reading plan may take; a longer one goes to a file.
const PLAN_SHARE: u64 = 8;

type Listing = HashMap<BlobId, BlobMetadata>;

/// Verifies the repository.
///
/// # Errors
/// Failures that leave nothing to report.
pub(super) fn verify(job: &Job<'_>) -> Result<Report, Error> {
    let settings = job.asked.settings;
    let format = job.asked.repository.format();
    let reader = IndexReader::new(&job.store, format, job.index_options());
    let index = reader.load()?;
    let active = reader.active()?;
    // Listed after the index was read: a pack that the index names and the listing lacks is gone, not yet to come.
    let listing: Listing = job.store.list("")?.into_iter().map(|blob| (blob.id.clone(), blob)).collect();
    let remarks = job.store.remarks();
    let room = job.room_for_manifests();
    let mut forensics =
        Examined::new(&job.store, format, &reader, &index, &active, &listing, &room).examine();
    let contents =
        Contents::with_index(Arc::clone(&job.store), Arc::clone(format), job.index_options(), index);
    let index = contents.index();

    let needs = settings.snapshots.as_ref().and_then(|ids| view::needs(job, &contents, ids));
    let wanted = |position| needs.as_ref().is_none_or(|needs| needs.contains(&position));
    let mut plan = plan(job, &index, &listing, wanted)?;
    index.check()?;
    let mut outcome = Outcome { failures: std::mem::take(&mut plan.failures), ..Outcome::default() };
    let mut ledger_failure = None;
    if settings.level >= Level::Decrypt {
        check_auxiliary(job, &listing, &mut forensics, &mut outcome);
        ledger_failure = read_packs(job, &plan, &index, &mut outcome)?;
        plan.check()?;
    } else {
        for pack in &plan.packs {
            outcome.prove(pack.contents(), pack.bytes, job.began);
            outcome.good_packs += 1;
        }
    }
    let contents = look_again(job, contents, &mut plan, &mut outcome, wanted)?;

    let SnapshotView { mut listed, shown, impact } = SnapshotView::of(job, &contents, &outcome.failures);
    if settings.level == Level::Files {
        // The scan left them cached for the walk.
        let metadata = listing.keys().filter(|blob| blob.kind() == BlobKind::MetadataPack);
        metadata.for_each(|blob| job.store.forget(blob));
    }
    let last = contents.index();
    if !Arc::ptr_eq(&index, &last) {
        forensics.add_doubts(&last, &reader.active()?);
    }
    // An index that cannot be read lacks nothing, and where a mount went away everything would be missing: neither
    // is damage.
    index.check()?;
    last.check()?;
    check_format(job, &mut forensics)?;
    compare_with_former_run(job, &listed, &mut forensics)?;
    listed.snapshots = shown;
    if let Some(e) = ledger_failure {
        forensics.damage.push(Fault { unchecked: true, ..Fault::new(e.code(), e.to_string()) });
    }
    Ok(assemble::report(Evidence {
        settings,
        location: job.store.describe(),
        plan: &plan,
        index: last,
        forensics,
        remarks,
        outcome,
        known: listed,
        impact,
        stopped: job.stopped(),
        began: job.began,
        elapsed: job.begun.elapsed(),
    }))
}

/// Plans which contents are read, in memory or in a file without a name.
fn plan(
    job: &Job<'_>,
    index: &ContentIndex,
    listing: &Listing,
    wanted: impl Fn(Position) -> bool,
) -> Result<Plan, Error> {
    let settings = job.asked.settings;
    let options = job.index_options();
    let spill =
        options.spill_directory.as_deref().map(|path| job.store.guard().writable(path)).transpose()?;
    let room = (settings.memory / PLAN_SHARE, spill.as_ref());
    let plan = Plan::build(job.asked.repository.format(), index, listing, room, settings.shard, wanted);
    Ok(plan.map_err(index::Error::Spill)?)
}

/// Checks the blobs that are no packs.
fn check_auxiliary(job: &Job<'_>, listing: &Listing, forensics: &mut Forensics, outcome: &mut Outcome) {
    let format = job.asked.repository.format();
    let mut blobs: Vec<&BlobMetadata> = listing.values().collect();
    blobs.sort_by(|a, b| a.id.cmp(&b.id));
    for blob in blobs {
        if let Some((fault, vital)) = auxiliary::check(&job.store, format, blob) {
            if vital { &mut forensics.damage } else { &mut forensics.unneeded }.push(fault);
        }
        if blob.id.kind().is_sealed() {
            let mended = repaired::mended(&job.store, format, &blob.id);
            outcome.repairs.extend(mended.into_iter().map(|range| (blob.id.clone(), range)));
        }
    }
}

/// Looks again for the contents of packs that are not there, by way of the newest index.
fn look_again(
    job: &Job<'_>,
    contents: Contents,
    plan: &mut Plan,
    outcome: &mut Outcome,
    wanted: impl Fn(Position) -> bool,
) -> Result<Contents, Error> {
    let index = contents.index();
    outcome.gone = outcome.vanished.len() as u64;
    let missing = std::mem::take(&mut plan.missing);
    let all = if missing.is_empty() { None } else { Some(index.positions()) };
    let gone = all.into_iter().flatten().filter(|(at, e)| missing.contains(&e.pack.number()) && wanted(*at));
    let vanished = std::mem::take(&mut outcome.vanished);
    let suspects =
        gone.map(|(_, entry)| entry).chain(vanished.into_iter().filter_map(|position| index.at(position)));
    let look = SecondLook {
        repository: job.asked.repository,
        store: &job.store,
        options: job.index_options(),
        level: job.asked.settings.level.of_packs(),
    };
    look.look(contents, suspects, outcome)
}

/// Checks that `kopia.repository` is still there, or says that only a copy of it is.
fn check_format(job: &Job<'_>, forensics: &mut Forensics) -> Result<(), Error> {
    let Some(copy) = job.asked.repository.format().copy() else {
        RepositoryFormat::read_blob(&job.store)?;
        return Ok(());
    };
    job.store.size(copy)?;
    let detail =
        format!("kopia.repository is lost or damaged, and everything was read with the copy of it in {copy}");
    forensics.damage.push(Fault::of_blob("format-copy-exists", copy, detail));
    Ok(())
}

/// Compares the snapshots with those that the last run saw, and writes them to the ledger.
fn compare_with_former_run(
    job: &Job<'_>,
    listed: &ListedSnapshots,
    forensics: &mut Forensics,
) -> Result<(), Error> {
    let accepted = job.asked.settings.accept_missing_snapshots;
    let mut missing = Vec::new();
    if let Some(before) = job.asked.history.and_then(ProofHistory::snapshots)
        && !accepted
    {
        compare::compare(before, listed, &mut missing, &mut forensics.warnings);
    }
    let sound = missing.is_empty() && forensics.damage.is_empty() && listed.findings.is_empty();
    // A snapshot whose manifest may not be read is not gone.
    let unread = listed.findings.iter().any(|finding| finding.fault.unchecked);
    missing.iter_mut().for_each(|fault| fault.unchecked |= unread);
    forensics.damage.append(&mut missing);
    match job.asked.ledger {
        Some(ledger) if sound || accepted => ledger.note_snapshots(compare::record(listed, job.began)),
        _ => Ok(()),
    }
}

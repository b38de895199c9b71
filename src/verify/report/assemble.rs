//! Putting the report together from everything that was found.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::blob::{BlobId, Remarks};
use crate::index::{ContentId, ContentIndex, Entry};
use crate::snapshot::UtcTimestamp;
use crate::verify::fault::{Fault, Finding};
use crate::verify::forensics::Forensics;
use crate::verify::lookup::look_up;
use crate::verify::options::Settings;
use crate::verify::outcome::Outcome;
use crate::verify::plan::packs::Plan;
use crate::verify::report::model::{
    Coverage, Damage, Ecc, RepairedBlob, Report, SnapshotState, Stopped, Unreferenced, Verdict,
};
use crate::verify::snapshots::ListedSnapshots;
use crate::verify::trees::graph::Trees;
use crate::verify::trees::impact::Impact;

/// Offsets listed for one mended blob.
const OFFSETS: usize = 100;

/// Damaged contents listed one by one, of those of which no path is known that is lost by it.
const MAX_OTHERS: usize = 50_000;

/// Everything that was found.
pub(crate) struct Evidence<'a> {
    pub(crate) settings: &'a Settings,
    pub(crate) location: String,
    pub(crate) plan: &'a Plan,
    pub(crate) index: Arc<ContentIndex>,
    pub(crate) forensics: Forensics,
    pub(crate) remarks: Remarks,
    pub(crate) outcome: Outcome,
    pub(crate) known: ListedSnapshots,
    pub(crate) impact: Option<(Trees, Impact)>,
    pub(crate) stopped: Option<Stopped>,
    pub(crate) began: i64,
    pub(crate) elapsed: Duration,
}

/// The report.
pub(crate) fn report(evidence: Evidence<'_>) -> Report {
    let Evidence { settings, location, plan, index, forensics, remarks, outcome, known, impact, .. } =
        evidence;
    let mut damage: Vec<Damage> = Vec::new();
    let mut unneeded: Vec<Damage> = Vec::new();
    damage.extend(forensics.damage.into_iter().map(|fault| damage_of(fault.into())));
    unneeded.extend(forensics.unneeded.into_iter().map(|fault| damage_of(fault.into())));
    unneeded.extend(outcome.footers.iter().map(|fault| damage_of(fault.clone().into())));
    let mut warnings = remarks.warnings;
    warnings.extend(forensics.warnings);

    let mut reported: BTreeSet<ContentId> = BTreeSet::new();
    let mut snapshots: Vec<SnapshotState> =
        known.snapshots.iter().map(|known| SnapshotState::of(known, 0)).collect();
    let certain = impact.as_ref().is_none_or(|(trees, _)| trees.is_complete());
    if let Some((trees, mut impact)) = impact {
        warnings.extend(trees.warnings);
        for (at, mut finding) in trees.findings.into_iter().enumerate() {
            reported.extend(finding.content);
            let paths = impact.paths.get_mut(at).map(std::mem::take).unwrap_or_default();
            let more_paths = impact.truncated.get(at).copied().unwrap_or(false);
            if paths.is_empty() && !more_paths {
                // It concerns an entry that another one of the same name hides.
                continue;
            }
            let superseded = finding.content.and_then(|content| forensics.superseded_only.get(&content));
            if let Some(blob) = superseded.filter(|_| finding.fault.code == "content-missing") {
                let detail = &finding.fault.detail;
                finding.fault.detail =
                    format!("{detail}; the superseded index blob {blob} still knows where it was").into();
            }
            damage.push(Damage { paths, more_paths, ..damage_of(finding) });
        }
        for (snapshot, lost) in snapshots.iter_mut().zip(&impact.damaged) {
            snapshot.damaged_paths = *lost;
            snapshot.whole = *lost == 0;
        }
    }
    damage.extend(known.findings.iter().cloned().map(damage_of));
    let mut others = Others::default();
    let mut note = |content: &ContentId, deleted: bool, fault: &Fault| {
        // Maintenance deletes packs of deleted contents; the entries stay for a while.
        if reported.contains(content) || (fault.code == "pack-missing" && deleted) {
            return;
        }
        let is_manifest = content.is_manifest() && !deleted;
        let said = || known.findings.iter().any(|finding| finding.content.as_ref() == Some(content));
        if !is_manifest {
            others.add(content, fault, !(certain || deleted));
        } else if !said() {
            others.add(content, fault, true);
        }
    };
    for (content, fault) in outcome.failures.iter() {
        note(content, look_up(&index, content).is_none_or(|(_, entry)| entry.deleted), fault);
    }
    // Of some snapshots only what they need was looked for, and that was reported with what is lost by it.
    if outcome.failures.has_missing_packs() && settings.snapshots.is_none() {
        let missing: Vec<bool> = index.packs().iter().map(|pack| outcome.failures.is_missing(pack)).collect();
        let gone = |entry: &Entry| missing.get(entry.pack.number() as usize).copied().unwrap_or(false);
        for entry in index.iter().filter(gone).filter(|entry| !outcome.failures.holds(&entry.id)) {
            if let Some(fault) = outcome.failures.fault(&entry.id, index.pack(entry.pack)) {
                note(&entry.id, entry.deleted, &fault);
            }
        }
    }
    others.finish(&mut damage, &mut unneeded);
    let began = UtcTimestamp(evidence.began.saturating_mul(1_000_000_000));
    for snapshot in &known.snapshots {
        let problem = snapshot.start_time.clock_problem(began);
        warnings.extend(problem.map(|problem| format!("snapshot {}: {problem}", snapshot.id)));
    }
    if !forensics.superseded_only.is_empty() {
        let only = &forensics.superseded_only;
        let example =
            only.iter().next().map(|(content, blob)| format!("{content} in {blob}")).unwrap_or_default();
        warnings.push(format!(
            "{} contents are known only to superseded index blobs, which nobody reads (for example {example})",
            only.len()
        ));
    }

    if forensics.index_unread {
        let missing = damage.iter_mut().filter(|item| item.code == "content-missing");
        missing.for_each(|item| item.unchecked = true);
    }
    let coverage = coverage(plan, &outcome);
    let unchecked_only = !damage.is_empty() && damage.iter().all(|item| item.unchecked);
    let result = if !damage.is_empty() && !unchecked_only {
        Verdict::Damaged
    } else if unchecked_only
        || outcome.unproved_packs > 0
        || evidence.stopped.is_some()
        || settings.shard.count() > 1
    {
        Verdict::Incomplete
    } else {
        Verdict::Clean
    };
    let newest_whole = newest_whole(&snapshots);
    Report {
        result,
        level: settings.level.as_str(),
        coverage,
        newest_whole,
        snapshots,
        ecc: ecc(&outcome, &damage, &unneeded),
        damage,
        unneeded,
        unreferenced: Unreferenced {
            blobs: forensics.unnamed.len() as u64,
            bytes: forensics.unnamed.iter().map(|blob| blob.size).sum(),
        },
        foreign: remarks.foreign.into(),
        warnings,
        shard: (settings.shard.count() > 1).then(|| settings.shard.to_string()),
        repository: location,
        started: evidence.began,
        seconds: (evidence.elapsed.as_secs_f64() * 1000.0).round() / 1000.0,
        stopped: evidence.stopped,
    }
}

/// Contents that are bad, and of which no path is known that is lost by it.
#[derive(Default)]
struct Others {
    listed: Vec<(bool, Damage)>,
    /// How many there are besides, whether they may be needed, and what they have in common.
    more: BTreeMap<(bool, &'static str, Option<BlobId>, bool), u64>,
}

impl Others {
    fn add(&mut self, content: &ContentId, fault: &Fault, may_be_needed: bool) {
        if self.listed.len() < MAX_OTHERS {
            let finding = Finding { content: Some(*content), ..fault.clone().into() };
            self.listed.push((may_be_needed, damage_of(finding)));
            return;
        }
        let alike = (may_be_needed, fault.code, fault.blob.clone(), fault.unchecked);
        *self.more.entry(alike).or_default() += 1;
    }

    fn finish(self, damage: &mut Vec<Damage>, unneeded: &mut Vec<Damage>) {
        let more = self.more.into_iter().map(|((may_be_needed, code, blob, unchecked), count)| {
            let detail = format!("{count} more contents besides those that are listed one by one");
            (may_be_needed, damage_of(Fault { blob, unchecked, ..Fault::new(code, detail) }.into()))
        });
        for (may_be_needed, item) in self.listed.into_iter().chain(more) {
            if may_be_needed { damage.push(item) } else { unneeded.push(item) }
        }
    }
}

/// Snapshots are in the order of their times.
fn newest_whole(snapshots: &[SnapshotState]) -> BTreeMap<String, String> {
    let whole = snapshots.iter().filter(|snapshot| snapshot.whole && snapshot.complete);
    whole.map(|snapshot| (snapshot.source.clone(), snapshot.id.clone())).collect()
}

fn coverage(plan: &Plan, outcome: &Outcome) -> Coverage {
    let planned: u64 = plan.packs.iter().map(|pack| pack.contents() as u64).sum();
    let bytes: u64 = plan.packs.iter().map(|pack| pack.bytes).sum();
    Coverage {
        contents: planned.saturating_sub(outcome.gone) + outcome.outside + plan.impossible,
        verified: outcome.good,
        bytes: bytes.max(outcome.good_bytes),
        verified_bytes: outcome.good_bytes,
        oldest_proof: outcome.oldest_proof,
        packs: plan.packs.len() as u64,
        verified_packs: outcome.good_packs,
        read_bytes: outcome.read_bytes,
        runs_to_cover: outcome.rounds,
    }
}

fn damage_of(finding: Finding) -> Damage {
    let Finding { fault, content, object } = finding;
    Damage {
        code: fault.code.to_owned(),
        blob: fault.blob.map(|blob| blob.to_string()),
        content: content.map(|content| content.to_string()),
        object: object.map(|object| object.to_string()),
        detail: fault.detail.into(),
        paths: Vec::new(),
        more_paths: false,
        unchecked: fault.unchecked,
        unrepairable: fault.unrepairable,
    }
}

fn ecc(outcome: &Outcome, damage: &[Damage], unneeded: &[Damage]) -> Ecc {
    let mut blobs: BTreeMap<&BlobId, Vec<u64>> = BTreeMap::new();
    for (blob, range) in &outcome.repairs {
        blobs.entry(blob).or_default().push(range.start);
    }
    let broken: BTreeSet<&str> = damage
        .iter()
        .chain(unneeded)
        .filter(|item| item.unrepairable)
        .filter_map(|item| item.blob.as_deref())
        .collect();
    let repairs = blobs.into_iter().map(|(blob, mut offsets)| {
        let places = offsets.len() as u64;
        offsets.sort_unstable();
        offsets.truncate(OFFSETS);
        RepairedBlob { blob: blob.to_string(), places, offsets }
    });
    let repairs: Vec<RepairedBlob> = repairs.collect();
    Ecc { repaired_blobs: repairs.len() as u64, unrepairable_blobs: broken.len() as u64, repairs }
}

//! Reading the packs that this run chose, and writing to the ledger what each read proved.

use crate::index::{ContentId, ContentIndex};
use crate::os::sync::Mutex;
use crate::verify::checked::PackResult;
use crate::verify::error::Error;
use crate::verify::fault::Fault;
use crate::verify::job::{Job, Progress};
use crate::verify::ledger::{DamagedContent, Proof};
use crate::verify::options::Level;
use crate::verify::outcome::Outcome;
use crate::verify::plan::packs::{PackPlan, Plan};
use crate::verify::plan::selection::Rules;
use crate::verify::read::scan::Scan;
use crate::verify::report::model::Stopped;
use crate::verify::time::now;

/// Reads packs of the plan. Returns the failure to write to the ledger, if there was one.
///
/// # Errors
/// The ledger cannot be written to the disk.
pub(crate) fn read_packs(
    job: &Job<'_>,
    plan: &Plan,
    index: &ContentIndex,
    outcome: &mut Outcome,
) -> Result<Option<Error>, Error> {
    let settings = job.asked.settings;
    let rules = Rules {
        level: settings.level.of_packs(),
        order: settings.order,
        now: job.began,
        max_age: settings.max_age.map(|age| i64::try_from(age.as_secs()).unwrap_or(i64::MAX)),
        budget: settings.budget,
        history: job.asked.history,
    };
    let selection = rules.select(&plan.packs, |pack| job.store.disk_order(&pack.blob));
    for (pack, proof) in &selection.rest {
        outcome.recall(pack, *proof);
    }
    outcome.rounds = selection.rounds;
    let order = selection.read;
    if outcome.unproved_packs > 0 && settings.budget.is_some_and(|budget| budget > 0) {
        job.stop(Stopped::Budget);
    }
    let total = Progress {
        of_packs: order.len() as u64,
        of_bytes: order.iter().map(|pack| pack.bytes).sum(),
        ..Progress::default()
    };
    let state = Mutex::new((std::mem::take(outcome), total));
    let ledger_failure = Mutex::new(None);
    let scan = Scan {
        store: &job.store,
        format: job.asked.repository.format(),
        index,
        plan,
        level: settings.level.of_packs(),
        threads: settings.threads,
        reads: settings.reads,
        memory: settings.memory,
        keep_metadata: settings.level == Level::Files,
        stop: &|| job.should_stop(),
    };
    scan.run(&order, &|pack, result| {
        if let Err(e) = write_down(job, pack, &result) {
            ledger_failure.lock().get_or_insert(e);
        }
        let mut state = state.lock();
        let (outcome, progress) = &mut *state;
        progress.packs += 1;
        progress.bytes += pack.bytes;
        progress.damaged += result.checked.failures.len() as u64 + result.checked.more_failed;
        outcome.add(pack, result);
        (job.asked.progress)(progress);
    });
    let (read, progress) = state.into_inner();
    *outcome = read;
    outcome.unproved_packs += progress.of_packs - progress.packs;
    if let Some(ledger) = job.asked.ledger {
        ledger.sync()?;
    }
    Ok(ledger_failure.into_inner())
}

/// Writes the result of a pack to the ledger, unless a part of the pack was not read.
fn write_down(job: &Job<'_>, pack: &PackPlan, result: &PackResult) -> Result<(), Error> {
    let Some(ledger) = job.asked.ledger else { return Ok(()) };
    let checked = &result.checked;
    let read = checked.good + checked.failures.len() as u64;
    // A few snapshots need only a part of the pack.
    let part = job.asked.settings.snapshots.is_some();
    let all = read + checked.more_failed == pack.contents() as u64 && checked.vanished.is_empty();
    if part || !all || checked.failures.iter().any(|(_, fault)| fault.unchecked) {
        return Ok(());
    }
    let damaged = |(content, fault): &(ContentId, Fault)| DamagedContent {
        content: content.to_string().into(),
        code: fault.code.into(),
        detail: fault.detail.clone(),
    };
    ledger.note_pack(Proof {
        pack: pack.blob.as_str().into(),
        size: pack.size,
        mtime: pack.mtime,
        level: job.asked.settings.level.of_packs(),
        time: now(),
        run: job.began,
        contents: read,
        bytes: pack.bytes,
        digest: pack.digest.clone(),
        damaged: checked.failures.iter().map(damaged).collect(),
    })
}

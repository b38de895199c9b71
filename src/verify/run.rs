//! One verification from beginning to end.

use std::collections::{HashMap, HashSet};

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::findings::{Cause, Failures, Finding};
use super::read::second_look::SecondLook;
use super::report::assemble::{self, Evidence};

use super::forensics::{Examined, Forensics};
use super::ledger::compare;
use super::ledger::{Bad, Ledger, Memory, MergedLedgers, Proof};
use super::options::{Level, Shard};
use super::outcome::Outcome;
use super::plan::packs::{PackPlan, Plan};
use super::plan::selection::{Order, Rules};
use super::read::scan::{PackResult, Scan};
use super::report::model::{Report, Stopped};
use super::snapshots::Known;
use super::trees::impact::Impact;
use super::trees::tree::Trees;
use super::trees::walk::Walk;
use super::{Error, auxiliary, repaired};
use crate::blob::{BlobId, BlobKind, BlobMetadata, BlobStore, Throttle};
use crate::content::Contents;
use crate::format::RepositoryFormat;
use crate::index::{self, ContentId, ContentIndex, IndexOptions, IndexReader, Position};
use crate::manifest::Room;
use crate::os::parallel;
use crate::snapshot::Snapshot;
use crate::{Budget, Repository};

/// The part of the memory that the order in which contents are read may take; a longer one goes to a file.
const PLAN_SHARE: u64 = 8;

/// How a repository is verified.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How far.
    pub level: Level,
    /// Threads that decode.
    pub threads: usize,
    /// Packs read at the same time. One keeps a disk from seeking; a network file system wants more.
    pub reads: usize,
    /// Bytes of memory to stay below.
    pub memory: u64,
    /// Stop reading after this time.
    pub max_duration: Option<Duration>,
    /// Read no faster than so many bytes in a second.
    pub rate: Option<u64>,
    /// Only this part of the packs.
    pub shard: Shard,
    /// Read no more stored bytes of contents than this, the most urgent first; but one pack in any case. Nothing at all
    /// for 0: then the report is of what is remembered.
    pub budget: Option<u64>,
    /// Leave out packs that were proved within this time, and count no older proofs.
    pub max_age: Option<Duration>,
    /// In which order packs are read.
    pub order: Order,
    /// Only what these snapshots need, by the IDs of their manifests.
    pub snapshots: Option<Vec<String>>,
    /// Whether it is known why snapshots that the ledger saw are gone.
    pub accept_missing_snapshots: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            level: Level::Files,
            threads: parallel::available_threads(),
            reads: 1,
            memory: 256 << 20,
            max_duration: None,
            rate: None,
            shard: Shard::WHOLE,
            budget: None,
            max_age: None,
            order: Order::default(),
            snapshots: None,
            accept_missing_snapshots: false,
        }
    }
}

/// How far a verification has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// Packs read.
    pub packs: u64,
    /// Packs to be read.
    pub of_packs: u64,
    /// Stored bytes of contents read.
    pub bytes: u64,
    /// Stored bytes of contents to be read.
    pub of_bytes: u64,
    /// Contents found damaged.
    pub damaged: u64,
}

/// A verification of a repository.
///
/// ```no_run
/// use rokopia::{FileSystem, Ledger, Password, Repository, Verifier, VerifySettings};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let store = FileSystem::open("/mnt/kopia")?;
/// let repository = Repository::open(store, &Password::from_env()?)?;
/// let ledger = Ledger::open("/var/lib/rokopia/ledger", &repository)?;
/// let settings = VerifySettings { budget: Some(200 << 30), ..VerifySettings::default() };
/// let report = Verifier::new(&repository, &settings).ledger(&ledger).run()?;
/// println!("{:?}: {:?}", report.result, report.newest_whole);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy)]
pub struct Verifier<'a> {
    repository: &'a Repository,
    settings: &'a Settings,
    ledger: Option<&'a Ledger>,
    memory: Option<&'a dyn Memory>,
    interrupted: &'a AtomicBool,
    progress: &'a (dyn Fn(&Progress) + Sync),
}

debug_of!(Verifier<'_>, "Verifier", "settings" = |verifier| verifier.settings);

static NEVER: AtomicBool = AtomicBool::new(false);

impl<'a> Verifier<'a> {
    /// A verification that remembers nothing.
    pub fn new(repository: &'a Repository, settings: &'a Settings) -> Self {
        Self { repository, settings, ledger: None, memory: None, interrupted: &NEVER, progress: &|_| {} }
    }

    /// Counts what the ledger says was proved, and writes to it what is proved now.
    #[must_use]
    pub fn ledger(self, ledger: &'a Ledger) -> Self {
        Self { ledger: Some(ledger), memory: Some(ledger), ..self }
    }

    /// Counts what several ledgers say was proved, and writes to none of them.
    #[must_use]
    pub fn merged(self, ledgers: &'a MergedLedgers) -> Self {
        Self { memory: Some(ledgers), ..self }
    }

    /// Ends early, between reads, when this is raised.
    #[must_use]
    pub fn interrupted(self, flag: &'a AtomicBool) -> Self {
        Self { interrupted: flag, ..self }
    }

    /// Tells how far it is, after each pack.
    #[must_use]
    pub fn progress(self, told: &'a (dyn Fn(&Progress) + Sync)) -> Self {
        Self { progress: told, ..self }
    }

    /// Verifies.
    ///
    /// # Errors
    /// [`Error`] where there is nothing to report: the indexes cannot be listed. Damage is no error.
    pub fn run(self) -> Result<Report, Error> {
        let store: Arc<dyn BlobStore> = match self.settings.rate {
            Some(rate) => Arc::new(Throttle::to_rate(Arc::clone(self.repository.store()), rate)),
            None => Arc::clone(self.repository.store()),
        };
        let (began, begun) = (assemble::now(), Instant::now());
        Run { asked: self, store, began, begun, stopped: Mutex::default(), ledger_failure: Mutex::default() }
            .verify()
    }
}

struct Run<'a> {
    asked: Verifier<'a>,
    store: Arc<dyn BlobStore>,
    /// Unix time, and the clock that nobody sets.
    began: i64,
    begun: Instant,
    stopped: Mutex<Option<Stopped>>,
    ledger_failure: Mutex<Option<Error>>,
}

/// What can be seen of the snapshots.
struct Seen {
    /// All of them.
    known: Known,
    /// Those asked for.
    shown: Vec<Snapshot>,
    impact: Option<(Trees, Impact)>,
}

impl Run<'_> {
    fn options(&self) -> IndexOptions {
        IndexOptions { degraded: true, ..self.asked.repository.options().index }
    }

    fn verify(&self) -> Result<Report, Error> {
        let Verifier { repository, settings, .. } = self.asked;
        let format = repository.format();
        let reader = IndexReader::new(&self.store, format, self.options());
        let index = reader.load()?;
        let active = reader.active()?;
        // Listed after the index was read: what it names and the listing lacks is then gone, not yet to come.
        let listing: HashMap<BlobId, BlobMetadata> =
            self.store.list("")?.into_iter().map(|blob| (blob.id.clone(), blob)).collect();
        let remarks = self.store.remarks();
        let room = self.room_for_manifests();
        let examined = Examined::new(&self.store, format, &reader, &index, &active, &listing, &room);
        let mut forensics = examined.examine();
        let contents =
            Contents::with_index(Arc::clone(&self.store), Arc::clone(format), self.options(), index);
        let index = contents.index();

        let needs = settings.snapshots.as_ref().and_then(|ids| self.needs(&contents, ids));
        let wanted = |position| needs.as_ref().is_none_or(|needs| needs.contains(&position));
        let options = self.options();
        let spill = options.spill_directory.as_deref().map(|path| self.store.guard().writable(path));
        let spill = spill.transpose()?;
        let room = (settings.memory / PLAN_SHARE, spill.as_ref());
        let mut plan = Plan::build(format, &index, &listing, room, settings.shard, wanted)
            .map_err(index::Error::Spill)?;
        index.check()?;
        let mut outcome = Outcome { failures: std::mem::take(&mut plan.failures), ..Outcome::default() };
        if settings.level >= Level::Decrypt {
            self.auxiliary(&listing, &mut forensics, &mut outcome);
            self.read_packs(&plan, &index, &mut outcome)?;
            plan.check()?;
        } else {
            for pack in &plan.packs {
                outcome.prove(pack.contents(), pack.bytes, self.began);
                outcome.good_packs += 1;
            }
        }
        outcome.gone = outcome.vanished.len() as u64;
        let missing = std::mem::take(&mut plan.missing);
        let all = if missing.is_empty() { None } else { Some(index.positions()) };
        let gone =
            all.into_iter().flatten().filter(|(at, e)| missing.contains(&e.pack.number()) && wanted(*at));
        let vanished = std::mem::take(&mut outcome.vanished);
        let suspects = gone
            .map(|(_, entry)| entry)
            .chain(vanished.into_iter().filter_map(|position| index.at(position)));
        let look = SecondLook {
            repository,
            store: &self.store,
            options: self.options(),
            level: settings.level.of_packs(),
        };
        let contents = look.look(contents, suspects, &mut outcome)?;

        let Seen { mut known, shown, impact } = self.trees(&contents, &outcome.failures);
        if settings.level == Level::Files {
            // The scan left them cached for the walk.
            let metadata = listing.keys().filter(|blob| blob.kind() == BlobKind::MetadataPack);
            metadata.for_each(|blob| self.store.forget(blob));
        }
        let last = contents.index();
        if !Arc::ptr_eq(&index, &last) {
            forensics.add_doubts(&last, &reader.active()?);
        }
        // An index that cannot be read lacks nothing, and where a mount went away everything would be missing: neither
        // is damage.
        index.check()?;
        last.check()?;
        match format.copy() {
            None => drop(RepositoryFormat::read_blob(&self.store)?),
            Some(copy) => {
                self.store.size(copy)?;
                let detail = format!(
                    "kopia.repository is lost or damaged, and everything was read with the copy of it in {copy}"
                );
                forensics.damage.push(Finding::of_blob("format-copy-exists", copy, detail));
            }
        }
        self.remember(&known, &mut forensics)?;
        known.snapshots = shown;
        if let Some(e) = self.ledger_failure.lock().unwrap_or_else(PoisonError::into_inner).take() {
            forensics.damage.push(Finding { unchecked: true, ..Finding::new(e.code(), e.to_string()) });
        }
        let evidence = Evidence {
            settings,
            location: self.store.describe(),
            plan: &plan,
            index: last,
            forensics,
            remarks,
            outcome,
            known,
            impact,
            stopped: *self.stopped.lock().unwrap_or_else(PoisonError::into_inner),
            began: self.began,
            elapsed: self.begun.elapsed(),
        };
        Ok(assemble::report(evidence))
    }

    /// The snapshots there are, and what is lost of them. When maintenance changes the index meanwhile, what seems to be
    /// lost may belong to snapshots that are gone as well: then all of it is looked at again.
    fn trees(&self, contents: &Contents, failures: &Failures) -> Seen {
        const ATTEMPTS: usize = 4;
        let settings = self.asked.settings;
        // Parts of one repository leave walking the trees to whoever joins their ledgers.
        let thorough = settings.level == Level::Files && settings.shard.count() == 1;
        let mut attempt = 1;
        loop {
            let index = contents.index();
            let known = Known::load(contents, &self.room_for_manifests());
            let mut shown = known.snapshots.clone();
            if let Some(ids) = &settings.snapshots {
                shown.retain(|snapshot| ids.iter().any(|id| *id == snapshot.id.as_str()));
            }
            let impact = (thorough || !failures.is_empty()).then(|| {
                let walk = Walk::new(contents, failures, thorough, self.memory_beside(contents));
                let roots: Vec<_> = shown.iter().map(|snapshot| snapshot.root.as_ref()).collect();
                let trees = walk.run(&roots, self.walkers(), &|| self.is_interrupted());
                let impact = Impact::of(&trees, &shown, contents);
                (trees, impact)
            });
            let sound =
                known.findings.is_empty() && impact.as_ref().is_none_or(|(trees, _)| trees.faults.is_empty());
            if sound || attempt == ATTEMPTS || Arc::ptr_eq(&index, &contents.index()) {
                return Seen { known, shown, impact };
            }
            attempt += 1;
        }
    }

    /// The contents that snapshots are made of; `None` if there is no memory to find that out.
    fn needs(&self, contents: &Contents, ids: &[String]) -> Option<HashSet<Position>> {
        let known = Known::load(contents, &self.room_for_manifests());
        let chosen =
            known.snapshots.iter().filter(|snapshot| ids.iter().any(|id| *id == snapshot.id.as_str()));
        let roots: Vec<_> = chosen.map(|snapshot| snapshot.root.as_ref()).collect();
        let none = Failures::default();
        let mut walk = Walk::new(contents, &none, false, self.memory_beside(contents));
        let used = walk.collect();
        let trees = walk.run(&roots, self.walkers(), &|| self.is_interrupted());
        if trees.unseen.is_some() {
            tracing::warn!(
                "the memory budget is too small to tell what the snapshots need: everything is read"
            );
            return None;
        }
        Some(std::mem::take(&mut used.lock().unwrap_or_else(PoisonError::into_inner)))
    }

    /// What is left beside the index, most of it: bytes for a walk.
    fn memory_beside(&self, contents: &Contents) -> u64 {
        Budget::exactly(self.asked.settings.memory).for_trees(&contents.index())
    }

    fn room_for_manifests(&self) -> Room {
        Room::new(self.asked.repository.options().manifests, 0)
    }

    /// Reads of trees are small and wait for each other: more threads than processors.
    fn walkers(&self) -> usize {
        self.asked.settings.threads.max(self.asked.settings.reads).max(4)
    }

    fn stop(&self, why: Stopped) -> bool {
        self.stopped.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(why);
        true
    }

    fn is_interrupted(&self) -> bool {
        self.asked.interrupted.load(Ordering::Relaxed) && self.stop(Stopped::Interrupted)
    }

    fn should_stop(&self) -> bool {
        if self.is_interrupted() {
            return true;
        }
        match self.asked.settings.max_duration {
            Some(limit) if self.begun.elapsed() >= limit => self.stop(Stopped::Duration),
            _ => false,
        }
    }

    /// Blobs that are no packs.
    fn auxiliary(
        &self,
        listing: &HashMap<BlobId, BlobMetadata>,
        forensics: &mut Forensics,
        outcome: &mut Outcome,
    ) {
        let format = self.asked.repository.format();
        let mut blobs: Vec<&BlobMetadata> = listing.values().collect();
        blobs.sort_by(|a, b| a.id.cmp(&b.id));
        for blob in blobs {
            if let Some((finding, vital)) = auxiliary::check(&self.store, format, blob) {
                if vital { &mut forensics.damage } else { &mut forensics.unneeded }.push(finding);
            }
            if blob.id.kind().is_sealed() {
                let mended = repaired::mended(&self.store, format, &blob.id);
                outcome.repairs.extend(mended.into_iter().map(|range| (blob.id.clone(), range)));
            }
        }
    }

    /// Compares with the snapshots that the last run saw, and writes down those of now.
    fn remember(&self, known: &Known, forensics: &mut Forensics) -> Result<(), Error> {
        let accepted = self.asked.settings.accept_missing_snapshots;
        let mut missing = Vec::new();
        if let Some(before) = self.asked.memory.and_then(Memory::seen)
            && !accepted
        {
            compare::compare(before, known, &mut missing, &mut forensics.warnings);
        }
        let sound = missing.is_empty() && forensics.damage.is_empty() && known.findings.is_empty();
        // What may not be read is not gone.
        let unread = known.findings.iter().any(|finding| finding.unchecked);
        missing.iter_mut().for_each(|finding| finding.unchecked |= unread);
        forensics.damage.append(&mut missing);
        match self.asked.ledger {
            Some(ledger) if sound || accepted => ledger.note_seen(compare::seen(known, self.began)),
            _ => Ok(()),
        }
    }

    fn read_packs(&self, plan: &Plan, index: &ContentIndex, outcome: &mut Outcome) -> Result<(), Error> {
        let settings = self.asked.settings;
        let rules = Rules {
            level: settings.level.of_packs(),
            order: settings.order,
            now: self.began,
            max_age: settings.max_age.map(|age| i64::try_from(age.as_secs()).unwrap_or(i64::MAX)),
            budget: settings.budget,
            memory: self.asked.memory,
        };
        let selection = rules.select(&plan.packs, |pack| self.store.disk_order(&pack.blob));
        for (pack, proof) in &selection.rest {
            outcome.recall(pack, *proof);
        }
        outcome.rounds = selection.rounds;
        let order = selection.read;
        if outcome.unproved_packs > 0 && settings.budget.is_some_and(|budget| budget > 0) {
            self.stop(Stopped::Budget);
        }
        let total = Progress {
            of_packs: order.len() as u64,
            of_bytes: order.iter().map(|pack| pack.bytes).sum(),
            ..Progress::default()
        };
        let state = Mutex::new((std::mem::take(outcome), total));
        let scan = Scan {
            store: &self.store,
            format: self.asked.repository.format(),
            index,
            plan,
            level: settings.level.of_packs(),
            threads: settings.threads,
            reads: settings.reads,
            memory: settings.memory,
            keep_metadata: settings.level == Level::Files,
            stop: &|| self.should_stop(),
        };
        scan.run(&order, &|pack, result| {
            self.write_down(pack, &result);
            let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
            let (outcome, progress) = &mut *state;
            progress.packs += 1;
            progress.bytes += pack.bytes;
            progress.damaged += result.checked.failures.len() as u64 + result.checked.more_failed;
            outcome.take_in(pack, result);
            (self.asked.progress)(progress);
        });
        let (read, progress) = state.into_inner().unwrap_or_else(PoisonError::into_inner);
        *outcome = read;
        outcome.unproved_packs += progress.of_packs - progress.packs;
        match self.asked.ledger {
            Some(ledger) => ledger.sync(),
            None => Ok(()),
        }
    }

    /// Writes to the ledger what came out for a pack; nothing where the storage kept back a part of it.
    fn write_down(&self, pack: &PackPlan, result: &PackResult) {
        let Some(ledger) = self.asked.ledger else { return };
        let checked = &result.checked;
        let read = checked.good + checked.failures.len() as u64;
        // What a few snapshots need of a pack is not the pack.
        let part = self.asked.settings.snapshots.is_some();
        let all = read + checked.more_failed == pack.contents() as u64 && checked.vanished.is_empty();
        if part || !all || checked.failures.iter().any(|(_, cause)| cause.unchecked) {
            return;
        }
        let bad = |(content, cause): &(ContentId, Cause)| Bad {
            content: content.to_string().into(),
            code: cause.code.into(),
            detail: cause.detail.clone(),
        };
        let proof = Proof {
            pack: pack.blob.as_str().into(),
            size: pack.size,
            mtime: pack.mtime,
            level: self.asked.settings.level.of_packs(),
            time: assemble::now(),
            run: self.began,
            contents: read,
            bytes: pack.bytes,
            digest: pack.digest.clone(),
            damaged: checked.failures.iter().map(bad).collect(),
        };
        if let Err(e) = ledger.note_pack(proof) {
            self.ledger_failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(e);
        }
    }
}

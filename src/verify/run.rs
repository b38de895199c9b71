//! One verification from beginning to end.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::assemble::{self, Evidence};
use super::findings::{Cause, Failures, Finding};
use super::forensics::{Examined, Forensics};
use super::impact::Impact;
use super::options::{Level, Shard};
use super::plan::{PackPlan, Plan};
use super::report::{Report, Stopped};
use super::scan::{PackResult, Scan, pack_missing};
use super::snapshots::Known;
use super::walk::Walk;
use super::{Error, auxiliary, batch};
use crate::Repository;
use crate::blob::{BlobId, BlobMetadata, BlobStore, Throttle};
use crate::content::{Contents, Decoder, Scratch, read_error};
use crate::index::{ContentIndex, Entry, IndexOptions, IndexReader};

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
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            level: Level::Files,
            threads: std::thread::available_parallelism().map_or(1, Into::into),
            reads: 1,
            memory: 256 << 20,
            max_duration: None,
            rate: None,
            shard: Shard::WHOLE,
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

/// Verifies a repository.
///
/// `interrupted` is asked between reads; `progress` is told after each pack.
///
/// # Errors
/// [`Error`] where there is nothing to report: the indexes cannot be listed. Damage is
/// no error.
pub fn verify(
    repository: &Repository,
    settings: &Settings,
    interrupted: &AtomicBool,
    progress: &(dyn Fn(&Progress) + Sync),
) -> Result<Report, Error> {
    let begun = Instant::now();
    let store: Arc<dyn BlobStore> = match settings.rate {
        Some(rate) => Arc::new(Throttle::new(Arc::clone(repository.store()), rate)),
        None => Arc::clone(repository.store()),
    };
    let run = Run { repository, settings, store, begun, interrupted, progress, stopped: Mutex::default() };
    run.verify()
}

struct Run<'a> {
    repository: &'a Repository,
    settings: &'a Settings,
    store: Arc<dyn BlobStore>,
    begun: Instant,
    interrupted: &'a AtomicBool,
    progress: &'a (dyn Fn(&Progress) + Sync),
    stopped: Mutex<Option<Stopped>>,
}

/// What reading the packs came to.
#[derive(Default)]
pub(super) struct Outcome {
    pub(super) failures: Failures,
    pub(super) good: u64,
    pub(super) good_bytes: u64,
    /// Packs that were read to their end.
    pub(super) read_packs: u64,
    pub(super) good_packs: u64,
    /// Live contents that no pack of the plan has.
    pub(super) outside: u64,
    pub(super) repairs: Vec<(BlobId, batch::Repair)>,
    pub(super) footer_repairs: Vec<(BlobId, u64)>,
    pub(super) footers: Vec<Finding>,
    pub(super) vanished: Vec<Entry>,
}

impl Run<'_> {
    fn options(&self) -> IndexOptions {
        IndexOptions { degraded: true, ..self.repository.options().index }
    }

    fn verify(&self) -> Result<Report, Error> {
        let format = self.repository.format();
        let reader = IndexReader::new(&self.store, format, self.options());
        let index = reader.load()?;
        let active = reader.active()?;
        // Listed after the index was read: what it names and the listing lacks is then gone, not yet to come.
        let listing: HashMap<BlobId, BlobMetadata> =
            self.store.list("")?.into_iter().map(|blob| (blob.id.clone(), blob)).collect();
        let examined = Examined {
            store: &self.store,
            format,
            reader: &reader,
            index: &index,
            active: &active,
            listing: &listing,
        };
        let mut forensics = examined.examine();
        let index_repairs = reader.repairs();
        let contents =
            Contents::with_index(Arc::clone(&self.store), Arc::clone(format), self.options(), index);
        let index = contents.index();

        let mut plan = Plan::build(format, &index, &listing, self.settings.shard, |_| true);
        let mut outcome = Outcome { failures: std::mem::take(&mut plan.failures), ..Outcome::default() };
        if self.settings.level >= Level::Decrypt {
            self.auxiliary(&listing, &mut forensics);
            self.read_packs(&plan, &index, &mut outcome);
        } else {
            for pack in &plan.packs {
                outcome.good += pack.contents() as u64;
                outcome.good_bytes += pack.bytes;
                outcome.good_packs += 1;
                outcome.read_packs += 1;
            }
        }
        let mut suspects = std::mem::take(&mut plan.missing);
        suspects.append(&mut outcome.vanished);
        let contents = self.look_again(contents, suspects, &index, &mut outcome)?;

        let known = Known::load(&contents);
        let impact = (self.settings.level == Level::Files || !outcome.failures.is_empty()).then(|| {
            let walk = Walk::new(&contents, &outcome.failures, self.settings.level == Level::Files);
            let roots: Vec<_> = known.snapshots.iter().map(|snapshot| snapshot.root.as_ref()).collect();
            let threads = self.settings.threads.max(self.settings.reads).max(4);
            let trees = walk.run(&roots, threads, &|| self.interrupted.load(Ordering::Relaxed));
            let impact = Impact::of(&trees, &known.snapshots, &contents);
            (trees, impact)
        });
        let evidence = Evidence {
            settings: self.settings,
            location: self.store.describe(),
            plan: &plan,
            index: contents.index(),
            forensics,
            index_repairs,
            outcome,
            known,
            impact,
            stopped: *self.stopped.lock().unwrap_or_else(PoisonError::into_inner),
            elapsed: self.begun.elapsed(),
        };
        Ok(assemble::report(evidence))
    }

    fn stop(&self, why: Stopped) -> bool {
        self.stopped.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(why);
        true
    }

    fn should_stop(&self) -> bool {
        if self.interrupted.load(Ordering::Relaxed) {
            return self.stop(Stopped::Interrupted);
        }
        match self.settings.max_duration {
            Some(limit) if self.begun.elapsed() >= limit => self.stop(Stopped::Duration),
            _ => false,
        }
    }

    fn auxiliary(&self, listing: &HashMap<BlobId, BlobMetadata>, forensics: &mut Forensics) {
        let mut blobs: Vec<&BlobMetadata> = listing.values().collect();
        blobs.sort_by(|a, b| a.id.cmp(&b.id));
        for blob in blobs {
            if let Some((finding, vital)) = auxiliary::check(&self.store, self.repository.format(), blob) {
                if vital { &mut forensics.damage } else { &mut forensics.unneeded }.push(finding);
            }
        }
    }

    fn read_packs(&self, plan: &Plan, index: &ContentIndex, outcome: &mut Outcome) {
        let order = self.in_order(plan);
        let total = Progress {
            of_packs: order.len() as u64,
            of_bytes: order.iter().map(|pack| pack.bytes).sum(),
            ..Progress::default()
        };
        let state = Mutex::new((std::mem::take(outcome), total));
        let scan = Scan {
            store: &self.store,
            format: self.repository.format(),
            index,
            plan,
            level: self.settings.level.of_packs(),
            threads: self.settings.threads,
            reads: self.settings.reads,
            memory: self.settings.memory,
            keep_metadata: self.settings.level == Level::Files,
            stop: &|| self.should_stop(),
        };
        scan.run(&order, &|pack, result| {
            let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
            let (outcome, progress) = &mut *state;
            progress.packs += 1;
            progress.bytes += pack.bytes;
            progress.damaged += result.checked.failures.len() as u64;
            outcome.take_in(pack, result);
            (self.progress)(progress);
        });
        *outcome = state.into_inner().unwrap_or_else(PoisonError::into_inner).0;
    }

    fn in_order<'p>(&self, plan: &'p Plan) -> Vec<&'p PackPlan> {
        let mut packs: Vec<&PackPlan> = plan.packs.iter().collect();
        packs.sort_by_cached_key(|pack| (self.store.disk_order(&pack.blob), pack.blob.clone()));
        packs
    }

    /// Contents whose packs are not there: maintenance may have moved them since the index was read.
    fn look_again(
        &self,
        contents: Contents,
        suspects: Vec<Entry>,
        index: &ContentIndex,
        outcome: &mut Outcome,
    ) -> Result<Contents, Error> {
        if suspects.is_empty() {
            return Ok(contents);
        }
        let fresh =
            Contents::load(Arc::clone(&self.store), Arc::clone(self.repository.format()), self.options())?;
        let current = fresh.index();
        let mut there: HashMap<BlobId, bool> = HashMap::new();
        for old in suspects {
            let Some(entry) = current.get(&old.id) else { continue };
            let Some(pack) = current.pack(entry.pack) else { continue };
            outcome.outside += u64::from(!entry.deleted);
            let same = index.pack(old.pack) == Some(pack);
            let exists = *there.entry(pack.clone()).or_insert_with(|| match self.store.size(pack) {
                Ok(_) => true,
                Err(e) => !e.is_not_found(),
            });
            if same && !exists {
                outcome.failures.insert(entry.id, Cause::of(&pack_missing(&entry, pack)));
                continue;
            }
            match self.check_alone(&entry, pack) {
                Ok(()) => {
                    outcome.good += 1;
                    outcome.good_bytes += u64::from(entry.packed_length);
                }
                Err(e) => outcome.failures.insert(entry.id, Cause::of(&e)),
            }
        }
        Ok(fresh)
    }

    fn check_alone(&self, entry: &Entry, pack: &BlobId) -> Result<(), crate::content::Error> {
        let decoder = Decoder::new(self.repository.format()).verify(self.settings.level >= Level::Hash);
        decoder.check(entry, pack)?;
        let mut stored = vec![0; entry.packed_length as usize];
        self.store.read_at(pack, entry.offset.into(), &mut stored).map_err(|e| read_error(entry.id, e))?;
        let mut scratch = Scratch::default();
        decoder.decode(entry, pack, &mut stored, &mut scratch).map(|_| ())
    }
}

impl Outcome {
    fn take_in(&mut self, pack: &PackPlan, result: PackResult) {
        let PackResult { checked, footer, footer_repairs } = result;
        self.read_packs += 1;
        self.good += checked.good;
        self.good_bytes += checked.bytes;
        self.good_packs += u64::from(checked.failures.is_empty() && checked.vanished.is_empty());
        for (content, cause) in checked.failures {
            self.failures.insert(content, cause);
        }
        self.repairs.extend(checked.repairs.into_iter().map(|repair| (pack.blob.clone(), repair)));
        if footer_repairs > 0 {
            self.footer_repairs.push((pack.blob.clone(), footer_repairs as u64));
        }
        self.footers.extend(footer);
        self.vanished.extend(checked.vanished);
    }
}

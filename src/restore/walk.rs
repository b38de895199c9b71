//! Going through the directories of the snapshot and making jobs of what is in them.

use std::sync::Arc;

use super::ahead::Ahead;
use super::displace::Displacing;
use super::error::Error;
use super::existing::{Holder, Verdict, judge};
use super::job::Job;
use super::place::{Attributes, Base, Dir, OpenDir, Session, is_staged};
use super::plan::Planner;
use super::prune;
use super::report::{Change, add};
use super::spelling::settle;
use crate::snapshot::{DirEntry, EffectiveEntries, EntryName, EntryType, MAX_DEPTH};
use crate::{object, snapshot};

/// Directories whose entries are read together.
const MAX_BATCH: usize = 64;

/// With this many directories still to be visited, the rest of the one at hand waits until some of them are done.
const MAX_WAITING: usize = 32 << 10;

/// Bytes that directories whose rest waits may hold before the uppermost are closed and, later, read again.
const MAX_HELD: usize = 32 << 20;

/// What is still to be done, the last first.
enum Step<'s> {
    /// A directory to go into.
    Enter(Visit<'s>),
    /// The rest of a directory.
    Resume(Visit<'s>, Box<EffectiveEntries<'s>>),
}

/// A directory that is visited. Until the visit ends, the directory counts as having files under way.
struct Visit<'s> {
    dir: Arc<Dir<'s>>,
    /// Whether all in it is restored, as opposed to what the filter includes by itself.
    included: bool,
}

impl Drop for Visit<'_> {
    fn drop(&mut self) {
        self.dir.release();
    }
}

/// The walk through a tree.
pub(super) struct Walker<'s> {
    session: &'s Session<'s>,
    ahead: &'s Ahead<'s>,
    planner: Planner<'s>,
    steps: Vec<Step<'s>>,
    walked: Walked<'s>,
}

/// What is left to do after the walk.
#[derive(Default)]
pub(super) struct Walked<'s> {
    /// Directories that existed before.
    pub(super) existed: Vec<Arc<Dir<'s>>>,
    /// What waits for its place.
    pub(super) displacing: Vec<Displacing<'s>>,
}

impl<'s> Walker<'s> {
    pub(super) fn new(session: &'s Session<'s>, ahead: &'s Ahead<'s>, planner: Planner<'s>) -> Self {
        Self { session, ahead, planner, steps: Vec::new(), walked: Walked::default() }
    }

    /// Goes through the tree below `root`, whose entries are given.
    pub(super) fn run(mut self, root: Arc<Dir<'s>>, entries: Box<EffectiveEntries<'s>>) -> Walked<'s> {
        let included = self.session.options.filter.includes("");
        self.steps.push(Step::Resume(Visit { dir: root, included }, entries));
        while !self.session.is_over()
            && let Some(step) = self.steps.pop()
        {
            match step {
                Step::Resume(visit, entries) => {
                    let children = self.visit(visit, entries);
                    self.steps.extend(children.into_iter().rev().map(Step::Enter));
                }
                Step::Enter(visit) => self.enter_batch(visit),
            }
        }
        self.steps.clear();
        self.planner.finish();
        self.walked
    }

    /// Restores a single file or link.
    pub(super) fn run_single(mut self, dir: &Arc<Dir<'s>>, name: &EntryName, entry: &DirEntry) -> Walked<'s> {
        self.judge_and_add(dir, name, entry);
        dir.release();
        self.planner.finish();
        self.walked
    }

    /// Goes into a directory and those that follow it, whose contents are read at the same time.
    fn enter_batch(&mut self, first: Visit<'s>) {
        let mut visits = vec![first];
        while visits.len() < MAX_BATCH
            && let Some(step) = self.steps.pop()
        {
            match step {
                Step::Enter(visit) => visits.push(visit),
                resume @ Step::Resume(..) => {
                    self.steps.push(resume);
                    break;
                }
            }
        }
        self.ahead.fetch(visits.iter().filter_map(|visit| Some(*visit.dir.object()?.content())));
        let mut children = Vec::new();
        for visit in visits {
            if self.session.is_over() {
                return;
            }
            match self.open(&visit.dir) {
                Ok(entries) => children.extend(self.visit(visit, entries)),
                Err(error) => self.session.report.error(visit.dir.path(), &error),
            }
        }
        self.steps.extend(children.into_iter().rev().map(Step::Enter));
    }

    fn open(&self, dir: &Dir<'s>) -> Result<Box<EffectiveEntries<'s>>, Error> {
        let (depth, again) = dir.depth_and_loop();
        let object = dir.object().ok_or(Error::Entry("it names no object"))?;
        if again {
            return Err(snapshot::Error::Loop { path: dir.path(), directory: *object }.into());
        }
        if depth >= MAX_DEPTH {
            return Err(snapshot::Error::TooDeep { path: dir.path(), limit: MAX_DEPTH }.into());
        }
        Ok(Box::new(EffectiveEntries::open(self.ahead, object)?))
    }

    /// Makes jobs of the entries of a directory, and returns the directories in it.
    fn visit(&mut self, visit: Visit<'s>, mut entries: Box<EffectiveEntries<'s>>) -> Vec<Visit<'s>> {
        let dir = Arc::clone(&visit.dir);
        let mut children = Vec::new();
        if visit.included || self.session.options.filter.is_empty() {
            if let Err(error) = self.there(&dir) {
                self.session.report.error(dir.path(), &error);
                return children;
            }
            if self.session.null {
                add(&self.session.report.dirs, 1);
            }
        }
        if dir.made().is_some_and(|made| made.adopted)
            && let Err(error) = prune::prune_directory(self.session, self.ahead, &dir)
        {
            self.session.report.error(dir.path(), &error);
            return children;
        }
        self.planner.directory();
        loop {
            if self.session.is_over() {
                break;
            }
            match entries.next() {
                None => break,
                Some(Ok(entry)) => {
                    if let Err(error) = self.entry(&visit, &entry, &mut children) {
                        self.session.report.error(dir.path_of(&entry.raw_name), &error);
                    }
                }
                Some(Err(error)) => self.failed(&dir, error),
            }
            if self.steps.len() + children.len() >= MAX_WAITING && !children.is_empty() {
                self.steps.push(Step::Resume(visit, entries));
                self.close_waiting();
                return children;
            }
        }
        // What this restore made holds nothing else, and what a killed one had begun was emptied of it.
        let existed = dir.made().is_none_or(|made| !made.fresh && !made.adopted);
        if self.session.options.delete && self.session.meets_target() && visit.included && existed {
            self.walked.existed.push(dir);
        }
        children
    }

    /// Gives up memory of directories whose rest waits, where they hold too much.
    fn close_waiting(&mut self) {
        let holds = |step: &Step<'s>| match step {
            Step::Resume(_, entries) => entries.held(),
            Step::Enter(_) => 0,
        };
        let mut held: usize = self.steps.iter().map(holds).sum();
        for step in &mut self.steps {
            if held <= MAX_HELD {
                break;
            }
            if let Step::Resume(_, entries) = step
                && entries.held() > 0
            {
                held -= entries.held();
                entries.suspend();
            }
        }
    }

    fn failed(&self, dir: &Dir<'_>, error: snapshot::Error) {
        let name = error.path().filter(|_| error.is_entry()).unwrap_or_default().to_owned();
        let path = if name.is_empty() { dir.path() } else { dir.path_of(&name) };
        self.session.report.error(path, &error.into());
    }

    fn entry(
        &mut self,
        visit: &Visit<'s>,
        entry: &DirEntry,
        children: &mut Vec<Visit<'s>>,
    ) -> Result<(), Error> {
        let dir = &visit.dir;
        let name = Error::name(&entry.raw_name)?;
        if let Some(stored) = &entry.stored_name {
            self.session.report.repeated_name(|| dir.path_of(&name), stored);
        }
        if is_staged(name.as_bytes()) {
            let path = dir.path_of(&name);
            self.session.report.warning(&format!("{path}: left out, a killed restore left it behind"));
            return Ok(());
        }
        let mut included = visit.included;
        let filter = &self.session.options.filter;
        if !filter.is_empty() {
            let path = dir.path_of(&name);
            if filter.excludes(&path) {
                return Ok(());
            }
            included = included || filter.includes(&path);
        }
        match entry.kind {
            EntryType::Directory => {
                let name = self.name_of_directory(dir, name)?;
                let dir =
                    Dir::new(dir, &name, Attributes::of(entry, &self.session.options.owners), entry.object);
                children.push(Visit { dir, included });
            }
            EntryType::File | EntryType::Symlink if included => self.judge_and_add(dir, &name, entry),
            EntryType::File | EntryType::Symlink => {}
            EntryType::Unknown => return Err(Error::Entry("its type is unknown")),
        }
        Ok(())
    }

    /// The name that a directory gets in the target.
    fn name_of_directory(&self, above: &Dir<'s>, name: EntryName) -> Result<EntryName, Error> {
        let existed = above.made().is_some_and(|made| !made.fresh);
        if self.session.null || !existed {
            return Ok(name);
        }
        let open = above.open()?;
        let Some(stat) = open.stat(&name)? else { return Ok(name) };
        let made = settle(self.session, self.ahead, above, &open, &name, &stat)?;
        Ok(made.unwrap_or(name))
    }

    fn judge_and_add(&mut self, dir: &Arc<Dir<'s>>, name: &EntryName, entry: &DirEntry) {
        if let Err(error) = self.try_add(dir, name, entry) {
            self.session.report.error(dir.path_of(name), &error);
        }
    }

    fn try_add(&mut self, dir: &Arc<Dir<'s>>, name: &EntryName, entry: &DirEntry) -> Result<(), Error> {
        let session = self.session;
        let object = entry.object.as_ref().ok_or(Error::Entry("it names no object"))?;
        let (mut base, mut holder) = (None, Holder::Nothing);
        let shortened = self.as_far_as_saved(dir, entry)?;
        let entry = shortened.as_ref().unwrap_or(entry);
        let made;
        let mut name = name;
        if let Some(open) = self.there(dir)? {
            let mut there = open.stat(name)?;
            if let Some(stat) = &there
                && let Some(other) = settle(session, self.ahead, dir, &open, name, stat)?
            {
                made = other;
                name = &made;
                there = open.stat(name)?;
            }
            holder = Holder::of(there.as_ref(), entry);
            match judge(session, &open, name, entry, there.as_ref(), |name| dir.path_of(name))? {
                Verdict::Skip => {
                    add(&session.report.skipped, 1);
                    session.report.change(Change::Unchanged, || dir.path_of(name));
                    add(&session.report.skipped_bytes, entry.size);
                    return Ok(());
                }
                Verdict::Compare if !session.null => base = Base::open(&open, name),
                Verdict::Compare | Verdict::Restore => {}
            }
        }
        if holder == Holder::Directory {
            let (name, link) = (name.as_str().into(), entry.kind == EntryType::Symlink);
            let dir = Arc::clone(dir);
            self.walked.displacing.push(Displacing::Entry { dir, name, link, size: entry.size });
        }
        self.planner.add(Job::new(dir, name, entry, base, holder), object);
        Ok(())
    }

    /// A file that was still being written when its checkpoint was saved, with the length that it has. It is named: that is
    /// less than the source had.
    fn as_far_as_saved(&self, dir: &Dir<'s>, entry: &DirEntry) -> Result<Option<DirEntry>, Error> {
        if entry.kind != EntryType::File || !entry.is_checkpointed() {
            return Ok(None);
        }
        let size = check_single(self.ahead, entry)?;
        if size >= entry.size {
            return Ok(None);
        }
        let path = dir.path_of(&entry.raw_name);
        self.session.report.warning(&format!(
            "{path}: has the first {size} of {} bytes: it was still being saved when this snapshot was made",
            entry.size
        ));
        Ok(Some(DirEntry { size, ..entry.clone() }))
    }

    /// The directory of the target in which something may be already.
    fn there(&mut self, dir: &Arc<Dir<'s>>) -> Result<Option<Arc<OpenDir>>, Error> {
        if self.session.options.dry_run {
            let there = dir.look();
            self.note_displacing(dir);
            return there;
        }
        if self.session.null {
            return Ok(None);
        }
        let open = dir.open()?;
        self.note_displacing(dir);
        Ok((!dir.made().is_some_and(|made| made.fresh)).then_some(open))
    }
}

impl<'s> Walker<'s> {
    /// Notes which of the directories that were just opened wait for the place of something else.
    fn note_displacing(&mut self, dir: &Arc<Dir<'s>>) {
        let news = std::iter::successors(Some(dir), |dir| dir.parent()).take_while(|dir| dir.is_news());
        let displacing = news.filter(|dir| dir.displaces()).cloned().map(Displacing::Directory);
        // The outer ones first.
        let mut displacing: Vec<_> = displacing.collect();
        displacing.reverse();
        self.walked.displacing.extend(displacing);
    }
}

/// Reads the entries of a root before anything is touched.
pub(super) fn open_root<'s>(
    ahead: &'s Ahead<'s>,
    root: &DirEntry,
) -> Result<Box<EffectiveEntries<'s>>, Error> {
    let object = root.object.as_ref().ok_or(Error::Entry("it names no object"))?;
    Ok(Box::new(EffectiveEntries::open(ahead, object)?))
}

/// Whether the data of a root that is no directory can be found, before anything is touched.
pub(super) fn check_single(ahead: &Ahead<'_>, root: &DirEntry) -> Result<u64, Error> {
    let object = root.object.as_ref().ok_or(Error::Entry("it names no object"))?;
    Ok(object::Reader::new(ahead, object).length()?)
}

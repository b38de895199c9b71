//! One walk over the trees of snapshots. Each directory is read once, even if many snapshots share it.

use rayon::prelude::*;

use crate::content::Contents;
use crate::snapshot::{DirEntry, MAX_DEPTH};
use crate::verify::failures::Failures;
use crate::verify::fault::Fault;
use crate::verify::trees::directories::{Directories, Listed};
use crate::verify::trees::graph::{Losses, Root, Trees};
use crate::verify::trees::objects::{Objects, Used};

/// Directories that are read before the walk asks again whether to stop.
const ROUND: usize = 4096;

/// A walk over the trees of some snapshots.
pub(crate) struct Walk<'a>(Directories<'a>);

impl<'a> Walk<'a> {
    /// A walk that holds up to `memory` bytes.
    pub(crate) fn new(contents: &'a Contents, failures: &'a Failures, thorough: bool, memory: u64) -> Self {
        Self(Directories::new(Objects::new(contents, failures, thorough, memory)))
    }

    /// Records the contents that the walk comes across. They may take half of the memory.
    pub(crate) fn record_used(&mut self) -> Used {
        self.0.objects.record_used()
    }

    /// Walks from these roots on `threads` threads, until everything is read or `stop` returns true.
    pub(crate) fn run(
        self,
        roots: &[Option<&DirEntry>],
        threads: usize,
        stop: &(dyn Fn() -> bool + Sync),
    ) -> Trees {
        let roots = roots.iter().map(|root| self.root(*root)).collect();
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads.max(1)).build().ok();
        let mut stopped = false;
        // Level by level, so that a directory is met at its least depth first.
        for depth in 0.. {
            let level = self.0.graph.lock().take_queued();
            if level.is_empty() || stopped {
                break;
            }
            for round in level.chunks(ROUND) {
                stopped = stopped || self.is_exhausted() || stop();
                if stopped {
                    break;
                }
                let visit = || round.par_iter().for_each(|number| self.visit(*number, depth));
                match &pool {
                    Some(pool) => pool.install(visit),
                    None => visit(),
                }
            }
        }
        let unseen = self.is_exhausted().then(|| self.0.objects.findings.add(self.out_of_memory()));
        let repeated = self.0.warning_of_repeated_names();
        let Directories { objects, graph, .. } = self.0;
        let (findings, mut warnings) = objects.finish();
        warnings.extend(repeated);
        let (graph, findings) = (graph.into_inner(), findings.into_list());
        Trees { graph, roots, findings, warnings, stopped, unseen }
    }

    fn is_exhausted(&self) -> bool {
        self.0.objects.allowance.is_exhausted()
    }

    fn root(&self, root: Option<&DirEntry>) -> Root {
        let objects = &self.0.objects;
        match root {
            Some(entry) if entry.is_directory() => match entry.object {
                Some(object) => {
                    let mut graph = self.0.graph.lock();
                    let number = graph.number(&object);
                    graph.queue(number);
                    Root::Directory(number)
                }
                None => Root::File(vec![objects.findings.of_entry_without_object(entry)]),
            },
            Some(entry) => Root::File(objects.check_entry(entry)),
            None => {
                let fault = Fault::new("snapshot-without-root", "the snapshot has no root entry");
                Root::File(vec![objects.findings.add(fault)])
            }
        }
    }

    /// Reads a directory into the graph, unless the memory is exhausted.
    fn visit(&self, number: u32, depth: usize) {
        if self.is_exhausted() {
            return;
        }
        let Some(object) = self.0.graph.lock().object(number) else { return };
        let read = if depth < MAX_DEPTH {
            self.0.read(&object)
        } else {
            let detail = format!("directory {object} lies more than {MAX_DEPTH} levels down");
            Err(vec![self.0.objects.findings.of_object(&object, "directory-too-deep", &detail)])
        };
        let mut graph = self.0.graph.lock();
        if self.is_exhausted() {
            return;
        }
        match read {
            Ok(Listed { children, effective, lost, more_lost, .. }) => {
                graph.fill(number, &children, effective, Losses { lost, more_lost, unreadable: Vec::new() });
            }
            Err(unreadable) => graph.fill(number, &[], false, Losses { unreadable, ..Losses::default() }),
        }
        self.0.check_memory(&graph);
    }

    /// Directories for which there was no memory are neither good nor bad.
    fn out_of_memory(&self) -> Fault {
        let detail = match self.0.objects.has_too_many_failures() {
            true => "more contents are damaged than the memory budget has room for: the entries of these directories were \
                     not checked"
                .to_owned(),
            false => format!(
                "the directories of the snapshots take more than the {} KiB that are left of the memory budget: these \
                 directories were not checked",
                self.0.objects.allowance.bytes >> 10
            ),
        };
        Fault { unchecked: true, ..Fault::new("memory-budget", detail) }
    }
}

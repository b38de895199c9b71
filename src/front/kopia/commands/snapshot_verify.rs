//! `kopia snapshot verify`: whether everything is there that snapshots refer to, and of some files whether it can be read.
//!
//! This is what Kopia proves, in Kopia's words and counts. `rokopia verify` proves more.

use std::collections::HashSet;
use std::sync::{Arc, MutexGuard};
use std::time::{Duration, Instant};

use serde::Serialize;

use super::resolve;
use crate::Error;
use crate::blob::BlobId;
use crate::content::{ContentSource, Contents};
use crate::front::kopia::connection::{Connection, check_nothing};
use crate::front::kopia::failure::Failure;
use crate::front::kopia::grammar::{Argument, Command, Flag, Kind, Typed};
use crate::front::kopia::output::{JSON, Output};
use crate::front::kopia::sample::Sample;
use crate::front::kopia::say;
use crate::front::kopia::text::{Times, bytes};
use crate::gojson::write;
use crate::index::ContentIndex;
use crate::object::{Chunks, ObjectId, Reader};
use crate::os::parallel;
use crate::os::sync::Mutex;
use crate::snapshot::{Snapshot, Snapshots, Source, Tree};

const FLAGS: &[Flag] = &[
    Flag::new("max-errors", Kind::Int),
    Flag::new("directory-id", Kind::Texts),
    Flag::new("file-id", Kind::Texts),
    Flag::switch("all-sources"),
    Flag::new("sources", Kind::Texts),
    Flag::new("parallel", Kind::Int),
    Flag::new("file-queue-length", Kind::Int),
    Flag::new("file-parallelism", Kind::Int),
    Flag::new("verify-files-percent", Kind::Float),
];
const IDS: &[Argument] = &[Argument { name: "snapshot-ids", required: false, many: true }];

pub(super) const COMMAND: Command = Command::new(&["verify"], &[FLAGS, JSON], IDS, run);

/// Files are handed to the threads in batches of this many.
const BATCH: usize = 1000;

/// Time between two lines about how far it is.
const PAUSE: Duration = Duration::from_secs(1);

#[derive(Debug, Default, Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
struct Stats {
    processed_object_count: i64,
    processed_bytes: i64,
    read_file_count: i64,
    read_bytes: i64,
    expected_total_object_count: i64,
    expected_total_file_count: i64,
    expected_total_bytes: i64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Outcome<'a> {
    stats: Stats,
    error_count: usize,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    error_strings: &'a [String],
}

fn run(typed: &Typed) -> Result<(), Failure> {
    let connection = Connection::open(typed)?;
    let catalog = connection.catalog()?;
    let contents = connection.contents()?;
    say("Listing blobs...");
    let blobs = connection.repository.store().list("").map_err(Error::from)?;
    say(&format!("Listed {} blobs.", blobs.len()));
    let verifier = Verifier {
        typed,
        contents: &contents,
        index: &contents.index(),
        blobs: blobs.into_iter().map(|blob| blob.id).collect(),
        sample: Sample::new(typed.float("verify-files-percent").unwrap_or(0.0)),
        state: Mutex::default(),
    };
    let snapshots = catalog.all_snapshots();
    let walked = select(typed, &connection, &snapshots).and_then(|chosen| {
        if chosen.is_empty() && typed.texts("directory-id").is_empty() && typed.texts("file-id").is_empty() {
            check_nothing(&catalog, None)?;
        }
        verifier.snapshots(&chosen, &Times::new(typed))?;
        verifier.objects()
    });
    if let Err(failure) = walked {
        verifier.report("tree walker enqueue", failure.to_string());
    }
    verifier.conclude()
}

/// The snapshots that were asked for; all of them when nothing was.
fn select(
    typed: &Typed,
    connection: &Connection,
    snapshots: &Snapshots,
) -> Result<Vec<Arc<Snapshot>>, Failure> {
    let (ids, sources) = (&typed.arguments, typed.texts("sources"));
    let objects = typed.texts("directory-id").len() + typed.texts("file-id").len();
    let all = ids.is_empty() && sources.is_empty() && objects == 0;
    let sources: Vec<Source> =
        sources.iter().map(|text| connection.source(text)).collect::<Result<_, _>>()?;
    if let Some(problem) = snapshots.problems().iter().find(|p| all || sources.iter().any(|s| p.concerns(s)))
    {
        return Err(Failure::new(format!("unable to load snapshots: {}", problem.reason)));
    }
    let covers = |source: &Source, found: &Source| {
        let part = |wanted: &str, found: &str| wanted.is_empty() || wanted == found;
        part(&source.user, &found.user)
            && part(&source.host, &found.host)
            && (source.path.is_empty() || source.same_path(found))
    };
    let wanted = |snapshot: &Snapshot| all || sources.iter().any(|source| covers(source, &snapshot.found_as));
    let mut chosen: Vec<Arc<Snapshot>> = snapshots.all().filter(wanted).into_iter().collect();
    let mut found = 0;
    for id in ids {
        match snapshots.get(id) {
            Some(snapshot) => {
                found += 1;
                chosen.push(Arc::clone(snapshot));
            }
            None => say(&format!("unable to parse snapshot manifest {id}: snapshot not found")),
        }
    }
    if found < ids.len() {
        let wanted = ids.len();
        return Err(Failure::new(format!("found {found} of the {wanted} requested snapshot IDs to verify")));
    }
    Ok(chosen)
}

struct Verifier<'a> {
    typed: &'a Typed,
    contents: &'a Contents,
    index: &'a ContentIndex,
    blobs: HashSet<BlobId>,
    /// Decides which files are read.
    sample: Sample,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    stats: Stats,
    seen: HashSet<ObjectId>,
    errors: Vec<String>,
    error_count: usize,
    said: Option<Instant>,
}

/// A file or anything else that is no directory.
struct File {
    object: ObjectId,
    path: String,
    size: i64,
}

impl Verifier<'_> {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// How many errors end the work; `None` for no end.
    fn most_errors(&self) -> Option<usize> {
        usize::try_from(self.typed.int("max-errors").unwrap_or(0)).ok().map(|most| most.max(1))
    }

    fn has_enough(&self) -> bool {
        self.most_errors().is_some_and(|most| self.state().error_count >= most)
    }

    fn report(&self, path: &str, error: String) {
        say(&format!("error processing {path}: {error}"));
        let kept = self.most_errors().unwrap_or(1);
        let mut state = self.state();
        state.error_count += 1;
        if state.errors.len() < kept {
            state.errors.push(error);
        }
    }

    fn snapshots(&self, chosen: &[Arc<Snapshot>], times: &Times) -> Result<(), Failure> {
        for root in chosen.iter().filter_map(|snapshot| snapshot.root.as_ref()) {
            if let Some(summary) = root.summary.as_ref().filter(|_| root.is_directory()) {
                let stats = &mut self.state().stats;
                stats.expected_total_object_count += summary.files + summary.dirs + summary.symlinks;
                stats.expected_total_file_count += summary.files;
                stats.expected_total_bytes += summary.size;
            }
        }
        for snapshot in chosen {
            let name = format!("{}@{}", snapshot.source, times.show(snapshot.start_time));
            match Tree::of_snapshot(self.contents, snapshot) {
                Ok(tree) => self.walk(&tree, "", &name),
                // A snapshot without a root has nothing to verify.
                Err(crate::snapshot::Error::NoRoot { .. }) => {}
                Err(error) => return Err(Error::from(error).into()),
            }
        }
        Ok(())
    }

    /// Objects named by their IDs.
    fn objects(&self) -> Result<(), Failure> {
        for text in self.typed.texts("directory-id").iter().chain(self.typed.texts("file-id")) {
            let (id, path) = resolve::split(text);
            let not_parsed = |failure: Failure| failure.during(&format!("unable to parse: {text:?}"));
            let object = resolve::object_id(id).map_err(not_parsed)?;
            resolve::exists(self.contents, &object).map_err(not_parsed)?;
            let tree = Tree::of_object(self.contents, &object).map_err(Error::from)?;
            self.walk(&tree, &path, text);
        }
        Ok(())
    }

    fn walk(&self, tree: &Tree<'_>, path: &str, name: &str) {
        let mut walk = match tree.walk(path) {
            Ok(walk) => walk,
            Err(error) => return self.report(name, error.to_string()),
        };
        let mut files = Vec::new();
        while let Some(item) = walk.next() {
            if self.has_enough() {
                return;
            }
            let item = match item {
                Ok(item) => item,
                Err(error) => {
                    self.report(name, error.to_string());
                    continue;
                }
            };
            let full = if item.path.is_empty() { name.to_owned() } else { format!("{name}/{}", item.path) };
            let Some(object) = item.entry.object else {
                self.report(&full, "entry without object ID".to_owned());
                continue;
            };
            if !self.state().seen.insert(object) {
                walk.skip_directory();
                continue;
            }
            self.progress();
            if item.entry.is_directory() {
                self.state().stats.processed_object_count += 1;
                continue;
            }
            files.push(File { object, path: full, size: item.entry.kopia_size_and_mtime().0 });
            if files.len() >= BATCH {
                self.files(&std::mem::take(&mut files));
            }
        }
        self.files(&files);
    }

    fn files(&self, files: &[File]) {
        let wanted = self.typed.int("file-parallelism").and_then(|count| usize::try_from(count).ok());
        let threads =
            wanted.filter(|count| (1..=1024).contains(count)).unwrap_or_else(parallel::available_threads);
        let verified: Result<(), std::convert::Infallible> = parallel::for_each(files, threads, |file| {
            if !self.has_enough() {
                if let Err(error) = self.file(file) {
                    self.report(&file.path, error);
                }
                let stats = &mut self.state().stats;
                stats.processed_object_count += 1;
                stats.processed_bytes += file.size;
            }
            Ok(())
        });
        let Ok(()) = verified;
    }

    fn file(&self, file: &File) -> Result<(), String> {
        let object = &file.object;
        for chunk in Chunks::new(self.contents, object) {
            let content = chunk.map_err(|e| format!("verify object: {e}"))?.content;
            if self.contents.original_length(&content).map_err(|e| e.to_string())?.is_none() {
                return Err(format!("verify object: content {content} not found: object not found"));
            }
            let pack = self
                .index
                .get(&content)
                .map_err(|e| e.to_string())?
                .and_then(|entry| self.index.pack(entry.pack));
            if let Some(pack) = pack.filter(|pack| !self.blobs.contains(pack)) {
                return Err(format!("object {object} is backed by missing blob {pack}"));
            }
        }
        if self.sample.takes(object) {
            let count = self.read(object).map_err(|e| format!("error reading object {object}: {e}"))?;
            let stats = &mut self.state().stats;
            stats.read_file_count += 1;
            stats.read_bytes += count;
        }
        Ok(())
    }

    fn read(&self, object: &ObjectId) -> Result<i64, crate::object::Error> {
        let mut reader = Reader::new(self.contents, object);
        let mut buffer = vec![0; 1 << 18];
        let mut total = 0;
        loop {
            match reader.read_some(&mut buffer)? {
                0 => return Ok(total),
                count => total += i64::try_from(count).unwrap_or(0),
            }
        }
    }

    /// A line about how far it is, now and then.
    fn progress(&self) {
        let mut state = self.state();
        if state.said.is_some_and(|said| said.elapsed() < PAUSE) {
            return;
        }
        state.said = Some(Instant::now());
        let stats = state.stats;
        drop(state);
        match self.typed.on("json") {
            true => say(&write::to_string(&stats).unwrap_or_default()),
            false => say(&line("Processed", &stats)),
        }
    }

    fn conclude(self) -> Result<(), Failure> {
        let json = self.typed.on("json");
        let State { stats, errors, error_count, .. } = self.state.into_inner();
        if json {
            let outcome = Outcome { stats, error_count, error_strings: &errors };
            let mut out = Output::new();
            out.json(self.typed, &write::to_string(&outcome).map_err(|e| Failure::new(e.to_string()))?)?;
            out.finish()?;
        } else {
            say(&line("Finished processing", &stats));
        }
        match (error_count, errors.into_iter().next()) {
            (0, _) => Ok(()),
            (1, Some(error)) => Err(Failure::new(error)),
            _ => Err(Failure::new(format!("encountered {error_count} errors"))),
        }
    }
}

fn line(what: &str, stats: &Stats) -> String {
    let Stats { processed_object_count, processed_bytes, read_file_count, read_bytes, .. } = *stats;
    let (processed, read) = (bytes(processed_bytes), bytes(read_bytes));
    format!("{what} {processed_object_count} objects ({processed}). Read {read_file_count} files ({read}).")
}

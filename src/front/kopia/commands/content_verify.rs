//! `kopia content verify`: whether the packs that contents lie in exist and are long enough, and of some contents whether
//! they can be read.

use std::collections::{BTreeMap, HashMap};

use std::time::{Duration, Instant};

use serde::Serialize;

use super::content::{RANGE, in_range};
use crate::Error;
use crate::blob::BlobId;
use crate::content::{ContentSource, Contents};
use crate::front::kopia::connection::Connection;
use crate::front::kopia::failure::Failure;
use crate::front::kopia::grammar::{Command, Flag, Kind, Typed};
use crate::front::kopia::sample::Sample;
use crate::front::kopia::say;
use crate::gojson::write;
use crate::index::{ContentIndex, Entry};
use crate::os::parallel;
use crate::os::sync::Mutex;

const FLAGS: &[Flag] = &[
    Flag::new("parallel", Kind::Int),
    Flag::switch("full"),
    Flag::switch("include-deleted"),
    Flag::new("download-percent", Kind::Float),
    Flag::new("progress-interval", Kind::Duration),
];

pub(super) const COMMAND: Command = Command::new(&["verify"], &[FLAGS, RANGE], &[], run);

/// Time between two lines about how far it is, unless another is asked for.
const PAUSE: Duration = Duration::from_secs(3);

/// Threads that read contents, unless another number is asked for.
const THREADS: usize = 16;

/// Contents are handed to the threads in batches of this many.
const BATCH: usize = 4096;

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Counters {
    verified_contents: u64,
    total_error_count: u64,
    contents_in_missing_packs: u64,
    contents_in_truncated_packs: u64,
    unreadable_contents: u64,
    read_contents: u64,
    missing_packs: usize,
    truncated_packs: usize,
    corrupted_packs: usize,
}

/// What is wrong with a content.
enum Finding {
    Missing,
    Truncated,
    Unreadable(String),
}

#[derive(Default)]
struct State {
    counters: Counters,
    missing: BTreeMap<BlobId, u64>,
    truncated: BTreeMap<BlobId, u64>,
    corrupted: BTreeMap<BlobId, u64>,
    said: Option<Instant>,
}

struct Verifier<'a> {
    contents: &'a Contents,
    index: &'a ContentIndex,
    sizes: HashMap<BlobId, u64>,
    /// Decides which contents are read.
    sample: Sample,
    pause: Duration,
    state: Mutex<State>,
}

fn run(typed: &Typed) -> Result<(), Failure> {
    let connection = Connection::open(typed)?;
    let contents = connection.contents()?;
    let index = contents.index();
    say("Listing blobs...");
    let blobs = connection.repository.store().list("").map_err(Error::from)?;
    say(&format!("Listed {} blobs.", blobs.len()));
    let percent = if typed.on("full") { 100.0 } else { typed.float("download-percent").unwrap_or(0.0) };
    let pause = typed.nanos("progress-interval").and_then(|nanos| u64::try_from(nanos).ok());
    let verifier = Verifier {
        contents: &contents,
        index: &index,
        sizes: blobs.into_iter().map(|blob| (blob.id, blob.size)).collect(),
        sample: Sample::new(percent),
        pause: pause.map_or(PAUSE, Duration::from_nanos),
        state: Mutex::default(),
    };
    say("Verifying contents...");
    let threads = typed.int("parallel").and_then(|count| usize::try_from(count).ok());
    let threads = threads.filter(|count| (1..=1024).contains(count)).unwrap_or(THREADS);
    let wanted = |entry: &Entry| (typed.on("include-deleted") || !entry.deleted) && in_range(typed, entry);
    let mut entries = index.iter().filter(wanted);
    loop {
        let batch: Vec<Entry> = entries.by_ref().take(BATCH).collect();
        if batch.is_empty() {
            index.check().map_err(crate::Error::from)?;
            return verifier.conclude();
        }
        let verified: Result<(), std::convert::Infallible> = parallel::for_each(&batch, threads, |entry| {
            verifier.verify(entry);
            Ok(())
        });
        let Ok(()) = verified;
    }
}

impl Verifier<'_> {
    fn verify(&self, entry: &Entry) {
        let pack = self.index.pack(entry.pack);
        let is_read = self.sample.takes(&entry.id);
        let finding = match pack.and_then(|pack| self.sizes.get(pack)) {
            None => Some(Finding::Missing),
            Some(size) if entry.end() > *size => Some(Finding::Truncated),
            Some(_) if is_read => {
                self.contents.get(&entry.id).err().map(|e| Finding::Unreadable(e.to_string()))
            }
            Some(_) => None,
        };
        let was_read = is_read && !matches!(finding, Some(Finding::Missing | Finding::Truncated));
        let mut state = self.state.lock();
        let State { counters, missing, truncated, corrupted, said } = &mut *state;
        counters.verified_contents += 1;
        counters.read_contents += u64::from(was_read);
        if let Some(finding) = finding {
            counters.total_error_count += 1;
            let id = entry.id;
            let name = pack.map(ToString::to_string).unwrap_or_default();
            let (count, packs) = match &finding {
                Finding::Missing => {
                    say(&format!("content {id} depends on missing blob {name}"));
                    (&mut counters.contents_in_missing_packs, missing)
                }
                Finding::Truncated => {
                    say(&format!("content {id} out of bounds of its pack blob {name}"));
                    (&mut counters.contents_in_truncated_packs, truncated)
                }
                Finding::Unreadable(reason) => {
                    say(&format!("content {id} is invalid: {reason}"));
                    (&mut counters.unreadable_contents, corrupted)
                }
            };
            *count += 1;
            if let Some(pack) = pack {
                *packs.entry(pack.clone()).or_default() += 1;
            }
        }
        if said.is_none_or(|said| said.elapsed() >= self.pause) {
            *said = Some(Instant::now());
            let Counters { verified_contents, total_error_count, .. } = *counters;
            say(&format!(
                "  Verified {verified_contents} contents, {total_error_count} errors, estimating..."
            ));
        }
    }

    fn conclude(self) -> Result<(), Failure> {
        let state = self.state.into_inner();
        let State { mut counters, missing, truncated, corrupted, .. } = state;
        counters.missing_packs = missing.len();
        counters.truncated_packs = truncated.len();
        counters.corrupted_packs = corrupted.len();
        let json = |e: serde_json::Error| Failure::new(e.to_string());
        say("Finished verifying contents");
        say(&format!("verifyCounters:\t{}", write::to_string(&counters).map_err(json)?));
        for (name, packs) in
            [("missingPack", missing), ("truncatedPack", truncated), ("corruptedPack", corrupted)]
        {
            for (pack, count) in packs {
                say(&format!("{name}\t{{\"packID\":\"{pack}\",\"numberOfReferencedContents\":{count}}}"));
            }
        }
        match counters.total_error_count {
            0 => Ok(()),
            count => Err(Failure::new(format!(
                "verify contents: encountered {count} errors: packs that the index refers to are missing or damaged"
            ))),
        }
    }
}

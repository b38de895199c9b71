//! Damages by chance, to repositories of all formats: what is reported lost is what a restore does not bring back, byte
//! by byte.
//!
//! `ROKOPIA_DAMAGES=N` tries so many; `ROKOPIA_DAMAGE=I` only the one of that number, which failures name.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, LazyLock, OnceLock};

use rokopia::blob::{BlobId, FileSystem};
use rokopia::codec::CompressionId;
use rokopia::crypto::{EncryptionAlgorithm, Password};
use rokopia::format::RepositoryFormat;
use rokopia::index::IndexOptions;
use rokopia::restore::Restore;
use rokopia::snapshot::DirEntry;
use rokopia::testkit::{Chunks, Epochs, Options, RepositoryWriter, Rng, Shape};
use rokopia::verify::{Ledger, Level, Report, Settings, Verdict, Verifier};
use rokopia::{Options as Reading, Repository};

use super::common::memory::Memory;
use super::common::{Case, Counter, in_parallel, testdata};
use super::made::{PASSWORD, source};
use super::support::lost_in_reports;

const DAMAGES: usize = 39;

/// Snapshots of each repository that are restored.
const COMPARED: usize = 4;

/// What is at a path: `None` is a directory.
type Files = BTreeMap<String, Option<Vec<u8>>>;

/// A sound repository, and what its snapshots restore to.
struct Base {
    name: String,
    format: Arc<RepositoryFormat>,
    blobs: Memory,
    /// A ledger that has seen the snapshots.
    ledger: Vec<u8>,
    snapshots: BTreeMap<String, Files>,
}

fn reading() -> Reading {
    let index = IndexOptions { degraded: true, ..IndexOptions::default() };
    Reading { index, ..Reading::default() }
}

/// Everything below a directory, or the file itself.
fn files(root: &Path) -> Files {
    fn visit(at: &Path, path: &str, found: &mut Files) {
        let Ok(meta) = at.symlink_metadata() else { return };
        if meta.is_dir() {
            found.insert(path.to_owned(), None);
            for entry in std::fs::read_dir(at).unwrap() {
                let name = entry.unwrap().file_name().to_string_lossy().into_owned();
                let below = if path.is_empty() { name.clone() } else { format!("{path}/{name}") };
                visit(&at.join(name), &below, found);
            }
        } else if meta.is_symlink() {
            let target = std::fs::read_link(at).unwrap();
            found.insert(path.to_owned(), Some(target.to_string_lossy().into_owned().into_bytes()));
        } else {
            found.insert(path.to_owned(), Some(std::fs::read(at).unwrap()));
        }
    }
    let mut found = Files::new();
    visit(root, "", &mut found);
    found
}

/// Restores a snapshot without hashing what comes back; its files, and the paths that are named as not restored.
fn restore(repository: &Repository, root: &DirEntry) -> (Files, BTreeSet<String>) {
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().join("target");
    let failed = match repository.contents() {
        Ok(contents) => {
            let restore = Restore::new(&contents, root).threads(2).owner(false).permissions(false);
            match restore.run(&target, &()) {
                Ok(summary) => summary.errors.into_iter().map(|error| error.path).collect(),
                Err(_) => vec![String::new()],
            }
        }
        Err(_) => vec![String::new()],
    };
    let shown = |path: String| if path.is_empty() { "/".to_owned() } else { path };
    (files(&target), failed.into_iter().map(shown).collect())
}

impl Base {
    fn new(name: &str, repo: &Path, password: &str) -> Self {
        let store = FileSystem::open(repo).unwrap();
        let repository = Repository::open_with(store, &Password::new(password), reading()).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ledger");
        let ledger = Ledger::open(&path, &repository).unwrap();
        let report = Verifier::new(&repository, &Settings::default()).ledger(&ledger).run().unwrap();
        assert_eq!(report.result, Verdict::Clean, "{name}: {:#?}", report.damage);
        let mut snapshots = BTreeMap::new();
        let listed = repository.catalog().unwrap().snapshots_and_problems().0;
        assert_eq!(listed.len(), report.snapshots.len(), "{name}");
        for snapshot in listed.iter().rev().take(COMPARED) {
            let (files, failed) = restore(&repository, snapshot.root.as_ref().unwrap());
            assert!(failed.is_empty(), "{name}: {failed:?}");
            snapshots.insert(snapshot.id.to_string(), files);
        }
        let blobs = Memory::copy_of(repository.store()).unwrap();
        let ledger = std::fs::read(path).unwrap();
        Self { name: name.to_owned(), format: Arc::clone(repository.format()), blobs, ledger, snapshots }
    }

    fn made(name: &str, options: Options) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = RepositoryWriter::create(dir.path(), options).unwrap();
        for (seed, files) in [(1, 20), (2, 25), (2, 25), (3, 22)] {
            let root = writer.write_tree(&Shape::Mixed { files, bytes: 80_000 }.tree(seed).unwrap()).unwrap();
            writer.snapshot(&source(), &root);
            writer.close_packs().unwrap();
            // Contents that are marked as deleted although snapshots need them. Where the same tree comes again, there
            // are two copies, of which only the newer counts.
            let some: Vec<_> = writer.pending_entries().iter().step_by(7).map(|entry| entry.id).collect();
            writer.flush().unwrap();
            some.iter().for_each(|id| writer.delete_content(id).unwrap());
        }
        writer.finish().unwrap();
        Self::new(name, dir.path(), PASSWORD)
    }
}

/// Recorded repositories of other formats than testkit writes.
const RECORDED: [&str; 8] = [
    "index-v1",
    "format-v1",
    "format-v2",
    "v05",
    "compressors",
    "epochs-unsettled",
    "ecc-damaged",
    "upgraded",
];

type Maker = Box<dyn Fn() -> Base + Send + Sync>;

/// What is damaged, made when it is first wanted.
static BASES: LazyLock<Vec<(Maker, OnceLock<Base>)>> =
    LazyLock::new(|| makers().into_iter().map(|maker| (maker, OnceLock::new())).collect());

fn base(number: usize) -> &'static Base {
    let (maker, base) = &BASES[number];
    base.get_or_init(maker)
}

fn makers() -> Vec<Maker> {
    let small =
        Options { pack_size: 40_000, chunks: Chunks::Between { min: 2000, max: 9000 }, ..Options::default() };
    let compressed = |header| CompressionId::from_header(header).ok();
    let compact = Epochs { advance_at: 2, compact: true, range_of: 2, ..Epochs::default() };
    let split = Epochs { blobs_per_flush: 3, ..Epochs::default() };
    let made = [
        ("plain", small.clone()),
        ("error correction", Options { ecc_percent: 10, ..small.clone() }),
        (
            "zstd, compacted",
            Options { data_compression: compressed(0x1100), epochs: compact, ..small.clone() },
        ),
        (
            "s2, split indexes",
            Options { data_compression: compressed(0x1200), epochs: split, ..small.clone() },
        ),
        (
            "gzip, ChaCha20",
            Options {
                data_compression: compressed(0x1000),
                metadata_compression: None,
                encryption: EncryptionAlgorithm::ChaCha20Poly1305,
                ..small
            },
        ),
    ];
    let mut makers: Vec<Maker> = Vec::new();
    for (name, options) in made {
        makers.push(Box::new(move || Base::made(name, options.clone())));
    }
    for name in RECORDED {
        let case = Case::load(&testdata().join(name)).unwrap();
        makers.push(Box::new(move || Base::new(name, &case.repo(), case.password())));
    }
    makers
}

/// Kinds of blobs by how much depends on them.
fn kinds(blobs: &Memory) -> Vec<Vec<BlobId>> {
    let mut kinds: BTreeMap<&str, Vec<BlobId>> = BTreeMap::new();
    for id in blobs.0.keys() {
        let kind = match id.as_str() {
            "kopia.repository" => continue,
            name if name.starts_with("_log") || name.starts_with("kopia.") => "other",
            name if name.starts_with('x') || name.starts_with('n') || name.starts_with('m') => "index",
            name => &name[..1],
        };
        kinds
            .entry(match kind {
                "p" => "p",
                "q" => "q",
                "index" => "index",
                _ => "other",
            })
            .or_default()
            .push(id.clone());
    }
    kinds.into_values().collect()
}

/// Does one thing by chance, and says what.
fn damage(blobs: &mut Memory, rng: &mut Rng) -> String {
    let pick = |from: &[BlobId], rng: &mut Rng| from[rng.below(from.len() as u64) as usize].clone();
    let kinds = kinds(blobs);
    if kinds.is_empty() {
        return "nothing is left".into();
    }
    let kind = &kinds[rng.below(kinds.len() as u64) as usize];
    let (blob, other) = (pick(kind, rng), pick(kind, rng));
    let mut bytes = blobs.0[&blob].to_vec();
    let size = bytes.len() as u64;
    let from = rng.below(size.max(1)) as usize;
    let length = rng.between(1, 600).min(size - from as u64) as usize;
    let act = rng.below(12);
    let told = match act {
        0 => {
            blobs.0.remove(&blob);
            return format!("{blob} gone");
        }
        1 => {
            let theirs = blobs.0[&other].clone();
            blobs.0.insert(other.clone(), bytes.into());
            blobs.0.insert(blob.clone(), theirs);
            return format!("{blob} and {other} exchanged");
        }
        2 => {
            bytes = blobs.0[&other].to_vec();
            format!("{other} in the place of {blob}")
        }
        3 => {
            bytes.clear();
            format!("{blob} empty")
        }
        4 => {
            bytes.truncate(from);
            format!("{blob} cut at {from}")
        }
        5 => {
            bytes.extend(rng.bytes::<100>());
            format!("{blob} longer")
        }
        6 => {
            bytes.splice(from..from, [7; 16]);
            format!("{blob} shifted at {from}")
        }
        7 => {
            bytes[from..from + length].fill(0);
            format!("{blob} zero for {length} at {from}")
        }
        8 => {
            let theirs = &blobs.0[&other];
            let at = rng.below(theirs.len().max(1) as u64) as usize;
            let piece = theirs[at..theirs.len().min(at + length)].to_vec();
            bytes[from..from + piece.len()].copy_from_slice(&piece);
            format!("{blob} has at {from} {} of {other}", piece.len())
        }
        9 => {
            let copy = BlobId::new(&format!("{blob}0")).unwrap();
            blobs.0.insert(copy.clone(), bytes.into());
            return format!("{blob} again as {copy}");
        }
        _ => {
            let Some(byte) = bytes.get_mut(from) else { return format!("{blob} is empty") };
            *byte ^= 1 << rng.below(8);
            format!("{blob} flipped at {from}")
        }
    };
    blobs.0.insert(blob, bytes.into());
    told
}

/// Whether a path is one of those, or below one that is a directory.
fn is_lost(path: &str, lost: &BTreeSet<String>) -> bool {
    lost.contains("/")
        || lost.contains(path)
        || path.match_indices('/').any(|(at, _)| lost.contains(&path[..at]))
}

#[derive(Default)]
struct Counts {
    damages: Counter,
    refused: Counter,
    with_losses: Counter,
    lost: Counter,
    brought_back: Counter,
    gone: Counter,
}

/// What is wrong with what is said of one damaged repository.
fn judge(base: &Base, blobs: &Memory, counts: &Counts) -> Vec<String> {
    let mut trouble = Vec::new();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ledger");
    std::fs::write(&path, &base.ledger).unwrap();
    let repository = Repository::with_format(blobs.clone(), Arc::clone(&base.format), reading());
    let ledger = Ledger::open(&path, &repository).unwrap();
    let settings = Settings { threads: 2, ..Settings::default() };
    let report = match Verifier::new(&repository, &settings).ledger(&ledger).run() {
        Ok(report) => report,
        Err(e) => {
            counts.refused.add(1);
            return vec![format!("no report: {e}")];
        }
    };
    let reported = lost_in_reports(&report);
    let listed = repository.catalog().map(|catalog| catalog.snapshots_and_problems().0).unwrap_or_default();
    let mut lost_any = false;
    for (id, truth) in &base.snapshots {
        let Some(root) =
            listed.iter().find(|known| known.id.to_string() == *id).and_then(|known| known.root.as_ref())
        else {
            counts.gone.add(1);
            if report.result == Verdict::Clean && report.warnings.is_empty() {
                trouble.push(format!("{id} is gone, and nothing is said"));
            }
            continue;
        };
        let (restored, failed) = restore(&repository, root);
        let ours = reported.get(id.as_str()).cloned().unwrap_or_default();
        if ours != failed {
            trouble.push(format!("{id}: reported {ours:?}, restore names {failed:?}"));
        }
        for (path, bytes) in truth {
            let back = restored.get(path) == Some(bytes);
            let lost = is_lost(path, &ours);
            if back == lost && bytes.is_some() || !back && !lost {
                trouble.push(format!("{id}: {path:?} is brought back: {back}, reported lost: {lost}"));
            }
            if lost { counts.lost.add(1) } else { counts.brought_back.add(1) }
        }
        lost_any |= !ours.is_empty();
        let state = report.snapshots.iter().find(|state| state.id == *id);
        if state.map(|state| state.whole) != Some(ours.is_empty()) {
            trouble.push(format!("{id}: {state:?}, but lost {ours:?}"));
        }
        if !ours.is_empty() && report.result != Verdict::Damaged {
            trouble.push(format!("{id}: {:?} although {ours:?} are lost", report.result));
        }
    }
    counts.with_losses.add(usize::from(lost_any));
    trouble.extend(unknown(base, &report));
    trouble
}

/// Paths and snapshots in a report that were never there.
fn unknown(base: &Base, report: &Report) -> Vec<String> {
    let paths = report.damage.iter().flat_map(|damage| &damage.paths);
    let odd = paths.filter(|lost| {
        let files = base.snapshots.get(&lost.snapshot);
        lost.path != "/"
            && files.is_some_and(|files| lost.named_by.is_none() && !files.contains_key(&lost.path))
    });
    odd.map(|lost| format!("{lost:?} never was")).collect()
}

#[test]
fn whatever_happens_the_report_is_what_a_restore_comes_to() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<usize>().unwrap());
    let cases: Vec<usize> = match number("ROKOPIA_DAMAGE") {
        Some(one) => vec![one],
        None => (0..number("ROKOPIA_DAMAGES").unwrap_or(DAMAGES)).collect(),
    };
    let counts = Counts::default();
    in_parallel(&cases, |&case| {
        let base = base(case % BASES.len());
        let mut rng = Rng::new(case as u64);
        let mut blobs = base.blobs.clone();
        let acts: Vec<String> = (0..rng.between(1, 3)).map(|_| damage(&mut blobs, &mut rng)).collect();
        counts.damages.add(1);
        let trouble = judge(base, &blobs, &counts);
        trouble
            .into_iter()
            .map(|what| format!("{case} ({}; {}): {what}", base.name, acts.join(", ")))
            .collect()
    });
    println!(
        "{} damages to {} repositories, {} with losses, {} without a report: {} paths lost, {} brought back, {} snapshots gone",
        counts.damages.get(),
        BASES.len(),
        counts.with_losses.get(),
        counts.refused.get(),
        counts.lost.get(),
        counts.brought_back.get(),
        counts.gone.get()
    );
    assert!(number("ROKOPIA_DAMAGE").is_some() || counts.with_losses.get() * 5 > cases.len());
}

/// Every byte of what is neither a pack nor a format blob bears on something: one flip is found, by name.
#[test]
fn a_flip_in_any_other_blob_is_found() {
    let flips = Counter::new();
    let settings = Settings { level: Level::Decrypt, ..Settings::default() };
    in_parallel(&(0..BASES.len()).collect::<Vec<_>>(), |&number| {
        let base = base(number);
        let mut rng = Rng::new(base.blobs.0.len() as u64);
        let mut others: BTreeMap<&str, Vec<&BlobId>> = BTreeMap::new();
        for id in base.blobs.0.keys() {
            let name = id.as_str();
            let kind = match name.as_bytes()[0] {
                b'p' | b'q' => continue,
                b'_' => "_log_",
                b'k' => name,
                b'x' => &name[..2],
                _ => &name[..1],
            };
            others.entry(kind).or_default().push(id);
        }
        // Opening proves the format blob; copies that an upgrade left of it serve nobody.
        others.retain(|kind, _| !kind.starts_with("kopia.repository"));
        let mut trouble = Vec::new();
        for blobs in others.into_values() {
            let blob = blobs[rng.below(blobs.len() as u64) as usize];
            let mut changed = base.blobs.clone();
            let mut bytes = changed.0[blob].to_vec();
            let place = rng.below(bytes.len() as u64) as usize;
            bytes[place] ^= 1 << rng.below(8);
            changed.0.insert(blob.clone(), bytes.into());
            let repository = Repository::with_format(changed, Arc::clone(&base.format), reading());
            let report = Verifier::new(&repository, &settings).run().unwrap();
            let named = report.damage.iter().chain(&report.unneeded).filter_map(|item| item.blob.as_deref());
            let repaired = report.ecc.repairs.iter().map(|repair| repair.blob.as_str());
            if !named.chain(repaired).any(|name| name == blob.as_str()) {
                trouble.push(format!("{}: {blob} flipped at {place}: {:?}", base.name, report.result));
            }
            flips.add(1);
        }
        trouble
    });
    println!("{} flips in blobs that are no packs", flips.get());
    assert!(flips.get() > 20);
}

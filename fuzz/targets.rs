//! What each fuzz target does with its input, apart from the fuzzer: `tests/fuzz.rs` replays seeds and regressions
//! through the same functions.
//!
//! Every function accepts any bytes. It must neither panic nor allocate out of proportion; what it calls proves its
//! bounds by being called with every accessor.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::path::Path;
use std::sync::{Arc, OnceLock};

use rokopia::blob::{BlobId, BlobMetadata, FileSystem, Sharding};
use rokopia::codec::{CompressionId, ReedSolomonCrc, Size, decompress};
use rokopia::crypto::{KeyDerivation, Password};
use rokopia::format::RepositoryFormat;
use rokopia::index::{ContentId, PackedIndex, select_epochs};
use rokopia::manifest::{ManifestMemory, ManifestSet, parse as parse_manifests};
use rokopia::object::{Chunks, ObjectId, Reader};
use rokopia::pack::Postamble;
use rokopia::snapshot::{Entries, EntryName, Policies, Snapshots, Source, Tree, UtcTimestamp};
use rokopia::testkit::{Options, RepositoryWriter};
use rokopia::verify::Ledger;

/// A target: its name, which is also that of the folder of its seeds, and what it does.
pub type Target = (&'static str, fn(&[u8]));

/// All targets that need nothing but bytes.
pub const TARGETS: &[Target] = &[
    ("format_blob", format_blob),
    ("index", index),
    ("postamble", postamble),
    ("epochs", epochs),
    ("manifest", manifest),
    ("directory", directory),
    ("indirect", indirect),
    ("decompress", decompress_any),
    ("ecc", ecc),
    ("names", names),
    ("arguments", arguments),
    ("kopia_config", kopia_config),
    ("ledger", ledger),
];

/// No plaintext of a fuzz input may grow beyond this: decompressors stop at the length that the index states.
const MAX_PLAINTEXT: usize = 1 << 20;

/// Bytes that manifests may take.
const MAX_MANIFESTS: u64 = 64 << 20;

/// The unencrypted part of the format blob.
pub fn format_blob(data: &[u8]) {
    let _ = RepositoryFormat::unique_id_in(data);
}

/// An index of either version, with every way to look into it.
pub fn index(data: &[u8]) {
    let Ok(index) = PackedIndex::parse(data.to_vec()) else { return };
    let mut previous = None;
    for entry in index.iter() {
        assert!(previous < Some(entry.id), "entries must ascend");
        assert_eq!(index.get(&entry.id).map(|found| found.offset), Some(entry.offset));
        assert!(index.packs().get(entry.pack.number() as usize).is_some(), "a pack that is not there");
        previous = Some(entry.id);
    }
    assert_eq!(index.iter().count(), index.len() as usize);
    assert!(index.entry(index.len()).is_none());
    for prefix in [b'g', b'k', b'm', b'x', b'z'] {
        assert!(index.with_prefix(prefix).all(|entry| entry.id.prefix() == Some(prefix)));
    }
}

/// The end of a pack.
pub fn postamble(data: &[u8]) {
    let _ = Postamble::parse(data);
}

/// A listing of index blobs, one name a line.
pub fn epochs(data: &[u8]) {
    let blobs: Vec<BlobMetadata> = String::from_utf8_lossy(data)
        .lines()
        .filter_map(|name| BlobId::new(name).ok())
        .enumerate()
        .map(|(size, id)| BlobMetadata { id, size: size as u64, modified: None })
        .collect();
    let set = select_epochs(&blobs);
    for chosen in set.blobs.iter().chain(&set.optional) {
        assert!(blobs.iter().any(|listed| listed.id == chosen.id), "a blob that nobody listed");
    }
}

/// A manifest content, as JSON or as it is stored, with everything that is made of it.
pub fn manifest(data: &[u8]) {
    let Ok(content) = "m00".parse::<ContentId>() else { return };
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let packed = gzip.write_all(data).and_then(|()| gzip.finish()).unwrap_or_default();
    for payload in [data, &packed] {
        let Ok(entries) = parse_manifests(content, payload, &ManifestMemory::new(MAX_MANIFESTS, 0)) else {
            continue;
        };
        let mut set = ManifestSet::default();
        set.update(&[content].into(), [(content, entries)]);
        let snapshots = Snapshots::new(&set);
        for source in snapshots.sources() {
            let _ = snapshots.of(source).complete().latest();
        }
        let policies = Policies::new(&set);
        for policy in policies.all() {
            let _ = policy.listed().map(|listed| listed.to_kopia_json());
        }
        let _ = policies.problems().count();
    }
}

/// The JSON of a directory.
pub fn directory(data: &[u8]) {
    let Ok(object) = "k00".parse::<ObjectId>() else { return };
    for entry in Entries::new(object, data) {
        if entry.is_err() {
            break;
        }
    }
}

/// An object whose table is the input, read from the start, from the middle and chunk by chunk; also as a directory.
pub fn indirect(data: &[u8]) {
    let (Ok(table), Ok(leaf)) = ("x00".parse::<ContentId>(), "11".parse::<ContentId>()) else { return };
    let Ok(object) = "Ix00".parse::<ObjectId>() else { return };
    let source = BTreeMap::from([(table, data.to_vec()), (leaf, vec![7; 100])]);
    let _ = Chunks::new(&source, &object).take(10_000).take_while(Result::is_ok).count();
    let mut reader = Reader::new(&source, &object);
    let length = reader.length().unwrap_or(1000);
    let _ = std::io::copy(&mut (&mut reader).take(MAX_PLAINTEXT as u64), &mut std::io::sink());
    reader.seek_to(length / 2);
    let _ = reader.read_some(&mut [0; 512]);
    if let Ok(tree) = Tree::of_object(&source, &object) {
        let _ = tree.walk("").map(|walk| walk.take(100).count());
    }
}

/// A decompressor, chosen by the first byte, with a stated length, chosen by the second, and with a mere limit.
pub fn decompress_any(data: &[u8]) {
    let Some(([selector, length], stream)) = data.split_first_chunk::<2>() else { return };
    let header = HEADERS.get(usize::from(*selector) % HEADERS.len()).copied().unwrap_or_default();
    let Ok(id) = CompressionId::from_header(header) else { return };
    let length = usize::from(*length) << 12;
    let mut out = Vec::new();
    for size in [Size::Exact(length), Size::AtMost(MAX_PLAINTEXT)] {
        if decompress(id, stream, size, &mut out).is_ok() {
            match size {
                Size::Exact(exact) => assert_eq!(out.len(), exact),
                Size::AtMost(most) => assert!(out.len() <= most),
            }
        }
    }
}

/// One compression per codec (`format-spec/06-compression.md`).
const HEADERS: [u32; 5] = [0x1000, 0x1100, 0x1200, 0x1400, 0x1500];

/// An error-corrected content under three overheads.
pub fn ecc(data: &[u8]) {
    for percent in [1, 10, 50] {
        let Ok(code) = ReedSolomonCrc::new(percent) else { return };
        if let Ok(corrected) = code.decode(data) {
            assert!(corrected.data.len() <= data.len());
            assert!(corrected.repaired.iter().all(|range| range.start < range.end));
        }
    }
}

/// Everything that is parsed from a short text.
pub fn names(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Ok(id) = text.parse::<ContentId>() {
        assert_eq!(id.to_string().parse::<ContentId>().ok(), Some(id));
    }
    if let Ok(id) = text.parse::<ObjectId>() {
        assert_eq!(id.to_string().parse::<ObjectId>().ok(), Some(id));
    }
    if let Ok(source) = text.parse::<Source>() {
        // `user@` without host and path is written as Kopia writes it, and read as nothing.
        assert!(source.host.is_empty() || source.to_string().parse::<Source>().ok() == Some(source));
    }
    if let Ok(time) = text.parse::<UtcTimestamp>() {
        let _ = time.to_string();
    }
    if let Ok(name) = EntryName::new(&text) {
        let name = name.as_str();
        assert!(!name.is_empty() && name != "." && name != ".." && !name.contains(['/', '\0']));
    }
    if let Ok(blob) = BlobId::new(&text) {
        assert!(Sharding::default().path(blob.as_str()).split('/').all(|directory| directory != ".."));
    }
    if let Ok(sharding) = Sharding::parse(data) {
        for name in ["p0123456789abcdef0123456789abcdef", "kopia.repository", "x", "_log_1_2"] {
            let path = sharding.path(name);
            assert_eq!(path.replace('/', ""), format!("{name}.f"));
        }
    }
}

/// Arguments of the command line: references, durations, sizes, times, locations.
pub fn arguments(data: &[u8]) {
    rokopia::front::parse_as_rokopia(&String::from_utf8_lossy(data));
}

/// A file of this process with these bytes.
fn in_a_file(data: &[u8], read: impl FnOnce(&Path)) {
    let path = std::env::temp_dir().join(format!("rokopia-fuzz-{}", std::process::id()));
    if std::fs::write(&path, data).is_ok() {
        read(&path);
    }
    let _ = std::fs::remove_file(&path);
}

/// A configuration file of kopia, and a command line of it.
pub fn kopia_config(data: &[u8]) {
    let words = String::from_utf8_lossy(data);
    in_a_file(data, |path| rokopia::front::parse_as_kopia(&words, path));
}

/// A ledger of verifications.
pub fn ledger(data: &[u8]) {
    in_a_file(data, |path| {
        if let Ok(ledger) =
            Ledger::open_at(&rokopia::blob::Guard::default().writable(path).unwrap(), &format())
        {
            assert_eq!(ledger.path(), path);
        }
    });
}

/// The format of a repository that is nowhere.
fn format() -> Arc<RepositoryFormat> {
    static FORMAT: OnceLock<Arc<RepositoryFormat>> = OnceLock::new();
    let made = FORMAT.get_or_init(|| {
        let options = Options { key_derivation: KeyDerivation::Pbkdf2Sha256_600000, ..Options::default() };
        let dir = std::env::temp_dir().join(format!("rokopia-fuzz-format-{}", std::process::id()));
        RepositoryWriter::create(&dir, options).and_then(RepositoryWriter::finish).unwrap();
        let store = FileSystem::open(&dir).unwrap();
        let repository = rokopia::Repository::open(store, &Password::new("testkit")).unwrap();
        std::fs::remove_dir_all(&dir).unwrap();
        Arc::clone(repository.format())
    });
    Arc::clone(made)
}

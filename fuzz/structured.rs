//! Changes what a decrypted repository says, encrypts it again, and lists, restores and verifies it.
//!
//! Plaintexts keep the IDs under which others refer to them: the cipher ties bytes to an ID, not to a hash. Thus what a
//! hostile writer can say reaches every layer above the cipher.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use rokopia::blob::FileSystem;
use rokopia::crypto::{KeyDerivation, Password};
use rokopia::format::RepositoryFormat;
use rokopia::index::ContentId;
use rokopia::restore::Restore;
use rokopia::snapshot::{Snapshots, Tree};
use rokopia::testkit::{Options, RepositoryWriter};
use rokopia::verify::{Settings, Verifier};
use rokopia::{Options as OpenOptions, Repository};

/// How far repositories came.
#[derive(Debug, Clone, Copy, Default)]
pub struct Reached {
    /// Their snapshots could be listed.
    pub listed: u64,
    /// A restore was begun.
    pub restored: u64,
    /// Of these, all of it was restored.
    pub whole: u64,
    /// A verification ended with a report.
    pub verified: u64,
}

impl Reached {
    /// Adds another's numbers.
    pub fn add(&mut self, other: &Self) {
        self.listed += other.listed;
        self.restored += other.restored;
        self.whole += other.whole;
        self.verified += other.verified;
    }
}

/// Words that mean something somewhere.
const WORDS: [&str; 32] = [
    "..",
    ".",
    "/",
    "../../up",
    "\\u0000",
    "null",
    "-1",
    "0",
    "9223372036854775807",
    "18446744073709551616",
    "1e308",
    "\"d\"",
    "\"f\"",
    "\"s\"",
    "\"b\"",
    "\"obj\":\"k00000000000000000000000000000001\"",
    "I",
    "II",
    "Z",
    "D",
    "kopia:directory",
    "kopia:indirect",
    "9999-12-31T23:59:59.999999999Z",
    "0001-01-01T00:00:00Z",
    "07777",
    "-0644",
    "{",
    "}",
    "[",
    "]",
    ",",
    "\"",
];

/// A place of its own, gone afterwards.
struct Place(PathBuf);

impl Place {
    fn new() -> Option<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("rokopia-structured-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).ok()?;
        Some(Self(path))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Bytes of the input, one after the other; zeros when there are no more.
struct Choices<'a>(&'a [u8]);

impl Choices<'_> {
    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    fn below(&mut self, bound: usize) -> usize {
        (usize::from(self.byte()) << 8 | usize::from(self.byte())) % bound.max(1)
    }
}

fn id(text: &str) -> Option<ContentId> {
    text.parse().ok()
}

/// The plaintexts of a small repository: two directories, a table of chunks, data, links.
fn plaintexts() -> Vec<(&'static str, Vec<u8>)> {
    let entry = |name: &str, kind: &str, size: u64, object: &str| {
        format!(
            r#"{{"name":"{name}","type":"{kind}","mode":"0644","size":{size},"mtime":"2026-01-02T03:04:05.6Z","uid":7,"gid":7,"obj":"{object}"}}"#
        )
    };
    let directory = |entries: &[String]| {
        format!(r#"{{"stream":"kopia:directory","entries":[{}],"summary":{{"size":9,"files":2,"symlinks":1,"dirs":1,"maxTime":"2026-01-02T03:04:05Z","numFailed":0}}}}"#, entries.join(","))
            .into_bytes()
    };
    let (a, b, link, table, sub, root) = (
        "0000000000000000000000000000000a",
        "0000000000000000000000000000000b",
        "0000000000000000000000000000000c",
        "x0000000000000000000000000000000d",
        "k0000000000000000000000000000000e",
        "k00000000000000000000000000000001",
    );
    vec![
        (a, b"some bytes of a file".to_vec()),
        (b, vec![0; 5000]),
        (link, b"../somewhere/else".to_vec()),
        (
            table,
            format!(r#"{{"stream":"kopia:indirect","entries":[{{"l":20,"o":"{a}"}},{{"s":20,"l":5000,"o":"{b}"}},{{"s":5020,"l":20,"o":"{a}"}}]}}"#)
                .into_bytes(),
        ),
        (sub, directory(&[entry("file", "f", 20, a), entry("link", "s", 17, link)])),
        (root, directory(&[entry("sub", "d", 0, sub), entry("large", "f", 5040, &format!("I{table}")), entry("small", "f", 20, a)])),
    ]
}

fn manifest() -> Vec<u8> {
    br#"{"entries":[{"id":"0123456789abcdef0123456789abcdef","labels":{"type":"snapshot","hostname":"h","username":"u","path":"/p"},"modified":"2026-01-02T03:04:05.6Z","data":{"source":{"host":"h","userName":"u","path":"/p"},"startTime":"2026-01-02T03:04:05Z","endTime":"2026-01-02T03:04:06Z","stats":{"totalSize":1},"rootEntry":{"name":"p","type":"d","mode":"0755","obj":"k00000000000000000000000000000001","summ":{"size":1}}}}]}"#
        .to_vec()
}

/// One change of a plaintext.
fn change(bytes: &mut Vec<u8>, choices: &mut Choices<'_>) {
    let at = choices.below(bytes.len() + 1);
    match choices.byte() % 7 {
        0 => bytes.truncate(at),
        1 if at < bytes.len() => bytes[at] ^= 1 << (choices.byte() % 8),
        2 => bytes.insert(at, choices.byte()),
        3 => {
            let end = (at + choices.below(200)).min(bytes.len());
            let piece = bytes[at..end].to_vec();
            bytes.splice(at..at, piece);
        }
        4 => {
            let end = (at + choices.below(40)).min(bytes.len());
            bytes.drain(at..end);
        }
        // In the place of the next number, or where it falls.
        5 => {
            let digit = bytes[at..].iter().position(u8::is_ascii_digit).map_or(at, |next| at + next);
            let digits = bytes[digit..].iter().take_while(|byte| byte.is_ascii_digit()).count();
            let word = WORDS[choices.below(WORDS.len())];
            bytes.splice(digit..digit + digits, word.bytes());
        }
        _ => {
            let word = WORDS[choices.below(WORDS.len())];
            bytes.splice(at..at, word.bytes());
        }
    }
}

fn write(repo: &Path, input: &[u8]) -> Option<()> {
    let mut choices = Choices(input);
    let mut plaintexts = plaintexts();
    let mut manifest = manifest();
    let changes = usize::from(choices.byte() % 4);
    for _ in 0..changes {
        let which = choices.below(plaintexts.len() + 1);
        let bytes = plaintexts.get_mut(which).map_or(&mut manifest, |(_, bytes)| bytes);
        change(bytes, &mut choices);
    }
    let options = Options { key_derivation: KeyDerivation::Pbkdf2Sha256_600000, ..Options::default() };
    let mut writer = RepositoryWriter::create(repo, options).ok()?;
    for (name, bytes) in &plaintexts {
        writer.forge_content(id(name)?, bytes).ok()?;
    }
    writer.write_manifest_content(&manifest).ok()?;
    writer.close_packs().ok()?;
    // Then what the index says.
    for _ in 0..choices.byte() % 3 {
        let number = choices.below(writer.pending_entries().len());
        let value = match choices.byte() % 4 {
            0 => 0,
            1 => u32::from(choices.byte()),
            2 => (1 << 28) - 1,
            _ => choices.below(6000) as u32,
        };
        let Some(entry) = writer.pending_entries().get_mut(number) else { continue };
        match choices.byte() % 8 {
            0 => entry.offset = value,
            1 => entry.packed_length = value,
            2 => entry.original_length = value,
            3 => entry.compression = [0x1101, 0x1000, 0x1200, 0x1300, 0x1500, 0xffff][value as usize % 6],
            4 => entry.deleted = true,
            5 => entry.key_id = 1,
            6 => {
                entry.pack =
                    ["", "p", "../p", "q0123456789abcdef0123456789abcdef-s0"][value as usize % 4].into()
            }
            _ => entry.time = u64::from(value),
        }
    }
    writer.finish().ok()
}

/// Changes the repository as the input says, and reads it in every way.
pub fn run(input: &[u8]) -> Reached {
    let mut reached = Reached::default();
    let Some(place) = Place::new() else { return reached };
    let (repo, target) = (place.0.join("repo"), place.0.join("target"));
    if write(&repo, input).is_none() {
        return reached;
    }
    let Ok(store) = FileSystem::open(&repo) else { return reached };
    // All of them have the same keys.
    static FORMAT: OnceLock<Arc<RepositoryFormat>> = OnceLock::new();
    let format = match FORMAT.get() {
        Some(format) => Arc::clone(format),
        None => {
            let Ok(opened) = Repository::open(FileSystem::open(&repo).unwrap(), &Password::new("testkit"))
            else {
                return reached;
            };
            Arc::clone(FORMAT.get_or_init(|| Arc::clone(opened.format())))
        }
    };
    let repository = Repository::with_format(store, format, OpenOptions::default());
    if let (Ok(catalog), Ok(contents)) = (repository.catalog(), repository.contents()) {
        reached.listed = 1;
        let _ = catalog.snapshots_and_problems();
        for snapshot in Snapshots::new(catalog.manifests()).all().iter() {
            if let Ok(tree) = Tree::of_snapshot(&contents, snapshot) {
                let _ = tree.walk("").map(|walk| walk.take(1000).count());
            }
            let Some(root) = &snapshot.root else { continue };
            for delta in [false, true] {
                let restore = Restore::new(&contents, root).threads(1).reads(1).delta(delta).verify(delta);
                if let Ok(summary) = restore.run(&target, &()) {
                    reached.restored = 1;
                    reached.whole |= u64::from(summary.errors.is_empty());
                }
            }
        }
    }
    let settings = Settings { threads: 1, ..Settings::default() };
    if let Ok(report) = Verifier::new(&repository, &settings).run() {
        reached.verified = 1;
        let _ = report.exit_code();
    }
    let around = std::fs::read_dir(&place.0).unwrap().map(|entry| entry.unwrap().file_name());
    for name in around {
        assert!(name == "repo" || name == "target", "{name:?} was made outside the target");
    }
    reached
}

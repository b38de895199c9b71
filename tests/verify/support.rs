//! Fixtures, damage to copies of them, and a plain way to read everything back.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use base64::Engine;
use rokopia::blob::FileSystem;
use rokopia::content::Contents;
use rokopia::crypto::Password;
use rokopia::format::RepositoryFormat;
use rokopia::index::IndexOptions;
use rokopia::object::{ObjectId, Reader};
use rokopia::restore::Restore;
use rokopia::snapshot::{DirEntry, Entries};
use rokopia::verify::{Error, Report, Settings, Verifier};
use rokopia::{Options, Repository};
use serde_json::Value;

/// Where the fixtures are, if they are here at all.
pub(crate) fn fixtures() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/fixtures");
    let path = std::env::var_os("ROKOPIA_FIXTURES").map_or(beside, PathBuf::from);
    if path.is_dir() {
        return Some(path);
    }
    assert!(std::env::var_os("ROKOPIA_REQUIRE_FIXTURES").is_none(), "no fixtures at {}", path.display());
    println!("skipped: no fixtures at {}", path.display());
    None
}

pub(crate) fn json(path: &Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

pub(crate) fn password(case: &Path) -> Password {
    Password::new(json(&case.join("case.json"))["password"].as_str().unwrap())
}

/// Opens a repository; of those with the same format blob only one derives the key.
pub(crate) fn open(repo: &Path, password: &Password) -> Result<Repository, rokopia::Error> {
    static FORMATS: Mutex<BTreeMap<Vec<u8>, Arc<RepositoryFormat>>> = Mutex::new(BTreeMap::new());
    let store = FileSystem::open(repo)?;
    let index = IndexOptions { degraded: true, ..IndexOptions::default() };
    let options = Options { index, ..Options::default() };
    let blob = RepositoryFormat::read_blob(&store)?;
    let known = FORMATS.lock().unwrap().get(&blob).cloned();
    if let Some(format) = known {
        return Ok(Repository::with_format(store, format, options));
    }
    let repository = Repository::open_with(store, password, options)?;
    FORMATS.lock().unwrap().insert(blob, Arc::clone(repository.format()));
    Ok(repository)
}

pub(crate) fn run(repository: &Repository, settings: &Settings) -> Result<Report, Error> {
    Verifier::new(repository, settings).run()
}

/// A copy that may be changed.
pub(crate) fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), &target).unwrap();
            std::fs::set_permissions(&target, PermissionsExt::from_mode(0o644)).unwrap();
        }
    }
}

/// Applies one edit of `damage.jsonl`.
pub(crate) fn edit(repo: &Path, edit: &Value) {
    let text = |key: &str| edit[key].as_str().unwrap();
    let path = if text("path") == "." { repo.to_path_buf() } else { repo.join(text("path")) };
    let bytes = |key: &str| base64::engine::general_purpose::STANDARD.decode(text(key)).unwrap();
    match text("op") {
        "delete" if path.is_dir() && !path.is_symlink() => std::fs::remove_dir_all(&path).unwrap(),
        "delete" => std::fs::remove_file(&path).unwrap(),
        "truncate" => {
            let file = std::fs::File::options().write(true).open(&path).unwrap();
            file.set_len(edit["size"].as_u64().unwrap()).unwrap();
        }
        "xor" => {
            let file = std::fs::File::options().read(true).write(true).open(&path).unwrap();
            let mask = hex::decode(text("hex")).unwrap();
            let mut stored = vec![0; mask.len()];
            let offset = edit["offset"].as_u64().unwrap();
            file.read_exact_at(&mut stored, offset).unwrap();
            let flipped: Vec<u8> = stored.iter().zip(&mask).map(|(a, b)| a ^ b).collect();
            file.write_all_at(&flipped, offset).unwrap();
        }
        "write" => {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, bytes("base64")).unwrap();
        }
        "append" => {
            let mut whole = std::fs::read(&path).unwrap();
            whole.extend(bytes("base64"));
            std::fs::write(&path, whole).unwrap();
        }
        "rename" => {
            let to = repo.join(text("to"));
            std::fs::create_dir_all(to.parent().unwrap()).unwrap();
            std::fs::rename(&path, to).unwrap();
        }
        "copy" => {
            let to = repo.join(text("to"));
            std::fs::create_dir_all(to.parent().unwrap()).unwrap();
            if path.is_dir() {
                copy(&path, &to);
            } else {
                std::fs::copy(&path, to).unwrap();
            }
        }
        "mkdir" => std::fs::create_dir_all(&path).unwrap(),
        "symlink" => {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::os::unix::fs::symlink(text("target"), &path).unwrap();
        }
        "chmod" => {
            let mode = edit["mode"].as_u64().map(|m| m as u32);
            let mode = mode.unwrap_or_else(|| u32::from_str_radix(text("mode"), 8).unwrap());
            std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
        }
        other => panic!("unknown edit {other}"),
    }
}

/// Paths that a report has as lost, by snapshot; those that only other snapshots name are left out.
pub(crate) fn lost_in_reports(report: &Report) -> BTreeMap<&str, BTreeSet<String>> {
    let mut paths: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for lost in report.damage.iter().flat_map(|damage| &damage.paths) {
        if lost.named_by.is_none() {
            paths.entry(&lost.snapshot).or_default().insert(lost.path.clone());
        }
    }
    paths
}

/// Paths that a restore cannot bring back; `/` where it can bring back nothing.
pub(crate) fn not_restored(contents: &Contents, root: &DirEntry) -> BTreeSet<String> {
    match Restore::new(contents, root).verify(true).threads(2).run_to_null(&()) {
        Ok(summary) => {
            assert_eq!(summary.errors.len() as u64, summary.error_count);
            let shown = |path: String| if path.is_empty() { "/".to_owned() } else { path };
            summary.errors.into_iter().map(|error| shown(error.path)).collect()
        }
        Err(_) => ["/".to_owned()].into(),
    }
}

/// Reads a tree entry by entry and gives the paths that cannot be read: what any restore must lose.
pub(crate) fn unreadable(contents: &Contents, root: &ObjectId) -> BTreeSet<String> {
    let mut lost = BTreeSet::new();
    if root.is_directory() {
        directory(contents, root, "", &mut lost);
    } else if read(contents, root).is_err() {
        lost.insert("/".to_owned());
    }
    lost
}

fn read(contents: &Contents, object: &ObjectId) -> std::io::Result<u64> {
    let mut buffer = [0; 1 << 16];
    let mut reader = Reader::new(contents, object);
    let mut length = 0;
    loop {
        match reader.read(&mut buffer)? {
            0 => return Ok(length),
            n => length += n as u64,
        }
    }
}

fn directory(contents: &Contents, object: &ObjectId, path: &str, lost: &mut BTreeSet<String>) {
    for entry in Entries::open(contents, object) {
        let Ok(entry) = entry else {
            lost.insert(if path.is_empty() { "/".to_owned() } else { path.to_owned() });
            return;
        };
        let below =
            if path.is_empty() { entry.raw_name.clone() } else { format!("{path}/{}", entry.raw_name) };
        let object = entry.object.unwrap();
        if entry.is_directory() {
            directory(contents, &object, &below, lost);
        } else if read(contents, &object).is_err() {
            lost.insert(below);
        }
    }
}

/// Runs `work` for each number below `count` on all cores.
pub(crate) fn in_parallel(count: usize, work: impl Fn(usize) + Sync) {
    let next = AtomicUsize::new(0);
    let threads = std::thread::available_parallelism().map_or(1, Into::into);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    if at >= count {
                        break;
                    }
                    work(at);
                }
            });
        }
    });
}

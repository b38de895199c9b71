//! Opening, verifying, and a plain way to read everything back.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::Path;
use std::sync::{Arc, Mutex};

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

/// Opens a repository; of those with the same format blob only one derives the key.
pub(crate) fn open(repo: &Path, password: &str) -> Result<Repository, rokopia::Error> {
    static FORMATS: Mutex<BTreeMap<Vec<u8>, Arc<RepositoryFormat>>> = Mutex::new(BTreeMap::new());
    let store = FileSystem::open(repo)?;
    let index = IndexOptions { degraded: true, ..IndexOptions::default() };
    let options = Options { index, ..Options::default() };
    let blob = RepositoryFormat::read_blob(&store)?;
    let known = FORMATS.lock().unwrap().get(&blob).cloned();
    if let Some(format) = known {
        return Ok(Repository::with_format(store, format, options));
    }
    let repository = Repository::open_with(store, &Password::new(password), options)?;
    FORMATS.lock().unwrap().insert(blob, Arc::clone(repository.format()));
    Ok(repository)
}

pub(crate) fn run(repository: &Repository, settings: &Settings) -> Result<Report, Error> {
    Verifier::new(repository, settings).run()
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

//! Repositories that change while somebody asks about them.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rokopia::snapshot::Source;
use rokopia::testkit::{DirectoryEntry, NewSnapshot, Options, RepositoryWriter, Summary};
use tempfile::TempDir;

pub(crate) const PASSWORD: &str = "correct horse battery staple";

/// A directory for which the service needs no rights of its own.
pub(crate) fn open_dir() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    chmod(dir.path(), 0o755);
    dir
}

pub(crate) fn chmod(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

/// A repository with its writer.
pub(crate) struct World {
    dir: TempDir,
    pub(crate) writer: RepositoryWriter,
}

impl World {
    /// As `kopia repository create` leaves it: policies, no snapshot.
    pub(crate) fn empty() -> Self {
        Self::seeded(1)
    }

    /// Another seed makes another repository.
    pub(crate) fn seeded(seed: u64) -> Self {
        let dir = open_dir();
        let options = Options { seed, password: PASSWORD.into(), ..Options::default() };
        let writer = RepositoryWriter::create(&dir.path().join("repo"), options).unwrap();
        let mut world = Self { dir, writer };
        let labels = [("type", "policy"), ("policyType", "global")];
        let labels = labels.map(|(key, value)| (key.to_owned(), value.to_owned()));
        world.writer.put_manifest(BTreeMap::from(labels), serde_json::json!({}));
        world.flush();
        world
    }

    /// What the list of cases of the contract is about.
    pub(crate) fn fixture() -> Self {
        let mut world = Self::empty();
        for source in ["web-backup@media:/data", "web-backup@media:/data", "api-backup@prod:/data"] {
            world.add(source);
        }
        for source in [
            "root-backup@media:/",
            "sub-backup@media:/data/sub",
            "plain@media:/data",
            "elsewhere-backup@media:/backup",
        ] {
            world.add(source);
        }
        let mut tagged = NewSnapshot::of_entry(&parse("tagged-backup@media:/data"), world.writer.now(), None);
        tagged.tags.insert("why".into(), "because".into());
        world.writer.put_snapshot(&tagged);
        let gone = world.add("gone-backup@media:/data");
        world.writer.delete_manifest(&gone);
        world.add_incomplete("half-backup@media:/data", 41);
        world
    }

    pub(crate) fn repo(&self) -> PathBuf {
        self.dir.path().join("repo")
    }

    pub(crate) fn beside(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Adds a snapshot in a session of its own.
    pub(crate) fn add(&mut self, source: &str) -> String {
        let id = self.writer.put_snapshot(&NewSnapshot::of_entry(&parse(source), self.writer.now(), None));
        self.flush();
        id
    }

    /// A snapshot that was cut short after this many files.
    pub(crate) fn add_incomplete(&mut self, source: &str, files: i64) {
        let root = DirectoryEntry {
            kind: "d".into(),
            object: "kecd11e421c2cf0e5110dcd3858217033".into(),
            summary: Some(Summary { files, ..Summary::default() }),
            ..DirectoryEntry::default()
        };
        let mut half = NewSnapshot::of_entry(&parse(source), self.writer.now(), Some(root));
        half.incomplete = Some("limit reached".into());
        self.writer.put_snapshot(&half);
        self.flush();
    }

    pub(crate) fn delete(&mut self, id: &str) {
        self.writer.delete_manifest(id);
        self.flush();
    }

    pub(crate) fn flush(&mut self) {
        self.writer.flush().unwrap();
    }

    /// Index blobs in use.
    pub(crate) fn index_blobs(&self) -> Vec<PathBuf> {
        let names = self.writer.blobs().names("xn").unwrap();
        names.iter().map(|name| self.writer.blobs().path(name)).collect()
    }

    /// All files with what is in them.
    pub(crate) fn contents(&self) -> BTreeMap<PathBuf, (Vec<u8>, std::time::SystemTime)> {
        let files = walkdir::WalkDir::new(self.repo()).into_iter().map(Result::unwrap);
        files
            .filter(|entry| entry.file_type().is_file())
            .map(|entry| {
                let modified = entry.metadata().unwrap().modified().unwrap();
                (entry.path().to_owned(), (std::fs::read(entry.path()).unwrap(), modified))
            })
            .collect()
    }
}

fn parse(source: &str) -> Source {
    source.parse().unwrap()
}

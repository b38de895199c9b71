//! `rokopia status`: what the repository is.

use serde::Serialize;

use crate::blob::{BlobKind, ObjectLock, Protection};
use crate::format::RepositoryFormat;
use crate::front::cli::context::Context;
use crate::front::cli::failure::{Exit, Failure};
use crate::front::cli::open_repository::OpenRepository;
use crate::front::cli::output::{Output, escape};
use crate::front::cli::units::{ago, human_size, human_time};
use crate::snapshot::UtcTimestamp;
use crate::text::counted;
use crate::{Error, Repository};

/// Open the repository and show its format, size and contents
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  rokopia --repo /mnt/kopia status
  rokopia status --json | jq .format_version")]
pub(in crate::front::cli) struct Args {}

#[derive(Serialize)]
struct Status {
    location: String,
    unique_id: String,
    password: &'static str,
    format_version: u8,
    hash: &'static str,
    encryption: &'static str,
    key_derivation: &'static str,
    splitter: String,
    index_version: u8,
    epochs: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    ecc: Option<Ecc>,
    max_pack_size: u64,
    password_change: bool,
    blobs: Counted,
    packs: Counted,
    metadata_packs: Counted,
    /// Absent where the storage has no such thing, or does not tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    versions: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    object_lock: Option<Locked>,
    /// Absent where the list of snapshots cannot be read.
    #[serde(flatten)]
    listed: Option<Listed>,
}

#[derive(Serialize)]
struct Locked {
    enabled: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    mode: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    days: Option<u32>,
}

impl From<ObjectLock> for Locked {
    fn from(ObjectLock { enabled, mode, days }: ObjectLock) -> Self {
        Self { enabled, mode, days }
    }
}

impl Locked {
    fn text(&self) -> String {
        match (self.enabled, &self.mode, self.days) {
            (false, ..) => "off: versions can be deleted".to_owned(),
            (true, Some(mode), Some(days)) => format!("{mode}, {}", counted(days, "day")),
            (true, ..) => "on, without a default: only versions that are locked one by one stay".to_owned(),
        }
    }
}

#[derive(Serialize)]
struct Listed {
    index_blobs: usize,
    sources: usize,
    snapshots: usize,
    incomplete: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    newest: Option<Newest>,
}

#[derive(Serialize)]
struct Newest {
    id: String,
    source: String,
    time: UtcTimestamp,
}

#[derive(Serialize)]
struct Ecc {
    algorithm: &'static str,
    overhead_percent: u8,
}

#[derive(Default, Serialize)]
struct Counted {
    count: u64,
    bytes: u64,
}

impl Counted {
    fn add(&mut self, bytes: u64) {
        self.count += 1;
        self.bytes = self.bytes.saturating_add(bytes);
    }

    fn text(&self) -> String {
        format!("{} ({})", self.count, human_size(self.bytes))
    }
}

impl Args {
    pub(in crate::front::cli) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let repository = context.repository()?;
        let mut status = Status::of(&repository)?;
        let repo = OpenRepository::with_repository(context, repository);
        status.listed = repo.as_ref().ok().map(Listed::of);
        let mut out = Output::new();
        if context.json {
            out.json_report(context.stats(), &status)?;
        } else {
            status.print(&mut out)?;
        }
        out.finish()?;
        let mut repo = repo?;
        let empty = repo.snapshots.all().is_empty();
        repo.conclude("snapshots", empty, &[], |_| true)
    }
}

impl Listed {
    fn of(repo: &OpenRepository) -> Self {
        let all = repo.snapshots.all();
        let newest = all.latest().map(|snapshot| Newest {
            id: snapshot.id.to_string(),
            source: snapshot.source.to_string(),
            time: snapshot.start_time,
        });
        Self {
            index_blobs: repo.catalog.index().blob_count(),
            sources: repo.snapshots.sources().len(),
            snapshots: all.len(),
            incomplete: all.iter().filter(|snapshot| !snapshot.is_complete()).count(),
            newest,
        }
    }

    fn lines(&self) -> [(&'static str, String); 5] {
        let newest = self.newest.as_ref().map_or_else(
            || ("none".to_owned(), String::new()),
            |newest| {
                let age = ago(newest.time, UtcTimestamp::now());
                (format!("{}, {age}", human_time(newest.time)), format!("{} of {}", newest.id, newest.source))
            },
        );
        let incomplete = match self.incomplete {
            0 => String::new(),
            incomplete => format!(", {incomplete} of them incomplete"),
        };
        [
            ("Index blobs", format!("{} in use", self.index_blobs)),
            ("Sources", self.sources.to_string()),
            ("Snapshots", format!("{}{incomplete}", self.snapshots)),
            ("Newest snapshot", newest.0),
            ("", newest.1),
        ]
    }
}

impl Status {
    fn of(repository: &Repository) -> Result<Self, Failure> {
        let format: &RepositoryFormat = repository.format();
        let [mut blobs, mut packs, mut metadata_packs] = <[Counted; 3]>::default();
        for blob in repository.store().list("").map_err(Error::from)? {
            blobs.add(blob.size);
            match blob.id.kind() {
                BlobKind::DataPack => packs.add(blob.size),
                BlobKind::MetadataPack => metadata_packs.add(blob.size),
                _ => {}
            }
        }
        let ecc = (format.ecc_overhead_percent() > 0).then(|| Ecc {
            algorithm: "REED-SOLOMON-CRC32",
            overhead_percent: format.ecc_overhead_percent(),
        });
        let Protection { versions, lock } = repository.store().protection().unwrap_or_default();
        Ok(Self {
            location: repository.store().describe(),
            unique_id: hex::encode(format.unique_id()),
            password: "accepted",
            format_version: format.version(),
            hash: format.hash_algorithm().name(),
            encryption: format.encryption().name(),
            key_derivation: format.key_derivation().name(),
            splitter: format.splitter().to_owned(),
            index_version: format.index_version(),
            epochs: format.epochs().enabled,
            ecc,
            max_pack_size: format.max_pack_size(),
            password_change: format.enable_password_change(),
            blobs,
            packs,
            metadata_packs,
            versions,
            object_lock: lock.map(Locked::from),
            listed: None,
        })
    }

    fn print(&self, out: &mut Output) -> Result<(), Failure> {
        let ecc = self.ecc.as_ref().map_or_else(
            || "none".to_owned(),
            |ecc| format!("{}, {} % more space", ecc.algorithm, ecc.overhead_percent),
        );
        let index = if self.epochs { "in epochs" } else { "without epochs" };
        let lines = [
            ("Repository", self.location.clone()),
            ("Unique ID", self.unique_id.clone()),
            ("Password", self.password.to_owned()),
            ("Format version", self.format_version.to_string()),
            ("Hash", self.hash.to_owned()),
            ("Encryption", self.encryption.to_owned()),
            ("Key derivation", self.key_derivation.to_owned()),
            ("Splitter", self.splitter.clone()),
            ("Error correction", ecc),
            ("Index", format!("version {}, {index}", self.index_version)),
            ("Data packs", self.packs.text()),
            ("Metadata packs", self.metadata_packs.text()),
            ("All blobs", self.blobs.text()),
        ];
        let kept = |kept: bool| if kept { "all are kept" } else { "none are kept: what is deleted is gone" };
        let protection = [
            self.versions.map(|versions| ("Versions", kept(versions).to_owned())),
            self.object_lock.as_ref().map(|lock| ("Object lock", lock.text())),
        ];
        let lines = lines.into_iter().chain(protection.into_iter().flatten());
        for (name, value) in lines.chain(self.listed.iter().flat_map(Listed::lines)) {
            out.line(format!("{name:<17} {}", escape(&value)).trim_end())?;
        }
        Ok(())
    }
}

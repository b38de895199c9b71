//! `rokopia status`: what the repository is.

use serde::Serialize;

use crate::cli::context::Context;
use crate::cli::doubts::Doubts;
use crate::cli::failure::{Exit, Failure};
use crate::cli::output::{Output, escape};
use crate::cli::units::human_size;
use crate::format::RepositoryFormat;
use crate::index::IndexReader;
use crate::{Error, Repository};

/// Open the repository and say what it is, what is in it, and that the password fits
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  rokopia --repo /mnt/kopia status
  rokopia status --json | jq .format_version")]
pub(in crate::cli) struct Args {}

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
    index_blobs: u64,
    blobs: Counted,
    packs: Counted,
    metadata_packs: Counted,
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
    pub(in crate::cli) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let repository = context.repository()?;
        let mut doubts = Doubts::new(context.degraded);
        let reader = IndexReader::new(repository.store(), repository.format(), repository.options().index);
        let active = reader.active().map_err(Error::from)?;
        for doubt in &active.doubts {
            doubts.add(doubt, doubt.blob());
        }
        let status = Status::of(&repository, active.blobs.len() as u64)?;
        let mut out = Output::new();
        if context.json {
            out.json(&status)?;
        } else {
            status.print(&mut out)?;
        }
        out.finish()?;
        doubts.conclude("index blobs", status.index_blobs == 0)
    }
}

impl Status {
    fn of(repository: &Repository, index_blobs: u64) -> Result<Self, Failure> {
        let format: &RepositoryFormat = repository.format();
        let [mut blobs, mut packs, mut metadata_packs] = <[Counted; 3]>::default();
        for blob in repository.store().list("").map_err(Error::from)? {
            blobs.add(blob.size);
            match blob.id.as_str().as_bytes().first() {
                Some(b'p') => packs.add(blob.size),
                Some(b'q') => metadata_packs.add(blob.size),
                _ => {}
            }
        }
        let ecc = (format.ecc_overhead_percent() > 0).then(|| Ecc {
            algorithm: "REED-SOLOMON-CRC32",
            overhead_percent: format.ecc_overhead_percent(),
        });
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
            index_blobs,
            blobs,
            packs,
            metadata_packs,
        })
    }

    fn print(&self, out: &mut Output) -> Result<(), Failure> {
        let ecc = self.ecc.as_ref().map_or_else(
            || "none".to_owned(),
            |ecc| format!("{}, {} % more space", ecc.algorithm, ecc.overhead_percent),
        );
        let index = if self.epochs { "in epochs" } else { "without epochs" };
        for (name, value) in [
            ("Repository", self.location.clone()),
            ("Unique ID", self.unique_id.clone()),
            ("Password", self.password.to_owned()),
            ("Format version", self.format_version.to_string()),
            ("Hash", self.hash.to_owned()),
            ("Encryption", self.encryption.to_owned()),
            ("Key derivation", self.key_derivation.to_owned()),
            ("Splitter", self.splitter.clone()),
            ("Error correction", ecc),
            ("Index", format!("version {}, {index}, {} blobs in use", self.index_version, self.index_blobs)),
            ("Data packs", self.packs.text()),
            ("Metadata packs", self.metadata_packs.text()),
            ("All blobs", self.blobs.text()),
        ] {
            out.line(format!("{name:<17} {}", escape(&value)))?;
        }
        Ok(())
    }
}

//! `rokopia cat`: the bytes of a file.

use clap_complete::engine::ArgValueCompleter;

use crate::Error;
use crate::front::cli::complete;
use crate::front::cli::context::Context;
use crate::front::cli::failure::{Exit, Failure};
use crate::front::cli::output::Output;
use crate::front::cli::tree::{Place, at_followed, from};
use crate::object::Reader;
use crate::snapshot::EntryType;

/// Write a file to standard output
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A symbolic link is followed inside the snapshot.

Examples:
  rokopia cat latest/etc/hosts
  rokopia cat data-demo@apps:/data@2026-11-20/dump.sql | psql
  rokopia cat Ixb2c4a7d6e1f09385c4d1a6b7e8f90123 > big       an object")]
pub(in crate::front::cli) struct Args {
    /// Snapshot, source or object, and the path of a file in it
    #[arg(value_name = "REF/PATH", add = ArgValueCompleter::new(complete::references))]
    reference: String,
}

impl Args {
    pub(in crate::front::cli) fn run(self, context: &Context) -> Result<Exit, Failure> {
        at_followed(context, &self.reference, |place| self.write(place))
    }

    fn write(&self, Place { tree, entry, found, .. }: &Place<'_>) -> Result<Exit, Failure> {
        if entry.is_directory() {
            let what = format!("{:?} is a directory", self.reference);
            return Err(Failure::new(Exit::Negative, "is-a-directory", what)
                .path(&found.path)
                .with_help("`rokopia ls` lists a directory, `rokopia show` prints its object"));
        }
        let reader = tree.reader(entry, &found.path).map_err(from)?;
        let written = copy(reader).map_err(|failure| failure.path(&found.path).during(&self.reference))?;
        if written < entry.size && entry.is_checkpointed() {
            let size = entry.size;
            tracing::warn!(
                "these are the first {written} of {size} bytes: the file was still being saved when this snapshot was made"
            );
        } else if entry.kind == EntryType::File && written != entry.size {
            let what = format!("{}: {written} bytes of data, the entry says {}", self.reference, entry.size);
            return Err(Failure::new(Exit::Partial, "entry-size-mismatch", what));
        }
        Ok(Exit::Done)
    }
}

/// Writes an object to stdout; returns how many bytes it has. A failure in the middle is "done in part".
pub(super) fn copy(mut reader: Reader<'_>) -> Result<u64, Failure> {
    let mut out = Output::new();
    let mut buffer = vec![0; 1 << 20];
    let mut written = 0_u64;
    loop {
        let got = match reader.read_some(&mut buffer) {
            Ok(0) => break,
            Ok(got) => got,
            Err(error) => {
                out.finish()?;
                let exit = if written > 0 { Exit::Partial } else { Exit::Unknown };
                return Err(Failure::from(Error::from(error)).exit(exit));
            }
        };
        out.bytes(buffer.get(..got).unwrap_or_default())?;
        written += got as u64;
    }
    out.finish()?;
    Ok(written)
}

//! `rokopia tar`: a tree as an archive.

use std::io::{IsTerminal, stdout};

use clap_complete::engine::ArgValueCompleter;

use crate::Error;
use crate::content::Contents;
use crate::front::archived::{Begun, Unfit, begin};
use crate::front::cli::complete;
use crate::front::cli::context::Context;
use crate::front::cli::failure::{Exit, Failure};
use crate::front::cli::output::Output;
use crate::front::cli::progress::{Activity, Unit};
use crate::front::cli::tree::{Place, Troubles, at, from};
use crate::front::pax::Archive;
use crate::object::Reader;
use crate::snapshot::{DirEntry, EntryType, Tree, WalkEntry};

const BUFFER: usize = 1 << 20;

/// Write a snapshot, or a part of it, to standard output as a tar archive
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The archive is in pax format. An entry that cannot be read is named and left out, and the exit code is 4. If a large file \
cannot be read to its end, the archive ends there.

Examples:
  rokopia tar latest | tar -x -C /srv/data
  rokopia tar data-demo@apps:/data/etc | gzip > etc.tar.gz
  rokopia tar latest | ssh host tar -x -C /srv/data")]
pub(in crate::front::cli) struct Args {
    /// Snapshot, source or object, and a path in it
    #[arg(value_name = "REF", add = ArgValueCompleter::new(complete::references))]
    reference: String,
}

impl Args {
    pub(in crate::front::cli) fn run(self, context: &Context) -> Result<Exit, Failure> {
        if stdout().is_terminal() {
            return Err(Failure::wrong_usage("an archive is not written to a terminal")
                .with_help("send it to a file or a program: `> FILE.tar`, or `| tar -x -C DIR`"));
        }
        at(context, &self.reference, |place| write(context, place))
    }
}

fn write(context: &Context, Place { contents, tree, entry, found }: &Place<'_>) -> Result<Exit, Failure> {
    let mut writer = Writer {
        contents,
        tree,
        archive: Archive::new(Output::new()),
        troubles: Troubles::default(),
        activity: Activity::new(
            context,
            Unit::Bytes,
            entry.summary.as_ref().map(|s| s.size.max(0).unsigned_abs()),
        ),
    };
    writer.everything(&found.path)?;
    writer.archive.finish().map_err(Failure::output)?.finish()?;
    Ok(writer.troubles.exit(Exit::Done))
}

struct Writer<'a> {
    contents: &'a Contents,
    tree: &'a Tree<'a>,
    archive: Archive<Output>,
    troubles: Troubles,
    activity: Activity,
}

impl Writer<'_> {
    fn everything(&mut self, base: &str) -> Result<(), Failure> {
        let mut walk = self.tree.walk(base).map_err(from)?;
        let mut begin = None;
        while let Some(item) = walk.next() {
            let WalkEntry { path, depth, entry } = match item {
                Ok(found) => found,
                Err(error) => {
                    self.troubles.add(&error);
                    continue;
                }
            };
            let begin = *begin.get_or_insert(path.len());
            let name = match (depth, entry.is_directory()) {
                (0, true) => ".".to_owned(),
                // The root of a backup from standard input is called by a path.
                (0, false) => entry.raw_name.rsplit('/').next().unwrap_or_default().to_owned(),
                _ => format!("./{}", path.get(begin..).unwrap_or(&path).trim_start_matches('/')),
            };
            if depth > 0
                && let Err(reason) = entry.name()
            {
                self.troubles.note("entry-name-invalid", format!("{path:?} is left out: {reason}"));
                walk.skip_directory();
                continue;
            }
            if entry.owner().is_none() {
                tracing::warn!(
                    "{path:?}: no file can have its owner; it is nobody's, without set-ID bits [attributes-refused]"
                );
            }
            self.entry(&path, &name, &entry)?;
        }
        Ok(())
    }

    fn entry(&mut self, path: &str, name: &str, entry: &DirEntry) -> Result<(), Failure> {
        match entry.kind {
            EntryType::Directory => self.archive.directory(name, entry).map_err(Failure::output),
            EntryType::Symlink => match self.tree.link_target(entry, path) {
                Ok(target) => self.archive.symlink(name, entry, &target).map_err(Failure::output),
                Err(error) => {
                    self.troubles.add(&error);
                    Ok(())
                }
            },
            EntryType::File => self.file(path, name, entry),
            EntryType::Unknown => {
                self.troubles
                    .note("entry-unsupported", format!("{path:?} is left out: its type is not known"));
                Ok(())
            }
        }
    }

    fn file(&mut self, path: &str, name: &str, entry: &DirEntry) -> Result<(), Failure> {
        let begun = match self.tree.reader(entry, path) {
            Ok(reader) => begin(self.contents, reader, entry),
            Err(error) => {
                self.troubles.add(&error);
                return Ok(());
            }
        };
        if let Ok(begun) = &begun
            && begun.length() < entry.size
        {
            let (length, size) = (begun.length(), entry.size);
            tracing::warn!(
                "{path:?} has the first {length} of {size} bytes: it was still being saved when this snapshot was made"
            );
        }
        match begun {
            Ok(Begun::Whole(data)) => {
                self.archive.file(name, entry, data.len() as u64).map_err(Failure::output)?;
                self.activity.advance(data.len() as u64);
                self.archive.data(&data).map_err(Failure::output)
            }
            Ok(Begun::Open(mut reader, length)) => {
                self.archive.file(name, entry, length).map_err(Failure::output)?;
                self.stream(&mut reader).map_err(|failure| failure.path(path).during(path))
            }
            Err(Unfit { code, why }) => {
                self.troubles.note(code, format!("{path:?} is left out: {why}"));
                Ok(())
            }
        }
    }

    fn stream(&mut self, reader: &mut Reader<'_>) -> Result<(), Failure> {
        let mut buffer = vec![0; BUFFER];
        loop {
            let got = reader
                .read_some(&mut buffer)
                .map_err(|error| Failure::from(Error::from(error)).exit(Exit::Partial))?;
            if got == 0 {
                break;
            }
            self.activity.advance(got as u64);
            self.archive.data(buffer.get(..got).unwrap_or_default()).map_err(Failure::output)?;
        }
        if self.archive.is_whole() {
            return Ok(());
        }
        Err(Failure::new(Exit::Partial, "entry-size-mismatch", "its data ends early"))
    }
}

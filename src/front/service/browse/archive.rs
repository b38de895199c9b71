//! A directory as a tar or zip archive, streamed in bounded memory.

use std::io::{self, Write};
use std::sync::Arc;

use axum::extract::Path;
use axum::http::header::CONTENT_DISPOSITION;
use axum::http::{Method, StatusCode};
use axum::response::Response;
use flate2::Compression;
use flate2::write::DeflateEncoder;
use rawzip::path::EntryPath;
use rawzip::time::UtcDateTime;
use rawzip::{CompressionMethod, ZipArchiveWriter};

use super::download::{Pipe, attachment, send, stream, with};
use super::library::Opened;
use super::{Trouble, Visit, allowed, from_tree, html, tree, turn};
use crate::front::archived::{Begun, Unfit, begin};
use crate::front::pax;
use crate::front::service::http;
use crate::object::Reader;
use crate::snapshot::{DirEntry, EntryType, Snapshot, Tree, WalkEntry};

/// The last file of an archive that lacks something: what, and why.
const LEFT_OUT: &str = "ROKOPIA-LEFT-OUT.txt";

/// Of what was left out, this many bytes are told.
const MAX_TOLD: usize = 1 << 20;

/// What a directory becomes, as addresses name it.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Tar,
    Zip,
}

impl Kind {
    fn parse(text: &str) -> Result<Self, Trouble> {
        match text {
            "tar" => Ok(Self::Tar),
            "zip" => Ok(Self::Zip),
            _ => Err(Trouble::NotFound),
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Tar => "tar",
            Self::Zip => "zip",
        }
    }

    fn content_type(self) -> &'static str {
        match self {
            Self::Tar => "application/x-tar",
            Self::Zip => "application/zip",
        }
    }
}

pub(super) async fn root(
    visit: Visit,
    method: Method,
    Path((kind, id)): Path<(String, String)>,
) -> Result<Response, Trouble> {
    archive(visit, method, Kind::parse(&kind)?, id, String::new()).await
}

pub(super) async fn below(
    visit: Visit,
    method: Method,
    Path((kind, id, path)): Path<(String, String, String)>,
) -> Result<Response, Trouble> {
    archive(visit, method, Kind::parse(&kind)?, id, path).await
}

async fn archive(
    visit: Visit,
    method: Method,
    kind: Kind,
    id: String,
    path: String,
) -> Result<Response, Trouble> {
    let viewer = visit.viewer.clone();
    let (shown, inside) = (format!("{id}/{path}"), path.clone());
    // Found before anything is sent: later there is no way to say that it is not there.
    let (opened, snapshot) = visit
        .opened(move |opened| {
            let snapshot = allowed(&viewer, opened.snapshot(&id)?)?;
            let entry = tree(opened, &snapshot)?.entry(&inside).map_err(from_tree)?;
            if entry.is_directory() {
                Ok(snapshot)
            } else {
                Err(Trouble::Usage("Only directories become archives."))
            }
        })
        .await?;
    let top = path.rsplit('/').find(|part| !part.is_empty());
    let name = top.or(snapshot.found_as.path.rsplit('/').next()).filter(|name| !name.is_empty());
    let name = format!("{}.{}", name.unwrap_or("backup"), kind.as_str());
    let body = if method == Method::HEAD {
        axum::body::Body::empty()
    } else {
        let who = &visit.viewer.name;
        tracing::info!(who, "browse: {} of {shown}", kind.as_str());
        let turn = turn(&visit.browse()?.downloads).await?;
        stream(move |pipe| {
            let _turn = turn;
            match kind {
                Kind::Tar => write(&opened, &snapshot, &path, Tar(pax::Archive::new(pipe))),
                Kind::Zip => write(&opened, &snapshot, &path, Zip(ZipArchiveWriter::new(pipe))),
            }
        })
    };
    let response = html::guarded(http::text(StatusCode::OK, kind.content_type(), body));
    Ok(with(response, [(CONTENT_DISPOSITION, attachment(&name))]))
}

/// Writes the data of a file.
type WriteData<'d> = &'d mut dyn FnMut(&mut dyn Write) -> io::Result<()>;

/// A form of archives.
trait Form {
    /// Whether a path comes out again as it is.
    fn holds(&self, path: &str) -> bool;
    fn directory(&mut self, path: &str, entry: &DirEntry) -> io::Result<()>;
    fn link(&mut self, path: &str, entry: &DirEntry, target: &[u8]) -> io::Result<()>;
    /// Adds a file of `size` bytes, which `data` writes.
    fn file(&mut self, path: &str, entry: &DirEntry, size: u64, data: WriteData<'_>) -> io::Result<()>;
    fn finish(self) -> io::Result<()>;
}

fn write(opened: &Opened, snapshot: &Arc<Snapshot>, base: &str, mut archive: impl Form) -> io::Result<()> {
    let tree = Tree::of_snapshot(&opened.source, snapshot).map_err(io::Error::other)?;
    let mut left_out = String::new();
    let mut note = |what: &str, why: &dyn std::fmt::Display| {
        tracing::warn!(code = "left-out", "browse: {what}: {why}");
        if left_out.len() < MAX_TOLD {
            left_out.push_str(&format!("{what}: {why}\n"));
        }
    };
    let mut walk = tree.walk(base).map_err(io::Error::other)?;
    let mut begin = None;
    while let Some(item) = walk.next() {
        let WalkEntry { path, depth, entry } = match item {
            Ok(found) => found,
            Err(error) => {
                note(error.path().unwrap_or_default(), &error);
                continue;
            }
        };
        let begin = *begin.get_or_insert(path.len());
        if depth == 0 {
            continue;
        }
        if let Err(reason) = entry.name() {
            note(&path, &reason);
            walk.skip_directory();
            continue;
        }
        let name = path.get(begin..).unwrap_or(&path).trim_start_matches('/');
        if !archive.holds(name) {
            note(&path, &"such an archive cannot hold its name: tar can");
            walk.skip_directory();
            continue;
        }
        match entry.kind {
            EntryType::Directory => archive.directory(name, &entry)?,
            EntryType::Symlink => match tree.link_target(&entry, &path) {
                Ok(target) => archive.link(name, &entry, &target)?,
                Err(error) => note(&path, &error),
            },
            EntryType::File => {
                if let Some(why) = file(opened, name, &entry, &mut archive)? {
                    note(&path, &why);
                }
            }
            EntryType::Unknown => note(&path, &"its type is not known"),
        }
    }
    if !left_out.is_empty() {
        let entry = DirEntry { mode: crate::snapshot::GoMode::from_posix(0o644), ..DirEntry::default() };
        let size = left_out.len() as u64;
        archive.file(LEFT_OUT, &entry, size, &mut |out| out.write_all(left_out.as_bytes()))?;
    }
    archive.finish()
}

/// Adds a file. Tells why it was left out, if it was.
fn file(
    opened: &Opened,
    name: &str,
    entry: &DirEntry,
    archive: &mut impl Form,
) -> io::Result<Option<String>> {
    let Some(object) = &entry.object else { return Ok(Some("it names no object".to_owned())) };
    match begin(&opened.source, Reader::new(&opened.source, object), entry) {
        Ok(Begun::Whole(data)) => {
            archive.file(name, entry, data.len() as u64, &mut |out| out.write_all(&data))?;
        }
        // The tree reads ahead.
        Ok(Begun::Open(_, length)) => {
            let file = opened.vfs.open_entry(entry).map_err(io::Error::other)?;
            archive.file(name, entry, length, &mut |mut out| send(&file, 0, length, &mut out))?;
        }
        Err(Unfit { why, .. }) => return Ok(Some(why)),
    }
    Ok(None)
}

struct Tar<'p>(pax::Archive<&'p mut Pipe>);

impl Form for Tar<'_> {
    fn holds(&self, _: &str) -> bool {
        true
    }

    fn directory(&mut self, path: &str, entry: &DirEntry) -> io::Result<()> {
        self.0.directory(path, entry)
    }

    fn link(&mut self, path: &str, entry: &DirEntry, target: &[u8]) -> io::Result<()> {
        self.0.symlink(path, entry, target)
    }

    fn file(&mut self, path: &str, entry: &DirEntry, size: u64, data: WriteData<'_>) -> io::Result<()> {
        self.0.file(path, entry, size)?;
        data(&mut Data(&mut self.0))
    }

    fn finish(self) -> io::Result<()> {
        self.0.finish().map(drop)
    }
}

/// The data of the file that was begun last.
struct Data<'a, 'p>(&'a mut pax::Archive<&'p mut Pipe>);

impl Write for Data<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.data(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Zip<'p>(ZipArchiveWriter<&'p mut Pipe>);

/// What a file is, beside its permissions.
const REGULAR: u32 = 0o100_000;
const SYMLINK: u32 = 0o120_000;

/// A zip archive keeps no owners, so no set-ID bits either.
fn permissions(entry: &DirEntry) -> u32 {
    entry.mode.to_posix() & 0o1777
}

/// The path as it is. Text that is not ASCII is marked as UTF-8, and backslashes and colons in it are lost by that.
fn member_path(path: &str) -> EntryPath<'_> {
    if path.is_ascii() { EntryPath::verbatim(path.as_bytes()) } else { EntryPath::conformant(path) }
}

fn modified(entry: &DirEntry) -> UtcDateTime {
    UtcDateTime::from_unix(entry.mtime.to_unix().0)
}

impl Zip<'_> {
    fn member(&mut self, path: &str, kind: u32, entry: &DirEntry, data: WriteData<'_>) -> io::Result<()> {
        let begun = self.0.new_file(member_path(path)).compression_method(CompressionMethod::DEFLATE);
        let begun = begun.last_modified(modified(entry)).unix_permissions(kind | permissions(entry));
        let (mut member, config) = begun.start().map_err(io::Error::other)?;
        let mut writer = config.wrap(DeflateEncoder::new(&mut member, Compression::fast()));
        data(&mut writer)?;
        let (encoder, output) = writer.finish().map_err(io::Error::other)?;
        encoder.finish()?;
        member.finish(output).map(drop).map_err(io::Error::other)
    }
}

impl Form for Zip<'_> {
    fn holds(&self, path: &str) -> bool {
        path.is_ascii() || !path.contains(['\\', ':'])
    }

    fn directory(&mut self, path: &str, entry: &DirEntry) -> io::Result<()> {
        let path = format!("{path}/");
        let begun = self.0.new_dir(member_path(&path)).last_modified(modified(entry));
        begun.unix_permissions(permissions(entry)).create().map(drop).map_err(io::Error::other)
    }

    fn link(&mut self, path: &str, entry: &DirEntry, target: &[u8]) -> io::Result<()> {
        self.member(path, SYMLINK, entry, &mut |out| out.write_all(target))
    }

    fn file(&mut self, path: &str, entry: &DirEntry, _: u64, data: WriteData<'_>) -> io::Result<()> {
        self.member(path, REGULAR, entry, data)
    }

    fn finish(self) -> io::Result<()> {
        self.0.finish().map(drop).map_err(io::Error::other)
    }
}

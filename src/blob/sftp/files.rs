//! Files and folders of a server, by requests of SFTP.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use nix::libc;
use russh_sftp::client::error::Error;
use russh_sftp::protocol::{FileAttributes, OpenFlags, StatusCode};
use tokio::task::JoinSet;

use super::connection::Connection;
use crate::blob::folders::{Entry, EntryKind};
use crate::blob::remote::Refusal;
use crate::blob::{Cause, Trouble};

/// What every server sends in one answer.
const PIECE: u32 = 32 << 10;

/// Requests for pieces of one file that are on the way.
const PIECES: usize = 64;

/// More than any folder has.
const MAX_ENTRIES: usize = 5_000_000;

/// What a failed request means. The second is whether the connection is of no more use.
pub(super) fn refusal(error: &Error) -> (Refusal, bool) {
    let (cause, broken) = match error {
        Error::Status(status) => match status.status_code {
            StatusCode::NoSuchFile => return (Refusal::NotFound, false),
            StatusCode::Eof => return (Refusal::BehindEnd, false),
            StatusCode::PermissionDenied => (Cause::AccessDenied, false),
            StatusCode::NoConnection | StatusCode::ConnectionLost => (Cause::CutOff, true),
            StatusCode::BadMessage | StatusCode::OpUnsupported => (Cause::Refused, false),
            _ => (Cause::ServerFailed, false),
        },
        Error::Timeout => (Cause::Timeout, true),
        Error::Limited(_) => (Cause::Busy, false),
        Error::IO(_) | Error::UnexpectedPacket | Error::UnexpectedBehavior(_) => (Cause::CutOff, true),
    };
    (Trouble::new(cause, error.to_string()).into(), broken)
}

/// What attributes say that a thing is.
enum Kind {
    Known(EntryKind),
    /// Neither a file nor a folder: a link, or something that no blob can be.
    Special,
    /// The protocol lets a server leave out type and size.
    Unsaid,
}

fn kind(attributes: &FileAttributes) -> Kind {
    match (attributes.permissions.map(|mode| mode & libc::S_IFMT), attributes.size) {
        (Some(libc::S_IFDIR), _) => Kind::Known(EntryKind::Folder),
        (Some(libc::S_IFREG), Some(size)) => Kind::Known(EntryKind::File(size)),
        (None, _) | (Some(libc::S_IFREG), None) => Kind::Unsaid,
        _ => Kind::Special,
    }
}

fn modified(attributes: &FileAttributes) -> Option<SystemTime> {
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(attributes.mtime?.into()))
}

/// What is in a folder. Links count as what they lead to.
pub(super) async fn list(connection: &Connection, folder: &str) -> Result<Vec<Entry>, Error> {
    let (_, session) = connection.turn()?;
    let handle = session.opendir(folder).await?.handle;
    let mut entries = Vec::new();
    let ended = loop {
        match session.readdir(handle.as_str()).await {
            Ok(page) if entries.len() > MAX_ENTRIES || page.files.is_empty() => {
                break Err(Error::UnexpectedBehavior("a folder without an end".into()));
            }
            Ok(page) => entries.extend(page.files),
            Err(Error::Status(status)) if status.status_code == StatusCode::Eof => break Ok(()),
            Err(error) => break Err(error),
        }
    };
    let _ = session.close(handle).await;
    ended?;
    let mut listed = Vec::with_capacity(entries.len());
    for entry in entries {
        if matches!(entry.filename.as_str(), "." | "..") {
            continue;
        }
        let mut attributes = entry.attrs;
        let kind = match kind(&attributes) {
            Kind::Known(known) => known,
            Kind::Special | Kind::Unsaid => {
                match session.stat(format!("{folder}/{}", entry.filename)).await {
                    Ok(found) => attributes = found.attrs,
                    Err(Error::Status(status)) if status.status_code == StatusCode::NoSuchFile => {
                        // A link that leads nowhere may have led to a folder of blobs, as on a disk that is not mounted: where
                        // such a folder is wanted, listing it fails.
                        listed.push(Entry { name: entry.filename, kind: EntryKind::Folder, modified: None });
                        continue;
                    }
                    Err(error) => return Err(error),
                }
                match kind(&attributes) {
                    Kind::Known(known) => known,
                    Kind::Special => continue,
                    // A folder that is taken for a file would lose all that is in it.
                    Kind::Unsaid => {
                        let why = format!("it does not say whether {:?} is a folder", entry.filename);
                        return Err(Error::UnexpectedBehavior(why));
                    }
                }
            }
        };
        listed.push(Entry { name: entry.filename, kind, modified: modified(&attributes) });
    }
    Ok(listed)
}

pub(super) async fn size(connection: &Connection, path: &str) -> Result<Option<u64>, Error> {
    let (_, session) = connection.turn()?;
    let attributes = session.stat(path).await?.attrs;
    Ok(match kind(&attributes) {
        Kind::Known(EntryKind::File(size)) => Some(size),
        _ => None,
    })
}

/// An open file with its size.
pub(super) struct File {
    connection: Arc<Connection>,
    turn: usize,
    handle: String,
    pub(super) size: Option<u64>,
}

impl File {
    pub(super) async fn open(connection: &Arc<Connection>, path: &str) -> Result<Self, Error> {
        let (turn, session) = connection.turn()?;
        let handle = session.open(path, OpenFlags::READ, FileAttributes::empty()).await?.handle;
        let mut file = Self { connection: Arc::clone(connection), turn, handle, size: None };
        match session.fstat(file.handle.as_str()).await {
            Ok(found) => file.size = found.attrs.size,
            Err(error) => {
                file.close().await;
                return Err(error);
            }
        }
        Ok(file)
    }

    pub(super) async fn close(self) {
        if let Some(session) = self.connection.at(self.turn) {
            let _ = session.close(self.handle).await;
        }
    }

    /// Fills the buffer from `offset`, with many requests on the way; tells how many bytes there were.
    pub(super) async fn fill(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, Error> {
        let mut pieces = JoinSet::new();
        let mut begun = 0_usize;
        let mut end = buffer.len();
        loop {
            while begun < buffer.len() && pieces.len() < PIECES {
                let length = (buffer.len() - begun).min(PIECE as usize);
                let (connection, turn, handle) =
                    (Arc::clone(&self.connection), self.turn, self.handle.clone());
                let at = begun;
                pieces.spawn(async move {
                    piece(&connection, turn, &handle, offset.saturating_add(at as u64), length)
                        .await
                        .map(|bytes| (at, length, bytes))
                });
                begun += length;
            }
            let Some(joined) = pieces.join_next().await else { break };
            let (at, length, bytes) =
                joined.map_err(|e| Error::UnexpectedBehavior(format!("a task ended: {e}")))??;
            match buffer.get_mut(at..at + bytes.len()) {
                Some(place) if bytes.len() <= length => place.copy_from_slice(&bytes),
                _ => return Err(Error::UnexpectedBehavior("more bytes than were asked for".into())),
            }
            if bytes.len() < length {
                end = end.min(at + bytes.len());
            }
        }
        Ok(end)
    }
}

/// One piece: as many bytes as there are, though servers may send fewer at a time.
async fn piece(
    connection: &Connection,
    turn: usize,
    handle: &str,
    offset: u64,
    length: usize,
) -> Result<Vec<u8>, Error> {
    let closed = || Error::UnexpectedBehavior("session closed".into());
    let session = connection.at(turn).ok_or_else(closed)?;
    let mut bytes = Vec::with_capacity(length);
    while bytes.len() < length {
        let rest = u32::try_from(length - bytes.len()).unwrap_or(PIECE);
        match session.read(handle, offset.saturating_add(bytes.len() as u64), rest).await {
            Ok(data) if data.data.is_empty() => break,
            Ok(data) => bytes.extend_from_slice(&data.data),
            Err(Error::Status(status)) if status.status_code == StatusCode::Eof => break,
            Err(error) => return Err(error),
        }
    }
    Ok(bytes)
}

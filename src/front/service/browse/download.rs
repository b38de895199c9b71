//! A file, whole or in part, streamed in bounded memory.

use std::io::{self, Write};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::Path;
use axum::http::header::{
    ACCEPT_RANGES, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_RANGE, ETAG, HeaderMap, HeaderName,
    HeaderValue, IF_NONE_MATCH, IF_RANGE, RANGE,
};
use axum::http::{Method, StatusCode};
use axum::response::Response;
use hyper::body::Frame;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::library::Opened;
use super::{Trouble, Visit, allowed, from_tree, html, links, tree, turn};
use crate::front::archived::{Unfit, check_length};
use crate::front::service::http;
use crate::object::{ObjectId, Reader};
use crate::snapshot::{DirEntry, EntryType};
use crate::vfs::File;

/// Bytes sent at a time.
const PIECE: usize = 256 << 10;

/// Pieces that wait for the client.
const WAITING: usize = 4;

/// A client that takes nothing for this long is given up.
const PATIENCE: Duration = Duration::from_secs(120);

/// A file that is ready to be sent.
struct Ready {
    file: File,
    object: ObjectId,
    length: u64,
}

/// The type of all files: a browser saves them, and runs and shows nothing of them.
const OCTETS: &str = "application/octet-stream";

pub(super) async fn file(
    visit: Visit,
    method: Method,
    headers: HeaderMap,
    Path((id, path)): Path<(String, String)>,
) -> Result<Response, Trouble> {
    let viewer = visit.viewer.clone();
    let (shown, name) = (format!("{id}/{path}"), path.rsplit('/').next().unwrap_or(&path).to_owned());
    let ready = visit
        .read(move |opened| {
            let snapshot = allowed(&viewer, opened.snapshot(&id)?)?;
            let entry = tree(opened, &snapshot)?.entry(&path).map_err(from_tree)?;
            ready(opened, &entry)
        })
        .await?;
    let etag = format!("\"{}\"", ready.object);
    let asked = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    if asked(IF_NONE_MATCH).is_some_and(|known| known.split(',').any(|known| known.trim() == etag)) {
        return Ok(with(html::guarded(http::text(StatusCode::NOT_MODIFIED, OCTETS, "")), [(ETAG, etag)]));
    }
    // Part of another version is of no use.
    let range = asked(RANGE).filter(|_| asked(IF_RANGE).is_none_or(|known| known == etag));
    let whole = ready.length;
    let (status, from, length) = match range.map_or(Part::Whole, |range| Part::parse(range, whole)) {
        Part::Whole => (StatusCode::OK, 0, whole),
        Part::Of(from, length) => (StatusCode::PARTIAL_CONTENT, from, length),
        Part::Outside => {
            let response = http::text(StatusCode::RANGE_NOT_SATISFIABLE, OCTETS, "");
            return Ok(with(html::guarded(response), [(CONTENT_RANGE, format!("bytes */{whole}"))]));
        }
    };
    let body = if method == Method::HEAD {
        Body::empty()
    } else {
        let who = &visit.viewer.name;
        tracing::info!(who, from, bytes = length, "browse: download of {shown}");
        let turn = turn(&visit.browse()?.downloads).await?;
        stream(move |pipe| {
            let _turn = turn;
            send(&ready.file, from, length, pipe)
        })
    };
    let mut response = html::guarded(http::text(status, OCTETS, body));
    if status == StatusCode::PARTIAL_CONTENT {
        let range = format!("bytes {from}-{}/{whole}", (from + length).saturating_sub(1));
        response = with(response, [(CONTENT_RANGE, range)]);
    }
    Ok(with(
        response,
        [
            (CONTENT_LENGTH, length.to_string()),
            (ACCEPT_RANGES, "bytes".to_owned()),
            (ETAG, etag),
            (CONTENT_DISPOSITION, attachment(&name)),
        ],
    ))
}

fn ready(opened: &Opened, entry: &DirEntry) -> Result<Ready, Trouble> {
    let object = match entry.kind {
        EntryType::File => entry.object.ok_or(Trouble::NotFound)?,
        _ => return Err(Trouble::Usage("Only files are downloaded like this.")),
    };
    let length = Reader::new(&opened.source, &object).length()?;
    check_length(entry, length).map_err(|Unfit { code, why }| Trouble::Damaged { why, code })?;
    Ok(Ready { file: opened.vfs.open_entry(entry)?, object, length })
}

/// Sends a part of a file.
pub(super) fn send(file: &File, from: u64, length: u64, out: &mut impl Write) -> io::Result<()> {
    let mut sent = 0;
    while sent < length {
        let size = usize::try_from(length - sent).unwrap_or(usize::MAX).min(PIECE);
        let piece = file.read_at(from + sent, size).map_err(io::Error::other)?;
        if piece.is_empty() {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "its data ends early"));
        }
        out.write_all(&piece)?;
        sent += piece.len() as u64;
    }
    Ok(())
}

/// What a `Range` header asks for.
#[derive(Debug, PartialEq, Eq)]
enum Part {
    Whole,
    /// An offset, and a number of bytes from there.
    Of(u64, u64),
    Outside,
}

impl Part {
    /// One range of bytes. Anything else is answered with the whole, as RFC 9110 allows.
    fn parse(range: &str, whole: u64) -> Self {
        let Some((first, last)) = range.strip_prefix("bytes=").and_then(|range| range.trim().split_once('-'))
        else {
            return Self::Whole;
        };
        let (first, last) = (first.trim(), last.trim());
        let part = match (first.parse::<u64>(), last.parse::<u64>()) {
            (Ok(first), Ok(last)) if first <= last => (first, last.min(whole.saturating_sub(1))),
            (Ok(first), Err(_)) if last.is_empty() => (first, whole.saturating_sub(1)),
            (Err(_), Ok(count)) if first.is_empty() => (whole.saturating_sub(count), whole.saturating_sub(1)),
            _ => return Self::Whole,
        };
        let nothing = first.is_empty() && last == "0";
        if part.0 >= whole || nothing { Self::Outside } else { Self::Of(part.0, part.1 - part.0 + 1) }
    }
}

/// Runs `write` in a thread of its own; what it writes becomes the body. If it fails, the connection is broken off, so that
/// nobody takes what came for the whole.
pub(super) fn stream(write: impl FnOnce(&mut Pipe) -> io::Result<()> + Send + 'static) -> Body {
    let (sender, receiver) = mpsc::channel(WAITING);
    let runtime = Handle::current();
    tokio::task::spawn_blocking(move || {
        let mut pipe = Pipe { sender, runtime, piece: Vec::with_capacity(PIECE) };
        let ended = write(&mut pipe).and_then(|()| pipe.flush());
        if let Err(error) = ended {
            tracing::warn!(code = "download-ended", "browse: a download ended early: {error}");
            // A client that is gone needs no error.
            let _ = pipe.sender.try_send(Err(error));
        }
    });
    Body::new(Received(receiver))
}

/// Where the bytes of a body are written.
pub(super) struct Pipe {
    sender: mpsc::Sender<io::Result<Bytes>>,
    runtime: Handle,
    piece: Vec<u8>,
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.get(..bytes.len().min(PIECE - self.piece.len())).unwrap_or_default();
        self.piece.extend_from_slice(taken);
        if self.piece.len() >= PIECE {
            self.flush()?;
        }
        Ok(taken.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.piece.is_empty() {
            return Ok(());
        }
        let piece = std::mem::replace(&mut self.piece, Vec::with_capacity(PIECE));
        let sending = timeout(PATIENCE, self.sender.send(Ok(piece.into())));
        match self.runtime.block_on(sending) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(io::Error::new(io::ErrorKind::BrokenPipe, "the client is gone")),
            Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "the client takes nothing")),
        }
    }
}

/// What arrives through the pipe.
struct Received(mpsc::Receiver<io::Result<Bytes>>);

impl hyper::body::Body for Received {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        self.0.poll_recv(context).map(|piece| piece.map(|piece| piece.map(Frame::data)))
    }
}

/// The header that has a browser save the body under this name.
pub(super) fn attachment(name: &str) -> String {
    format!("attachment; filename*=UTF-8''{}", links::encode(name))
}

/// Adds headers.
pub(super) fn with<const N: usize>(mut response: Response, headers: [(HeaderName, String); N]) -> Response {
    for (name, value) in headers {
        if let Ok(value) = HeaderValue::try_from(value) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

#[cfg(test)]
mod tests {
    use super::Part;

    #[test]
    fn ranges_are_parts_of_the_file() {
        for (range, part) in [
            ("bytes=0-9", Part::Of(0, 10)),
            ("bytes=90-", Part::Of(90, 10)),
            ("bytes=-10", Part::Of(90, 10)),
            ("bytes=-1000", Part::Of(0, 100)),
            ("bytes=95-1000", Part::Of(95, 5)),
            ("bytes=100-", Part::Outside),
            ("bytes=-0", Part::Outside),
            ("bytes=9-1", Part::Whole),
            ("bytes=0-1,5-6", Part::Whole),
            ("lines=1-2", Part::Whole),
        ] {
            assert_eq!(Part::parse(range, 100), part, "{range}");
        }
        assert_eq!(Part::parse("bytes=0-", 0), Part::Outside);
    }
}

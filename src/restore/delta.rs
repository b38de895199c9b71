//! Comparing a file that is there with the one in the snapshot, content by content.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::{Mode, SFlag, fchmod, fstat};

use super::fetch::{Fetcher, deliver_chunk};
use super::job::Job;
use super::report::add;
use super::target::{OpenDir, kind, staged_name};
use crate::content::ContentSource;
use crate::object::Chunk;

/// Pieces that are hashed together, for the lanes of the hash function, and bytes of them.
pub(super) const PIECES: usize = 8;
pub(super) const BYTES: u64 = 8 << 20;

/// A file of the target that may hold some of the data already.
pub(super) struct Base {
    pub(super) file: File,
    pub(super) size: u64,
    pub(super) owner: (u32, u32),
    /// Whether it bears the staged name, because a run was killed while it was being patched.
    pub(super) aside: bool,
}

impl Base {
    /// Opens the file that bears a name, or the one that a killed run put aside under it. `None` if there is none that
    /// could be patched: it has to be a regular file that no other name leads to.
    pub(super) fn open(directory: &OpenDir, name: &str) -> Option<Self> {
        let open = |name: &str, aside| {
            let flags = OFlag::O_RDWR | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK;
            let fd = match openat(directory, name, flags, Mode::empty()) {
                Err(Errno::EACCES) => open_closed(directory, name, flags)?,
                other => other.ok()?,
            };
            let stat = fstat(&fd).ok()?;
            let fits = kind(&stat) == SFlag::S_IFREG && stat.st_nlink == 1;
            fits.then_some(Self {
                file: File::from(fd),
                size: u64::try_from(stat.st_size).ok()?,
                owner: (stat.st_uid, stat.st_gid),
                aside,
            })
        };
        open(name, false).or_else(|| open(&staged_name(name), true))
    }
}

/// Opens a file of our own whose mode lets not even us write, as applications make them. It has that mode again at once.
fn open_closed(directory: &OpenDir, name: &str, flags: OFlag) -> Option<OwnedFd> {
    let readable = openat(directory, name, flags.difference(OFlag::O_RDWR), Mode::empty()).ok()?;
    let stat = fstat(&readable).ok()?;
    let mode = Mode::from_bits_truncate(stat.st_mode);
    if kind(&stat) != SFlag::S_IFREG || fchmod(&readable, mode | Mode::S_IWUSR).is_err() {
        return None;
    }
    let writable = openat(directory, name, flags, Mode::empty());
    fchmod(&readable, mode).ok()?;
    writable.ok()
}

impl<'s> Fetcher<'s> {
    /// Keeps the pieces that the file has already, and fetches and writes the others.
    pub(super) fn compare(&self, job: &Arc<Job<'s>>, chunks: &[Chunk]) {
        let session = self.session;
        let lengths =
            || chunks.iter().map(|chunk| usize::try_from(chunk.length.unwrap_or_default()).unwrap_or(0));
        // Held until the end, so that the budget also covers what is fetched.
        let mut buffer = self.pool.take(lengths().sum());
        let differing: Vec<&Chunk> = {
            let _working = self.working.take();
            let mut rest = &mut *buffer;
            let mut there = Vec::new();
            for (chunk, length) in chunks.iter().zip(lengths()) {
                let Some((piece, after)) = std::mem::take(&mut rest).split_at_mut_checked(length) else {
                    break;
                };
                rest = after;
                let whole = !chunk.compressed
                    && job.base().is_some_and(|base| base.file.read_exact_at(piece, chunk.offset).is_ok());
                there.push(if whole { &*piece } else { &[] });
            }
            let hashes = session.contents.format().hasher().hash_many(&there);
            let mut differing = Vec::new();
            for ((chunk, piece), hash) in chunks.iter().zip(there).zip(hashes) {
                if !piece.is_empty() && hash.as_bytes() == chunk.content.hash() {
                    job.reuse(piece.len() as u64);
                    job.done();
                } else {
                    differing.push(chunk);
                }
            }
            differing
        };
        for chunk in differing {
            if !session.is_over() && !job.is_over() {
                let _reading = self.reading.take();
                let packed = session.contents.index().get(&chunk.content).map(|entry| entry.packed_length);
                match session.contents.get(&chunk.content) {
                    Ok(plaintext) => {
                        add(&session.report.fetched, packed.unwrap_or_default().into());
                        deliver_chunk(job, chunk, &plaintext);
                    }
                    Err(error) => job.fail(&error.into()),
                }
            }
            job.done();
        }
    }
}

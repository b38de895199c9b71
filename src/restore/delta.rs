//! Comparing a file that is there with the one in the snapshot, content by content.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;

use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::{Mode, SFlag, fchmod, fstat};

use super::fetch::Fetcher;
use super::place::{OpenDir, kind, staged_name};
use super::plan::{Batch, Use, plan};
use crate::content::Scratch;
use crate::crypto::ContentHash;
use crate::os::adaptive_workers::Member;

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
    pub(super) fn compare(&self, member: &Member<'_>, mut pieces: Batch<'s>, buffers: &mut Vec<Scratch>) {
        let there = self.find_there(member, &pieces);
        let mut each = there.into_iter();
        pieces.uses.retain(|_| !each.next().unwrap_or_default());
        let ranges = plan(&mut pieces.uses, self.session.longest_range(), self.session.hints.gap);
        for range in &ranges {
            if self.session.is_over() {
                return;
            }
            self.fetch(member, &pieces, range, buffers);
        }
    }

    /// For each piece whether the file has it. Those are done.
    fn find_there(&self, member: &Member<'_>, pieces: &Batch<'s>) -> Vec<bool> {
        let uses = &pieces.uses;
        let Some(job) = uses.first().and_then(|piece| pieces.job(piece)) else { return Vec::new() };
        let length = |piece: &Use| usize::try_from(piece.chunk.length.unwrap_or_default()).unwrap_or(0);
        let mut buffer = self.pool.take(uses.iter().map(length).sum());
        let _working = member.work();
        let mut rest = &mut *buffer;
        let mut found = Vec::new();
        for piece in uses {
            let Some((bytes, after)) = std::mem::take(&mut rest).split_at_mut_checked(length(piece)) else {
                break;
            };
            rest = after;
            let whole = !piece.chunk.compressed
                && job.base().is_some_and(|base| base.file.read_exact_at(bytes, piece.chunk.offset).is_ok());
            found.push(if whole { &*bytes } else { &[] });
        }
        let hashes = self.session.contents.format().hasher().hash_many(&found);
        let same = |((piece, bytes), hash): ((&Use, &[u8]), ContentHash)| {
            let same = !bytes.is_empty() && hash.as_bytes() == piece.chunk.content.hash();
            if same {
                job.reuse(bytes.len() as u64);
                job.done();
            }
            same
        };
        uses.iter().zip(found).zip(hashes).map(same).collect()
    }
}

//! Large files past the page cache.
//!
//! What is restored is written once and not read soon: a copy of it in the page cache costs the kernel more than the disk
//! does, takes memory that other programs have there, and in a pod with a small limit of memory stalls the writers. Blocks
//! that a write covers whole therefore go to the device from an aligned buffer (`O_DIRECT`); the bytes before and behind
//! them take the usual way. Both see one file: the kernel keeps blocks of the one way apart from those of the other.

use std::cell::RefCell;
use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;
use nix::sys::statfs::{EXT4_SUPER_MAGIC, FsType, XFS_SUPER_MAGIC, fstatfs};

use crate::os::zeros;
/// Where a direct write begins and ends, in the file and in memory: no common device has larger blocks.
const ALIGNMENT: usize = 4096;

/// What one write takes at most: a buffer that stays in the processor's cache, and a request that devices like.
const PIECE: usize = 1 << 20;

/// Shorter writes gain nothing from it.
const MIN_WRITE: usize = 64 << 10;

thread_local! {
    /// Memory for a piece at an aligned address. A thread that never writes directly has none.
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// A file that is open a second time, for writing past the page cache.
#[derive(Debug)]
pub(super) struct Direct {
    file: File,
    /// Whether the file system has refused it meanwhile.
    refused: AtomicBool,
}

impl Direct {
    /// Opens a file once more. None where its file system is none for which this is known to help: network and overlay file
    /// systems wait for each such write, and those that compute checksums or compress do it from the page cache.
    pub(super) fn open(directory: impl AsFd, name: &str, file: &File) -> Option<Self> {
        const HELPED: [FsType; 2] = [EXT4_SUPER_MAGIC, XFS_SUPER_MAGIC];
        if !fstatfs(file).is_ok_and(|stat| HELPED.contains(&stat.filesystem_type())) {
            return None;
        }
        let flags = OFlag::O_WRONLY | OFlag::O_DIRECT | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let fd = openat(directory, name, flags, Mode::empty()).ok()?;
        Some(Self { file: File::from(fd), refused: AtomicBool::new(false) })
    }

    /// Writes the whole blocks of `data`, which belongs at `at`. Returns which bytes of it are written; the others take the
    /// usual way, as do all where this way is refused: if the reason is one of the disk, it meets that one as well.
    pub(super) fn write(&self, data: &[u8], at: u64) -> std::ops::Range<usize> {
        let begin = (at.next_multiple_of(ALIGNMENT as u64) - at) as usize;
        let blocks = data.len().saturating_sub(begin) / ALIGNMENT * ALIGNMENT;
        if blocks < MIN_WRITE || self.refused.load(Ordering::Relaxed) {
            return 0..0;
        }
        let mut end = begin;
        for piece in data.get(begin..begin + blocks).unwrap_or_default().chunks(PIECE) {
            if self.write_piece(piece, at + end as u64).is_err() {
                self.refused.store(true, Ordering::Relaxed);
                break;
            }
            end += piece.len();
        }
        begin..end
    }

    fn write_piece(&self, piece: &[u8], at: u64) -> std::io::Result<()> {
        BUFFER.with_borrow_mut(|buffer| {
            zeros::resize(buffer, PIECE + ALIGNMENT);
            let skipped = buffer.as_ptr().align_offset(ALIGNMENT);
            let aligned = buffer.get_mut(skipped..).and_then(|rest| rest.get_mut(..piece.len()));
            let aligned = aligned.ok_or(std::io::ErrorKind::Unsupported)?;
            aligned.copy_from_slice(piece);
            self.file.write_all_at(aligned, at)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use super::*;

    /// Contents begin and end anywhere, and several threads bring them in any order.
    const ENDS: [usize; 9] = [0, 1, 70_000, 200_704, 3_000_001, 3_000_002, 5_242_880, 9_000_000, 9_437_185];

    fn bytes() -> Vec<u8> {
        (0..ENDS[8]).map(|at| (at * 7 + at / 4096) as u8).collect()
    }

    /// What a whole writer does with it: [`OutFile`](super::super::OutFile) does the same.
    fn put(file: &File, direct: &Direct, data: &[u8], at: u64) -> usize {
        let written = direct.write(data, at);
        file.write_all_at(&data[..written.start], at).unwrap();
        file.write_all_at(&data[written.end..], at + written.end as u64).unwrap();
        written.len()
    }

    #[test]
    fn pieces_of_any_length_from_many_threads_make_the_file() {
        let bytes = bytes();
        let dir = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        let path = dir.path().join("file");
        let file = File::create_new(&path).unwrap();
        let folder = File::open(dir.path()).unwrap();
        let Some(direct) = Direct::open(&folder, "file", &file) else {
            eprintln!("NOT CHECKED: direct writes, because the checkout lies on no ext4 or xfs");
            return;
        };
        let directly = std::sync::atomic::AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for pair in ENDS.windows(2).rev() {
                let (bytes, file, direct, directly) = (&bytes, &file, &direct, &directly);
                scope.spawn(move || {
                    let count = put(file, direct, &bytes[pair[0]..pair[1]], pair[0] as u64);
                    directly.fetch_add(count, Ordering::Relaxed);
                });
            }
        });
        assert!(std::fs::read(&path).unwrap() == bytes);
        if !direct.refused.load(Ordering::Relaxed) {
            assert!(directly.into_inner() > bytes.len() * 9 / 10);
        }
    }

    #[test]
    fn a_refusal_leaves_all_to_the_usual_way() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let file = File::create_new(&path).unwrap();
        // Every write to a descriptor that is open for reading is refused.
        let direct = Direct { file: File::open(&path).unwrap(), refused: AtomicBool::new(false) };
        let bytes = bytes();
        assert_eq!(put(&file, &direct, &bytes, 0), 0);
        assert!(direct.refused.load(Ordering::Relaxed));
        assert!(std::fs::read(&path).unwrap() == bytes);
    }
}

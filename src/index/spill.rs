//! A file without a name that holds what does not fit in memory.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::blob::WritablePath;
use crate::os::zeros;

/// Permissions of the file, for the moment in which it may have a name.
const MODE: u32 = 0o600;

/// Space on a disk that vanishes with the process, in whatever way that ends. Any thread may write and read.
pub(crate) struct SpillFile {
    file: File,
    reserved: AtomicU64,
    failure: OnceLock<io::Error>,
}

impl SpillFile {
    /// A new file in the file system of `directory`.
    pub(crate) fn create(directory: &WritablePath) -> io::Result<Self> {
        // Overlapping processes differ in their number, earlier ones have left nothing behind.
        let file = directory.unnamed_file(&format!(".rokopia-index-{}", std::process::id()), MODE)?;
        Ok(Self { file, reserved: AtomicU64::new(0), failure: OnceLock::new() })
    }

    /// Sets a range of this length aside; where it begins.
    pub(crate) fn reserve(&self, length: u64) -> u64 {
        self.reserved.fetch_add(length, Ordering::Relaxed)
    }

    /// Writes all of `bytes` at `offset`.
    pub(crate) fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all_at(bytes, offset)
    }

    /// Fills the buffer from `offset`. A failure is remembered for [`check`](Self::check).
    pub(crate) fn read(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(buffer, offset).inspect_err(|e| {
            self.failure.get_or_init(|| io::Error::new(e.kind(), e.to_string()));
        })
    }

    /// Whether every read so far succeeded.
    pub(crate) fn check(&self) -> io::Result<()> {
        match self.failure.get() {
            None => Ok(()),
            Some(e) => Err(io::Error::new(e.kind(), e.to_string())),
        }
    }
}

/// Reads records of a fixed size one after the other, many at once.
pub(crate) struct Records<'a> {
    file: &'a SpillFile,
    left: Range<u64>,
    record: usize,
    /// Bytes that are read at once.
    step: u64,
    buffer: Vec<u8>,
    at: usize,
}

impl<'a> Records<'a> {
    /// The records in a range of a file, of which some `buffer` bytes are read at once.
    pub(crate) fn new(file: &'a SpillFile, range: Range<u64>, record: usize, buffer: usize) -> Self {
        let step = (buffer / record).max(1) * record;
        Self { file, left: range, record, step: step as u64, buffer: Vec::new(), at: 0 }
    }

    /// The next record; `None` behind the last one, and where the file cannot be read, which it then says.
    pub(crate) fn next(&mut self) -> Option<&[u8]> {
        if self.at >= self.buffer.len() {
            let length = (self.left.end - self.left.start).min(self.step);
            if length == 0 {
                return None;
            }
            zeros::resize(&mut self.buffer, length as usize);
            self.at = 0;
            if self.file.read(self.left.start, &mut self.buffer).is_err() {
                self.buffer.clear();
                self.left.start = self.left.end;
                return None;
            }
            self.left.start += length;
        }
        let record = self.buffer.get(self.at..self.at + self.record)?;
        self.at += self.record;
        Some(record)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::blob::Guard;

    fn writable(path: &Path) -> WritablePath {
        Guard::default().writable(path).unwrap()
    }

    #[test]
    fn what_was_written_can_be_read_and_nothing_is_left() {
        let directory = tempfile::tempdir().unwrap();
        let file = SpillFile::create(&writable(directory.path())).unwrap();
        let (first, second) = (file.reserve(3), file.reserve(4));
        file.write(second, b"4567").unwrap();
        file.write(first, b"123").unwrap();
        let mut buffer = [0; 7];
        file.read(first, &mut buffer).unwrap();
        assert_eq!(&buffer, b"1234567");
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
        assert!(file.check().is_ok());
        assert!(file.read(5, &mut buffer).is_err());
        assert!(file.check().is_err());
        assert!(SpillFile::create(&writable(&directory.path().join("missing"))).is_err());
    }

    #[test]
    fn records_come_in_order_and_end_where_they_cannot_be_read() {
        let directory = tempfile::tempdir().unwrap();
        let file = SpillFile::create(&writable(directory.path())).unwrap();
        file.write(file.reserve(9), b"aabbccddX").unwrap();
        let all = |range, buffer| {
            let mut records = Records::new(&file, range, 2, buffer);
            let mut found = Vec::new();
            while let Some(record) = records.next() {
                found.extend_from_slice(record);
            }
            assert_eq!(records.next(), None);
            String::from_utf8(found).unwrap()
        };
        for buffer in [1, 2, 5, 6, 100] {
            assert_eq!(
                (all(0..8, buffer), all(2..6, buffer)),
                ("aabbccdd".into(), "bbcc".into()),
                "{buffer}"
            );
        }
        assert_eq!(all(4..4, 100), "");
        assert!(file.check().is_ok());
        assert_eq!(all(0..12, 4), "aabbccdd");
        assert_eq!(all(8..12, 100), "");
        assert!(file.check().is_err());
    }
}

//! Tar archives in the pax format of POSIX.1-2001: names of any length, times to the nanosecond, sizes and owners
//! without bounds.

use std::io::{self, Write};

use tar::{EntryType, Header};

use crate::snapshot::{DirEntry, UtcTimestamp};

/// Archives consist of blocks of this many bytes.
const BLOCK: usize = 512;

/// The first numbers that the octal fields of a plain header cannot hold: seven digits for owners, eleven for sizes and
/// times.
const OWNER_LIMIT: u64 = 1 << 21;
const NUMBER_LIMIT: u64 = 1 << 33;

/// Who owns an entry whose owner no file can have: the ID that Linux shows for those it cannot.
const NOBODY: u32 = 65534;

/// Bytes for names in a plain header.
const NAME_LIMIT: usize = 100;

/// An archive that is being written. What was not [finished](Archive::finish) is cut short, and readers say so.
pub(super) struct Archive<W> {
    out: W,
    /// Bytes that the file begun last still needs.
    missing: u64,
    padding: usize,
}

impl<W: Write> Archive<W> {
    pub(super) fn new(out: W) -> Self {
        Self { out, missing: 0, padding: 0 }
    }

    /// Adds a directory.
    pub(super) fn directory(&mut self, path: &str, entry: &DirEntry) -> io::Result<()> {
        self.header(EntryType::Directory, &format!("{path}/"), entry, 0, b"")
    }

    /// Adds a symbolic link.
    pub(super) fn symlink(&mut self, path: &str, entry: &DirEntry, target: &[u8]) -> io::Result<()> {
        self.header(EntryType::Symlink, path, entry, 0, target)
    }

    /// Begins a file; `size` bytes of [`Archive::data`] have to follow.
    pub(super) fn file(&mut self, path: &str, entry: &DirEntry, size: u64) -> io::Result<()> {
        self.header(EntryType::Regular, path, entry, size, b"")?;
        self.missing = size;
        self.padding = size.next_multiple_of(BLOCK as u64).saturating_sub(size) as usize;
        self.data(b"")
    }

    /// Adds bytes to the file that was begun.
    pub(super) fn data(&mut self, bytes: &[u8]) -> io::Result<()> {
        let Some(missing) = self.missing.checked_sub(bytes.len() as u64) else {
            return Err(io::Error::other("a file is longer than its object says"));
        };
        self.out.write_all(bytes)?;
        self.missing = missing;
        if missing == 0 {
            self.zeros(self.padding)?;
            self.padding = 0;
        }
        Ok(())
    }

    /// Whether the file begun last has all its bytes.
    pub(super) fn is_whole(&self) -> bool {
        self.missing == 0
    }

    /// Marks the end of the archive; returns what it was written to.
    pub(super) fn finish(mut self) -> io::Result<W> {
        self.zeros(2 * BLOCK)?;
        Ok(self.out)
    }

    fn zeros(&mut self, count: usize) -> io::Result<()> {
        self.out.write_all([0; 2 * BLOCK].get(..count).unwrap_or_default())
    }

    fn header(
        &mut self,
        kind: EntryType,
        path: &str,
        entry: &DirEntry,
        size: u64,
        target: &[u8],
    ) -> io::Result<()> {
        let mut header = Header::new_ustar();
        header.set_entry_type(kind);
        let owner = entry.owner();
        // Set-ID bits are for the owner that they were meant for.
        let bits = if owner.is_some() { 0o7777 } else { 0o1777 };
        let (uid, gid) = owner.unwrap_or((NOBODY, NOBODY));
        let (uid, gid) = (u64::from(uid), u64::from(gid));
        header.set_mode(entry.mode.to_posix() & bits);
        header.set_uid(uid);
        header.set_gid(gid);
        header.set_size(size);
        header.set_mtime(u64::try_from(entry.mtime.to_unix().0).unwrap_or(0));
        let fields = header.as_old_mut();
        put(&mut fields.name, path.as_bytes());
        put(&mut fields.linkname, target);
        header.set_cksum();

        let mut records = Vec::new();
        if std::str::from_utf8(target).is_err() && target.len() > NAME_LIMIT {
            record(&mut records, "hdrcharset", b"BINARY");
        }
        for (key, text) in [("path", path.as_bytes()), ("linkpath", target)] {
            if text.len() > NAME_LIMIT || (!text.is_ascii() && std::str::from_utf8(text).is_ok()) {
                record(&mut records, key, text);
            }
        }
        for (key, number, limit) in
            [("uid", uid, OWNER_LIMIT), ("gid", gid, OWNER_LIMIT), ("size", size, NUMBER_LIMIT)]
        {
            if number >= limit {
                record(&mut records, key, number.to_string().as_bytes());
            }
        }
        let (seconds, nanos) = entry.mtime.to_unix();
        if nanos > 0 || !(0..NUMBER_LIMIT as i64).contains(&seconds) {
            record(&mut records, "mtime", decimal(entry.mtime).as_bytes());
        }
        if !records.is_empty() {
            self.extension(&records)?;
        }
        self.out.write_all(header.as_bytes())
    }

    /// The header before a header, with what that cannot hold.
    fn extension(&mut self, records: &[u8]) -> io::Result<()> {
        let mut header = Header::new_ustar();
        header.set_entry_type(EntryType::XHeader);
        header.set_mode(0o644);
        header.set_size(records.len() as u64);
        put(&mut header.as_old_mut().name, b"PaxHeaders/entry");
        header.set_cksum();
        self.out.write_all(header.as_bytes())?;
        self.out.write_all(records)?;
        self.zeros(records.len().next_multiple_of(BLOCK) - records.len())
    }
}

fn put(field: &mut [u8; NAME_LIMIT], text: &[u8]) {
    for (byte, text) in field.iter_mut().zip(text) {
        *byte = *text;
    }
}

/// `LENGTH KEY=VALUE\n`, where the length counts its own digits, too.
fn record(records: &mut Vec<u8>, key: &str, value: &[u8]) {
    let rest = key.len() + value.len() + 3;
    let mut length = rest;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    records.extend(format!("{length} {key}=").bytes());
    records.extend(value);
    records.push(b'\n');
}

/// Seconds since 1970 as a decimal number; before 1970 it is negative as a whole.
fn decimal(time: UtcTimestamp) -> String {
    let nanos = time.as_nanos();
    let sign = if nanos < 0 { "-" } else { "" };
    let (seconds, fraction) = (nanos.unsigned_abs() / 1_000_000_000, nanos.unsigned_abs() % 1_000_000_000);
    let text = format!("{sign}{seconds}.{fraction:09}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::io::Read;

    use super::*;
    use crate::snapshot::GoMode;

    fn entry(nanos: i64) -> DirEntry {
        let mode = GoMode::from_posix(0o4751);
        DirEntry { mode, uid: 3_000_000, gid: 7, mtime: UtcTimestamp(nanos), ..DirEntry::default() }
    }

    #[test]
    fn other_readers_find_everything() {
        let long = format!("{}/é", "directory".repeat(30));
        let mut archive = Archive::new(Vec::new());
        archive.directory("d", &entry(1_500_000_000)).unwrap();
        archive.file(&long, &entry(-1_500_000_000), 700).unwrap();
        archive.data(&[7; 300]).unwrap();
        assert!(!archive.is_whole());
        archive.data(&[7; 400]).unwrap();
        archive.file("empty", &entry(0), 0).unwrap();
        archive.symlink("link", &entry(0), b"to \xff").unwrap();
        archive.symlink("far", &entry(0), &[b'x'; 300]).unwrap();
        assert!(archive.is_whole());
        let bytes = archive.finish().unwrap();
        assert_eq!(bytes.len() % BLOCK, 0);

        let mut seen = Vec::new();
        for entry in tar::Archive::new(&bytes[..]).entries().unwrap() {
            let mut entry = entry.unwrap();
            let extensions: HashMap<String, String> = entry
                .pax_extensions()
                .unwrap()
                .into_iter()
                .flatten()
                .map(|e| e.unwrap())
                .map(|e| (e.key().unwrap().into(), e.value().unwrap().into()))
                .collect();
            assert_eq!(extensions["uid"], "3000000");
            assert_eq!(entry.header().mode().unwrap(), 0o4751);
            let mut data = Vec::new();
            entry.read_to_end(&mut data).unwrap();
            let target = entry.link_name_bytes().map(|t| t.len());
            seen.push((entry.path().unwrap().to_str().unwrap().to_owned(), data.len(), target));
            match seen.len() {
                1 => assert_eq!(extensions["mtime"], "1.5"),
                2 => assert_eq!(extensions["mtime"], "-1.5"),
                _ => assert!(!extensions.contains_key("mtime")),
            }
        }
        let expected = [
            ("d/", 0, None),
            (&long, 700, None),
            ("empty", 0, None),
            ("link", 0, Some(4)),
            ("far", 0, Some(300)),
        ];
        assert_eq!(seen, expected.map(|(path, size, target)| (path.to_owned(), size, target)));
    }

    #[test]
    fn an_owner_that_no_file_can_have_takes_the_set_id_bits_along() {
        let mut archive = Archive::new(Vec::new());
        let forged = DirEntry { uid: crate::snapshot::NO_ID, ..entry(0) };
        archive.file("f", &forged, 0).unwrap();
        let bytes = archive.finish().unwrap();
        let mut read = tar::Archive::new(&bytes[..]);
        let entry = read.entries().unwrap().next().unwrap().unwrap();
        assert_eq!((entry.header().mode().unwrap(), entry.header().uid().unwrap()), (0o751, NOBODY.into()));
    }

    #[test]
    fn more_bytes_than_announced_are_refused() {
        let mut archive = Archive::new(Vec::new());
        archive.file("f", &entry(0), 3).unwrap();
        assert!(archive.data(b"four").is_err());
    }

    #[test]
    fn records_count_their_own_length() {
        for length in [1, 89, 90, 91, 988, 990, 9985, 9990] {
            let mut records = Vec::new();
            record(&mut records, "path", &vec![b'x'; length]);
            let text = String::from_utf8(records).unwrap();
            assert_eq!(text.split(' ').next().unwrap(), text.len().to_string());
        }
    }
}

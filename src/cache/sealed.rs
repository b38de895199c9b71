//! A sealed file: pages that are read one by one, and a table that is read when the file is opened.
//!
//! ```text
//! magic (16) · salt (32) · pages, each of 4096 bytes · the table in pieces · foot
//! ```
//!
//! Each page and piece is encrypted and authenticated by itself, under a key of this file and with its own number, so that
//! opening reads the table alone and any page is found to be right, or not, when it is read. The foot says how much there
//! is of both; a file that was cut has none.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;

use crate::crypto::{self, PieceCipher};
use crate::format::RepositoryFormat;

/// The version of the layout is part of it.
const MAGIC: &[u8; 16] = b"rokopia-cache-1\n";

/// Bytes of a page as it is stored, and how much it holds.
const PAGE: usize = 4096;
pub(crate) const PAGE_ROOM: usize = PAGE - PieceCipher::TAG;

/// Bytes of the table that are sealed together.
const PIECE: usize = 1 << 20;

/// Pages, and bytes of the table.
const FOOT_ROOM: usize = 16;
const FOOT: usize = FOOT_ROOM + PieceCipher::TAG;

const HEAD: usize = MAGIC.len() + PieceCipher::SALT;

/// Sections of a file, told apart by the cipher.
const PAGES: u32 = 0;
const TABLE: u32 = 1;
const FOOT_SECTION: u32 = 2;

fn invalid(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

fn refused(error: crypto::Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error.to_string())
}

fn cipher(
    format: &RepositoryFormat,
    salt: &[u8; PieceCipher::SALT],
    purpose: &'static str,
) -> io::Result<PieceCipher> {
    PieceCipher::new(format.derivation_secret(), format.unique_id(), salt, purpose).map_err(refused)
}

/// Writes a sealed file from its beginning to its end.
pub(crate) struct SealedWriter<W> {
    out: W,
    cipher: PieceCipher,
    pages: u64,
    buffer: Vec<u8>,
}

impl<W: Write> SealedWriter<W> {
    /// Begins a file of this purpose, which only this repository opens.
    pub(crate) fn begin(mut out: W, format: &RepositoryFormat, purpose: &'static str) -> io::Result<Self> {
        let salt = PieceCipher::new_salt().map_err(refused)?;
        out.write_all(MAGIC)?;
        out.write_all(&salt)?;
        let cipher = cipher(format, &salt, purpose)?;
        Ok(Self { out, cipher, pages: 0, buffer: Vec::with_capacity(PAGE) })
    }

    fn piece(&mut self, section: u32, number: u64) -> io::Result<()> {
        self.cipher.seal(section, number, &mut self.buffer).map_err(refused)?;
        self.out.write_all(&self.buffer)
    }

    /// Adds a page of at most [`PAGE_ROOM`] bytes; returns its number.
    pub(crate) fn page(&mut self, bytes: &[u8]) -> io::Result<u64> {
        self.buffer.clear();
        self.buffer.extend_from_slice(bytes.get(..PAGE_ROOM).unwrap_or(bytes));
        self.buffer.resize(PAGE_ROOM, 0);
        let number = self.pages;
        self.piece(PAGES, number)?;
        self.pages += 1;
        Ok(number)
    }

    /// Ends the file.
    pub(crate) fn finish(mut self, table: &[u8]) -> io::Result<()> {
        for (number, part) in (0..).zip(table.chunks(PIECE)) {
            self.buffer.clear();
            self.buffer.extend_from_slice(part);
            self.piece(TABLE, number)?;
        }
        self.buffer.clear();
        self.buffer.extend_from_slice(&self.pages.to_be_bytes());
        self.buffer.extend_from_slice(&(table.len() as u64).to_be_bytes());
        self.piece(FOOT_SECTION, 0)?;
        self.out.flush()
    }
}

/// Where the bytes of a sealed file are.
pub(crate) enum Backing {
    File(File),
    Memory(Vec<u8>),
}

impl Backing {
    fn length(&self) -> io::Result<u64> {
        match self {
            Self::File(file) => Ok(file.metadata()?.len()),
            Self::Memory(bytes) => Ok(bytes.len() as u64),
        }
    }

    fn read(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        match self {
            Self::File(file) => file.read_exact_at(buffer, offset),
            Self::Memory(bytes) => {
                let part =
                    usize::try_from(offset).ok().and_then(|from| bytes.get(from..)?.get(..buffer.len()));
                buffer.copy_from_slice(part.ok_or(io::ErrorKind::UnexpectedEof)?);
                Ok(())
            }
        }
    }
}

/// A sealed file that was opened: its table is right, and each page is checked when it is read.
pub(crate) struct Sealed {
    backing: Backing,
    cipher: PieceCipher,
    pages: u64,
}

impl Sealed {
    /// Opens a file and reads its table of at most `limit` bytes.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidData`] for what is not a file of this purpose and repository, complete and unchanged.
    pub(crate) fn open(
        backing: Backing,
        format: &RepositoryFormat,
        purpose: &'static str,
        limit: u64,
    ) -> io::Result<(Self, Vec<u8>)> {
        let length = backing.length()?;
        let foot_at = length.checked_sub(FOOT as u64).filter(|at| *at >= HEAD as u64);
        let foot_at = foot_at.ok_or_else(|| invalid("it is too short"))?;
        let mut head = [0; HEAD];
        backing.read(0, &mut head)?;
        let salt = head.strip_prefix(MAGIC).and_then(|salt| salt.try_into().ok());
        let cipher = cipher(format, salt.ok_or_else(|| invalid("it is of another version"))?, purpose)?;
        let mut foot = [0; FOOT];
        backing.read(foot_at, &mut foot)?;
        let foot = cipher.open(FOOT_SECTION, 0, &mut foot).map_err(refused)?;
        let (pages, table) = foot.split_at_checked(FOOT_ROOM / 2).unwrap_or_default();
        let number = |bytes: &[u8]| bytes.try_into().map_or(0, u64::from_be_bytes);
        let (pages, table) = (number(pages), number(table));
        if table > limit {
            return Err(io::Error::new(io::ErrorKind::OutOfMemory, "its table does not fit into memory"));
        }
        let table_at = pages.checked_mul(PAGE as u64).and_then(|bytes| bytes.checked_add(HEAD as u64));
        let tags = table.div_ceil(PIECE as u64) * PieceCipher::TAG as u64;
        if table_at.and_then(|at| at.checked_add(table + tags)) != Some(foot_at) {
            return Err(invalid("it is not as long as it says"));
        }
        let mut at = table_at.unwrap_or_default();
        let mut bytes = Vec::with_capacity(usize::try_from(table).unwrap_or_default());
        let mut piece = vec![0; PIECE + PieceCipher::TAG];
        for number in 0..table.div_ceil(PIECE as u64) {
            let room = usize::try_from((foot_at - at).min(piece.len() as u64)).unwrap_or(0);
            let sealed = piece.get_mut(..room).unwrap_or_default();
            backing.read(at, sealed)?;
            bytes.extend_from_slice(cipher.open(TABLE, number, sealed).map_err(refused)?);
            at += room as u64;
        }
        Ok((Self { backing, cipher, pages }, bytes))
    }

    /// Number of pages.
    pub(crate) fn pages(&self) -> u64 {
        self.pages
    }

    /// Reads a page.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidData`] when it is not what was written there.
    pub(crate) fn page(&self, number: u64) -> io::Result<Vec<u8>> {
        if number >= self.pages {
            return Err(invalid("it has no such page"));
        }
        let mut page = vec![0; PAGE];
        self.backing.read(HEAD as u64 + number * PAGE as u64, &mut page)?;
        self.cipher.open(PAGES, number, &mut page).map_err(refused)?;
        page.truncate(PAGE_ROOM);
        Ok(page)
    }
}

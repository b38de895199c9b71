//! The procedures of NFS version 3 (RFC 1813) that read. All that write are refused: the file system is read-only.

use std::sync::Arc;

use super::rpc::{Caller, Refusal};
use super::xdr::{Reader, Writer};
use super::{Export, LONGEST_READ};
use crate::snapshot::UtcTimestamp;
use crate::vfs::{Attributes, Error, Handle, Kind};

pub(super) const PROGRAM: u32 = 100_003;
pub(super) const VERSION: u32 = 3;

const LONGEST_HANDLE: usize = 64;
const LONGEST_NAME: usize = 1024;

/// Bytes of attributes in a list, with their mark.
const ATTRIBUTES: usize = 88;

/// Size that directories show.
const DIRECTORY_SIZE: u64 = 4096;

/// What went wrong, as the protocol numbers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Status(u32);

impl Status {
    const NO_ENTRY: Self = Self(2);
    const IO: Self = Self(5);
    const ACCESS: Self = Self(13);
    const NOT_A_DIRECTORY: Self = Self(20);
    const IS_A_DIRECTORY: Self = Self(21);
    const INVALID: Self = Self(22);
    const READ_ONLY: Self = Self(30);
    const STALE: Self = Self(70);
    const BAD_HANDLE: Self = Self(10_001);
    const BAD_COOKIE: Self = Self(10_003);
    const TOO_SMALL: Self = Self(10_005);
}

/// What may be done to a node.
#[derive(Debug, Clone, Copy)]
enum Right {
    Read,
    /// To look up names in a directory, or to run a file.
    Execute,
}

/// Answers a call.
pub(super) fn answer(
    export: &Export,
    procedure: u32,
    caller: &Caller,
    arguments: &mut Reader<'_>,
    reply: &mut Writer,
) -> Result<(), Refusal> {
    let session = Session { export, caller };
    let done = match procedure {
        0 => Some(()),
        1 => session.attributes(arguments, reply),
        3 => session.lookup(arguments, reply),
        4 => session.access(arguments, reply),
        5 => session.read_link(arguments, reply),
        6 => session.read(arguments, reply),
        16 => session.read_directory(arguments, reply, false),
        17 => session.read_directory(arguments, reply, true),
        18 => session.fs_stat(arguments, reply),
        19 => session.fs_info(arguments, reply),
        20 => session.path_conf(arguments, reply),
        // What writes, with nothing said of the nodes concerned: RENAME has two directories, LINK a file and a directory.
        2 | 7..=13 | 21 => refused(reply, 2),
        14 => refused(reply, 4),
        15 => refused(reply, 3),
        _ => return Err(Refusal::UnknownProcedure),
    };
    done.ok_or(Refusal::Garbage)
}

fn refused(reply: &mut Writer, marks: u32) -> Option<()> {
    reply.u32(Status::READ_ONLY.0);
    (0..marks).for_each(|_| {
        reply.yes(false);
    });
    Some(())
}

/// One call of a client.
struct Session<'a> {
    export: &'a Export,
    caller: &'a Caller,
}

/// `None` where the arguments make no sense; each writes its reply, whether it has a result or not.
impl Session<'_> {
    fn handle(&self, arguments: &mut Reader<'_>) -> Option<Result<Handle, Status>> {
        let bytes = arguments.opaque(LONGEST_HANDLE)?;
        Some(Handle::from_bytes(bytes, &self.export.key).ok_or(Status::BAD_HANDLE))
    }

    fn status(&self, handle: Option<&Handle>, error: &Error) -> Status {
        match error {
            Error::NotFound => Status::NO_ENTRY,
            Error::Stale { .. } => Status::STALE,
            Error::NotADirectory => Status::NOT_A_DIRECTORY,
            Error::NotAFile => Status::IS_A_DIRECTORY,
            Error::NotALink => Status::INVALID,
            error => {
                tracing::warn!(inode = handle.map(Handle::inode), "cannot be read: {error}");
                Status::IO
            }
        }
    }

    fn found(&self, handle: Result<Handle, Status>) -> Result<(Handle, Attributes), Status> {
        let handle = handle?;
        let found = self.export.vfs.attributes_of(&handle);
        Ok((handle, self.export.owned(found.map_err(|error| self.status(Some(&handle), &error))?)))
    }

    /// The same of what may be used so.
    fn permitted(
        &self,
        handle: Result<Handle, Status>,
        right: Right,
    ) -> Result<(Handle, Attributes), Status> {
        let (handle, found) = self.found(handle)?;
        if may(self.caller, &found, right) { Ok((handle, found)) } else { Err(Status::ACCESS) }
    }

    fn attributes(&self, arguments: &mut Reader<'_>, reply: &mut Writer) -> Option<()> {
        match self.found(self.handle(arguments)?) {
            Ok((_, found)) => self.write_attributes(&found, reply.u32(0)),
            Err(status) => {
                reply.u32(status.0);
            }
        }
        Some(())
    }

    fn lookup(&self, arguments: &mut Reader<'_>, reply: &mut Writer) -> Option<()> {
        let (handle, name) = (self.handle(arguments)?, arguments.opaque(LONGEST_NAME)?);
        let directory = self.permitted(handle, Right::Execute);
        let child = directory.and_then(|(directory, own)| {
            if name == b"." {
                return Ok((directory, own));
            }
            // No entry has a name that is not UTF-8.
            let name = std::str::from_utf8(name).map_err(|_| Status::NO_ENTRY)?;
            let child = self.export.vfs.child_of(&directory, name);
            let (child, found) = child.map_err(|error| self.status(Some(&directory), &error))?;
            Ok((child, self.export.owned(found)))
        });
        match child.and_then(|(child, found)| Ok((self.bytes(&child)?, found))) {
            Ok((bytes, found)) => {
                reply.u32(0).opaque(&bytes);
                self.write_optional(Some(&found), reply);
            }
            Err(status) => {
                reply.u32(status.0);
            }
        }
        self.write_optional(directory.ok().as_ref().map(|(_, own)| own), reply);
        Some(())
    }

    fn access(&self, arguments: &mut Reader<'_>, reply: &mut Writer) -> Option<()> {
        const READ: u32 = 1;
        const LOOKUP: u32 = 2;
        const EXECUTE: u32 = 32;
        let (handle, wanted) = (self.handle(arguments)?, arguments.u32()?);
        match self.found(handle) {
            Ok((_, found)) => {
                let mut granted = 0;
                if may(self.caller, &found, Right::Read) {
                    granted |= READ;
                }
                if may(self.caller, &found, Right::Execute) {
                    granted |= if found.kind == Kind::Directory { LOOKUP } else { EXECUTE };
                }
                self.write_optional(Some(&found), reply.u32(0));
                reply.u32(granted & wanted);
            }
            Err(status) => self.fail(status, reply),
        }
        Some(())
    }

    fn read_link(&self, arguments: &mut Reader<'_>, reply: &mut Writer) -> Option<()> {
        let found = self.found(self.handle(arguments)?);
        let target = found.and_then(|(handle, found)| {
            let target = self.export.vfs.link_target_of(&handle);
            Ok((target.map_err(|error| self.status(Some(&handle), &error))?, found))
        });
        match target {
            Ok((target, found)) => {
                self.write_optional(Some(&found), reply.u32(0));
                reply.opaque(&target);
            }
            Err(status) => self.fail(status, reply),
        }
        Some(())
    }

    fn read(&self, arguments: &mut Reader<'_>, reply: &mut Writer) -> Option<()> {
        let (handle, offset, count) = (self.handle(arguments)?, arguments.u64()?, arguments.u32()?);
        let data = self.permitted(handle, Right::Read).and_then(|(handle, found)| {
            let opened = self.export.files.open(&self.export.vfs, &handle);
            let data = opened.and_then(|file| file.read_at(offset, count.min(LONGEST_READ) as usize));
            Ok((data.map_err(|error| self.status(Some(&handle), &error))?, found))
        });
        match data {
            Ok((data, found)) => {
                let end = offset.saturating_add(data.len() as u64);
                self.write_optional(Some(&found), reply.u32(0));
                let ended = data.len() < count.min(LONGEST_READ) as usize || end >= found.size;
                reply.u32(u32::try_from(data.len()).unwrap_or(u32::MAX)).yes(ended).opaque(&data);
            }
            Err(status) => self.fail(status, reply),
        }
        Some(())
    }

    /// READDIR, and READDIRPLUS with handles and attributes. A cookie is a position, after the two dots.
    fn read_directory(&self, arguments: &mut Reader<'_>, reply: &mut Writer, plus: bool) -> Option<()> {
        let (handle, cookie, verifier) = (self.handle(arguments)?, arguments.u64()?, arguments.u64()?);
        // The first of READDIRPLUS counts names alone.
        let mut most = arguments.u32()?;
        if plus {
            most = arguments.u32()?;
        }
        let listed = self.permitted(handle, Right::Read).and_then(|(handle, own)| {
            let listing = self.export.vfs.listing_of(&handle);
            Ok((handle, own, listing.map_err(|error| self.status(Some(&handle), &error))?))
        });
        let (handle, own, listing) = match listed {
            Ok(listed) => listed,
            Err(status) => {
                self.fail(status, reply);
                return Some(());
            }
        };
        // What is in a snapshot never changes, so that positions stay good.
        let version = if listing.changes() { listing.count() as u64 } else { 0 };
        if cookie > 0 && verifier != version {
            self.fail(Status::BAD_COOKIE, reply);
            return Some(());
        }
        let room = most.min(LONGEST_READ) as usize;
        let mut list = Writer::default();
        self.write_optional(Some(&own), list.u32(0));
        list.u64(version);
        let mut position = cookie;
        let mut wrote = false;
        loop {
            let begin = list.0.len();
            let Some(after) = position.checked_add(1) else { break };
            let written = match usize::try_from(position) {
                Ok(0) => self.write_entry(".", after, &handle, &own, plus, &mut list),
                Ok(1) => {
                    let up = list.yes(true).u64(handle.parent()).opaque(b"..").u64(after);
                    // Neither attributes nor a handle: who wants them looks it up.
                    if plus {
                        up.yes(false).yes(false);
                    }
                    Ok(())
                }
                Ok(at) => match listing.get(at - 2).zip(listing.name(at - 2)) {
                    None => break,
                    Some(((child, found), name)) => {
                        let found = self.export.owned(found);
                        self.write_entry(name, after, &child, &found, plus, &mut list)
                    }
                },
                Err(_) => break,
            };
            if let Err(status) = written {
                self.fail(status, reply);
                return Some(());
            }
            // The end of the list takes two marks more.
            if list.0.len() + 8 > room {
                list.0.truncate(begin);
                if !wrote {
                    self.fail(Status::TOO_SMALL, reply);
                    return Some(());
                }
                reply.0.extend_from_slice(list.yes(false).yes(false).0.as_slice());
                return Some(());
            }
            wrote = true;
            position = after;
        }
        reply.0.extend_from_slice(list.yes(false).yes(true).0.as_slice());
        Some(())
    }

    fn write_entry(
        &self,
        name: &str,
        cookie: u64,
        handle: &Handle,
        found: &Attributes,
        plus: bool,
        list: &mut Writer,
    ) -> Result<(), Status> {
        list.yes(true).u64(found.inode).opaque(name.as_bytes()).u64(cookie);
        if plus {
            list.0.reserve(ATTRIBUTES);
            self.write_optional(Some(found), list);
            list.yes(true).opaque(&self.bytes(handle)?);
        }
        Ok(())
    }

    fn fs_stat(&self, arguments: &mut Reader<'_>, reply: &mut Writer) -> Option<()> {
        match self.found(self.handle(arguments)?) {
            Ok((_, found)) => {
                self.write_optional(Some(&found), reply.u32(0));
                // Bytes in all, free and available, and files likewise: there is no room in what is read-only.
                (0..6).for_each(|_| {
                    reply.u64(0);
                });
                reply.u32(0);
            }
            Err(status) => self.fail(status, reply),
        }
        Some(())
    }

    fn fs_info(&self, arguments: &mut Reader<'_>, reply: &mut Writer) -> Option<()> {
        const LINKS: u32 = 2;
        const HOMOGENEOUS: u32 = 8;
        match self.found(self.handle(arguments)?) {
            Ok((_, found)) => {
                self.write_optional(Some(&found), reply.u32(0));
                // Reads and writes: the most, what is best, and its multiple; then directories.
                reply.u32(LONGEST_READ).u32(LONGEST_READ).u32(4096);
                reply.u32(LONGEST_READ).u32(LONGEST_READ).u32(4096).u32(LONGEST_READ);
                // The longest file, times to the nanosecond, and what there is.
                reply.u64(i64::MAX.unsigned_abs()).u32(0).u32(1).u32(LINKS | HOMOGENEOUS);
            }
            Err(status) => self.fail(status, reply),
        }
        Some(())
    }

    fn path_conf(&self, arguments: &mut Reader<'_>, reply: &mut Writer) -> Option<()> {
        match self.found(self.handle(arguments)?) {
            Ok((_, found)) => {
                self.write_optional(Some(&found), reply.u32(0));
                reply.u32(1).u32(LONGEST_NAME as u32).yes(true).yes(true).yes(false).yes(true);
            }
            Err(status) => self.fail(status, reply),
        }
        Some(())
    }

    /// A status, and no attributes.
    fn fail(&self, status: Status, reply: &mut Writer) {
        reply.u32(status.0).yes(false);
    }

    fn bytes(&self, handle: &Handle) -> Result<Vec<u8>, Status> {
        handle.to_bytes(&self.export.key).ok_or(Status::IO)
    }

    fn write_optional(&self, found: Option<&Attributes>, reply: &mut Writer) {
        reply.yes(found.is_some());
        if let Some(found) = found {
            self.write_attributes(found, reply);
        }
    }

    fn write_attributes(&self, found: &Attributes, reply: &mut Writer) {
        let (kind, links, size) = match found.kind {
            Kind::File => (1, 1, found.size),
            Kind::Directory => (2, 2, DIRECTORY_SIZE),
            Kind::Link => (5, 1, found.size),
        };
        reply.u32(kind).u32(found.mode & 0o7777).u32(links).u32(found.uid).u32(found.gid);
        reply.u64(size).u64(size).u32(0).u32(0).u64(self.export.id).u64(found.inode);
        (0..3).for_each(|_| write_time(found.mtime, reply));
    }
}

/// The protocol has times from 1970 to 2106; others become the nearest of these.
fn write_time(time: UtcTimestamp, reply: &mut Writer) {
    let nanos = time.as_nanos();
    let (seconds, rest) = (nanos.div_euclid(1_000_000_000), nanos.rem_euclid(1_000_000_000));
    let (seconds, rest) = match u32::try_from(seconds) {
        Ok(seconds) => (seconds, u32::try_from(rest).unwrap_or(0)),
        Err(_) if seconds < 0 => (0, 0),
        Err(_) => (u32::MAX, 0),
    };
    reply.u32(seconds).u32(rest);
}

/// Whether the mode lets the caller do this. The owner may read what is theirs, as on other servers; root may do all.
fn may(caller: &Caller, found: &Attributes, right: Right) -> bool {
    let bits = match right {
        Right::Read => 0o4,
        Right::Execute => 0o1,
    };
    let class = if caller.uid == found.uid {
        6
    } else if caller.gid == found.gid || caller.groups.contains(&found.gid) {
        3
    } else {
        0
    };
    caller.uid == 0 || found.mode >> class & bits != 0
}

/// The files that were read last, open.
pub(super) struct Files(quick_cache::sync::Cache<Handle, Arc<crate::vfs::File>, Tables>);

#[derive(Clone)]
struct Tables;

impl quick_cache::Weighter<Handle, Arc<crate::vfs::File>> for Tables {
    fn weight(&self, _: &Handle, file: &Arc<crate::vfs::File>) -> u64 {
        file.memory()
    }
}

impl Files {
    pub(super) fn new(memory: u64) -> Self {
        Self(quick_cache::sync::Cache::with_weighter(256, memory, Tables))
    }

    fn open(&self, vfs: &crate::vfs::Vfs, handle: &Handle) -> Result<Arc<crate::vfs::File>, Error> {
        let open = || vfs.open_file(handle).map(Arc::new);
        if handle.is_fixed() { self.0.get_or_insert_with(handle, open) } else { open() }
    }
}

//! The mount protocol (RFC 1813, appendix I): from a path to the first handle.

use super::Export;
use super::rpc::Refusal;
use super::xdr::{Reader, Writer};
use crate::vfs::{self, Handle, Kind};

pub(super) const PROGRAM: u32 = 100_005;
pub(super) const VERSION: u32 = 3;

const LONGEST_PATH: usize = 1024;

const NO_ENTRY: u32 = 2;
const IO: u32 = 5;
const NOT_A_DIRECTORY: u32 = 20;

/// Who may say who they are, and who say nothing.
const FLAVORS: [u32; 2] = [1, 0];

/// Answers a call.
pub(super) fn answer(
    export: &Export,
    procedure: u32,
    arguments: &mut Reader<'_>,
    reply: &mut Writer,
) -> Result<(), Refusal> {
    match procedure {
        // NULL, UMNT and UMNTALL: nothing is remembered of those who mounted.
        0 | 3 | 4 => {}
        1 => {
            let path = arguments.text(LONGEST_PATH).ok_or(Refusal::Garbage)?;
            let found = find(export, path);
            match found.and_then(|handle| handle.to_bytes(&export.key).ok_or(IO)) {
                Ok(handle) => {
                    reply.u32(0).opaque(&handle).u32(FLAVORS.len() as u32);
                    FLAVORS.iter().for_each(|flavor| {
                        reply.u32(*flavor);
                    });
                }
                Err(status) => {
                    reply.u32(status);
                }
            }
        }
        // DUMP: the list of those who mounted is empty.
        2 => {
            reply.yes(false);
        }
        // EXPORT: the root, without groups.
        5 => {
            reply.yes(true).opaque(b"/").yes(false).yes(false);
        }
        _ => return Err(Refusal::UnknownProcedure),
    }
    Ok(())
}

fn find(export: &Export, path: &str) -> Result<Handle, u32> {
    let mut at = Handle::ROOT;
    for name in path.split('/').filter(|name| !name.is_empty()) {
        let child = export.vfs.child_of(&at, name);
        let (handle, attributes) = child.map_err(|error| match error {
            vfs::Error::NotFound => NO_ENTRY,
            vfs::Error::NotADirectory => NOT_A_DIRECTORY,
            error => {
                tracing::warn!("mounting {path}: {error}");
                IO
            }
        })?;
        if attributes.kind != Kind::Directory {
            return Err(NOT_A_DIRECTORY);
        }
        at = handle;
    }
    Ok(at)
}

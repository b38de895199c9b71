//! An entry of a tree as a line, for `ls` and `find`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

use super::output::{escape, escape_bytes};
use super::tree::Troubles;
use super::units::{human_size, table_time};
use crate::snapshot::{DirEntry, EntryType, Tree, UtcTimestamp};
use crate::text::permissions;

/// An entry and its path, as JSON shows them.
#[derive(Debug, Serialize)]
pub(super) struct Line<'a> {
    path: &'a str,
    #[serde(flatten)]
    attributes: Attributes,
}

/// What JSON shows of an entry. The mode is that of POSIX, in octal.
#[derive(Debug, Serialize)]
pub(super) struct Attributes {
    /// Where an entry of the same directory has the same name, and the path has one that tells them apart.
    #[serde(skip_serializing_if = "Option::is_none")]
    stored_name: Option<Box<str>>,
    #[serde(rename = "type")]
    kind: EntryType,
    mode: String,
    size: u64,
    mtime: UtcTimestamp,
    uid: u32,
    gid: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    object: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<String>,
    /// Where the target is not UTF-8 and `target` therefore not exact.
    #[serde(skip_serializing_if = "Option::is_none")]
    target_base64: Option<String>,
    #[serde(skip)]
    posix_mode: u32,
    #[serde(skip)]
    shown_target: Option<String>,
}

impl<'a> Line<'a> {
    /// Describes an entry; the target of a symlink has to be read.
    pub(super) fn new(
        tree: &Tree<'_>,
        path: &'a str,
        entry: &DirEntry,
        with_target: bool,
        troubles: &mut Troubles,
    ) -> Self {
        Self { path, attributes: Attributes::new(tree, path, entry, with_target, troubles) }
    }
}

impl Attributes {
    /// Describes an entry; the target of a symlink has to be read.
    pub(super) fn new(
        tree: &Tree<'_>,
        path: &str,
        entry: &DirEntry,
        with_target: bool,
        troubles: &mut Troubles,
    ) -> Self {
        let posix_mode = entry.mode.to_posix();
        let mut attributes = Self {
            stored_name: entry.stored_name.clone(),
            kind: entry.kind,
            mode: format!("{posix_mode:04o}"),
            posix_mode,
            size: u64::try_from(entry.kopia_size_and_mtime().0).unwrap_or(0),
            mtime: entry.mtime,
            uid: entry.uid,
            gid: entry.gid,
            object: entry.object.as_ref().map(ToString::to_string),
            target: None,
            target_base64: None,
            shown_target: None,
        };
        if entry.kind == EntryType::Symlink && with_target {
            match tree.link_target(entry, path) {
                Ok(bytes) => {
                    attributes.target_base64 =
                        std::str::from_utf8(&bytes).is_err().then(|| STANDARD.encode(&bytes));
                    attributes.shown_target = Some(escape_bytes(&bytes));
                    attributes.target = Some(String::from_utf8_lossy(&bytes).into_owned());
                }
                Err(error) => troubles.add(&error),
            }
        }
        attributes
    }
}

/// The path, with a slash after directories.
pub(super) fn short(path: &str, kind: EntryType) -> String {
    let slash = if kind == EntryType::Directory { "/" } else { "" };
    format!("{}{slash}", escape(path))
}

impl Line<'_> {
    /// The path, with a slash after directories.
    pub(super) fn short(&self) -> String {
        short(self.path, self.attributes.kind)
    }

    /// Mode, owner, size, time and path.
    pub(super) fn long(&self) -> String {
        let Attributes { kind, uid, gid, size, mtime, shown_target, .. } = &self.attributes;
        let arrow = shown_target.as_ref().map_or_else(String::new, |target| format!(" -> {target}"));
        format!(
            "{}{} {uid:>5}:{gid:<5} {:>10} {} {}{arrow}",
            match kind {
                EntryType::Directory => 'd',
                EntryType::Symlink => 'l',
                EntryType::File => '-',
                EntryType::Unknown => '?',
            },
            permissions(self.attributes.posix_mode),
            human_size(*size),
            table_time(*mtime),
            self.short(),
        )
    }
}

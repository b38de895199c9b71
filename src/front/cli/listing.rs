//! An entry of a tree as a line, for `ls` and `find`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

use super::output::{escape, escape_bytes};
use super::tree::Troubles;
use super::units::{human_size, table_time};
use crate::snapshot::{DirEntry, EntryType, Tree, UtcTimestamp};

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

/// `rwxr-sr-x`.
fn permissions(mode: u32) -> String {
    let special = [(0o4000, 0o100, 's'), (0o2000, 0o010, 's'), (0o1000, 0o001, 't')];
    let mut text: Vec<char> = (0..9)
        .map(|bit| {
            if mode & (0o400 >> bit) == 0 {
                '-'
            } else {
                ['r', 'w', 'x'].get(bit % 3).copied().unwrap_or('-')
            }
        })
        .collect();
    for (position, (bit, execute, letter)) in [2, 5, 8].into_iter().zip(special) {
        if mode & bit != 0
            && let Some(place) = text.get_mut(position)
        {
            *place = if mode & execute == 0 { letter.to_ascii_uppercase() } else { letter };
        }
    }
    text.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::permissions;

    #[test]
    fn modes_look_as_in_ls() {
        for (mode, text) in [
            (0o644, "rw-r--r--"),
            (0o4755, "rwsr-xr-x"),
            (0o2644, "rw-r-Sr--"),
            (0o1777, "rwxrwxrwt"),
            (0, "---------"),
        ] {
            assert_eq!(permissions(mode), text);
        }
    }
}

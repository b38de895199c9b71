//! An entry of a tree as a line, for `ls` and `find`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

use super::output::{escape, escape_bytes};
use super::tree::Troubles;
use super::units::{human_size, human_time};
use crate::snapshot::{DirEntry, EntryType, Tree, UtcTimestamp};

/// An entry, as JSON shows it. The mode is that of POSIX, in octal.
#[derive(Debug, Serialize)]
pub(super) struct Line<'a> {
    pub(super) path: &'a str,
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
        let mut line = Self {
            path,
            kind: entry.kind,
            mode: format!("{:04o}", entry.mode.to_posix()),
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
                    line.target_base64 =
                        std::str::from_utf8(&bytes).is_err().then(|| STANDARD.encode(&bytes));
                    line.shown_target = Some(escape_bytes(&bytes));
                    line.target = Some(String::from_utf8_lossy(&bytes).into_owned());
                }
                Err(error) => troubles.add(&error),
            }
        }
        line
    }
}

/// The path, with a slash after directories.
pub(super) fn short(line: &Line<'_>) -> String {
    let slash = if line.kind == EntryType::Directory { "/" } else { "" };
    format!("{}{slash}", escape(line.path))
}

/// Mode, owner, size, time and path.
pub(super) fn long(line: &Line<'_>) -> String {
    let arrow = line.shown_target.as_ref().map_or_else(String::new, |target| format!(" -> {target}"));
    format!(
        "{}{} {:>5}:{:<5} {:>10} {} {}{arrow}",
        match line.kind {
            EntryType::Directory => 'd',
            EntryType::Symlink => 'l',
            EntryType::File => '-',
            EntryType::Unknown => '?',
        },
        permissions(u32::from_str_radix(&line.mode, 8).unwrap_or(0)),
        line.uid,
        line.gid,
        human_size(line.size),
        human_time(line.mtime),
        short(line),
    )
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

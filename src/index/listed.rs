//! An entry as `kopia content list --json` shows it.

use serde::Serialize;

use super::Entry;

/// Kopia's keys in Kopia's order; some are left out when they are zero.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ListedEntry<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    pack_file: &'a str,
    time: u64,
    original_length: u32,
    length: u32,
    #[serde(skip_serializing_if = "is_zero")]
    pack_offset: u32,
    #[serde(skip_serializing_if = "is_zero")]
    compression: u32,
    #[serde(rename = "contentID")]
    content_id: String,
    deleted: bool,
    format_version: u8,
    #[serde(rename = "encryptionKeyID", skip_serializing_if = "is_zero")]
    encryption_key_id: u8,
}

fn is_zero<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl Entry {
    /// The entry for a list, with the name of its pack.
    pub fn listed<'a>(&self, pack: &'a str) -> ListedEntry<'a> {
        ListedEntry {
            pack_file: pack,
            time: self.time,
            original_length: self.original_length,
            length: self.packed_length,
            pack_offset: self.offset,
            compression: self.compression,
            content_id: self.id.to_string(),
            deleted: self.deleted,
            format_version: self.format_version,
            encryption_key_id: self.key_id,
        }
    }
}

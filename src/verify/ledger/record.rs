//! The lines of a ledger: a CRC-32 in hexadecimal, a blank, JSON.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::verify::options::Level;

/// Version of the form of ledgers.
pub(super) const FORMAT: u32 = 1;

const CRC_DIGITS: usize = 8;

/// What one line says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub(super) enum Record {
    /// The first line: what the file is, and of which repository it speaks.
    Ledger { format: u32, repository: String },
    /// A pack was read from end to end.
    Pack(Proof),
    /// A run came to its end and saw these snapshots.
    #[serde(rename = "seen")]
    Snapshots(SnapshotRecord),
}

/// That a pack was read, and what came out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::verify) struct Proof {
    pub(in crate::verify) pack: Box<str>,
    /// Size and modification time (Unix nanoseconds) by the listing: another pack under the name is not this one.
    pub(in crate::verify) size: u64,
    pub(in crate::verify) mtime: Option<i64>,
    pub(in crate::verify) level: Level,
    /// When it was read, and when the run that read it began, in Unix seconds.
    pub(in crate::verify) time: i64,
    pub(in crate::verify) run: i64,
    /// How many contents were read, their stored bytes, and a digest of which they were and where.
    pub(in crate::verify) contents: u64,
    pub(in crate::verify) bytes: u64,
    pub(in crate::verify) digest: Box<str>,
    /// Contents that are no good; the pack is good where there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(in crate::verify) damaged: Vec<DamagedContent>,
}

/// A content that is no good.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::verify) struct DamagedContent {
    pub(in crate::verify) content: Box<str>,
    pub(in crate::verify) code: Box<str>,
    #[serde(default, skip_serializing_if = "str::is_empty")]
    pub(in crate::verify) detail: Box<str>,
}

/// Snapshots as a run saw them, by source.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(in crate::verify) struct SnapshotRecord {
    pub(in crate::verify) time: i64,
    pub(in crate::verify) sources: BTreeMap<String, SourceRecord>,
}

/// Snapshots of one source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::verify) struct SourceRecord {
    pub(in crate::verify) snapshots: u64,
    /// ID and start time of the newest.
    pub(in crate::verify) newest: String,
    pub(in crate::verify) time: i64,
}

impl Proof {
    /// Whether nothing was wrong.
    pub(in crate::verify) fn is_good(&self) -> bool {
        self.damaged.is_empty()
    }

    /// Whether this record makes an earlier one of the same pack obsolete. One that looked less closely does not tell
    /// that what was found is gone.
    pub(super) fn replaces(&self, earlier: &Self) -> bool {
        !self.is_good() || self.level >= earlier.level
    }
}

impl Record {
    /// The line that says this, with its end.
    pub(super) fn to_line(&self) -> Result<Vec<u8>, serde_json::Error> {
        let json = serde_json::to_string(self)?;
        Ok(format!("{:0width$x} {json}\n", crc32fast::hash(json.as_bytes()), width = CRC_DIGITS).into_bytes())
    }

    /// Reads a line without its end.
    pub(super) fn parse(line: &str) -> Option<Self> {
        let (crc, json) = line.split_at_checked(CRC_DIGITS)?;
        let json = json.strip_prefix(' ')?;
        let sound = u32::from_str_radix(crc, 16).ok()? == crc32fast::hash(json.as_bytes());
        sound.then(|| serde_json::from_str(json).ok())?
    }
}

#[cfg(test)]
pub(in crate::verify) mod tests {
    use super::*;

    pub(in crate::verify) fn proof(pack: &str, level: Level, time: i64) -> Proof {
        Proof {
            pack: pack.into(),
            size: 1000,
            mtime: Some(5),
            level,
            time,
            run: time,
            contents: 3,
            bytes: 900,
            digest: "d".into(),
            damaged: Vec::new(),
        }
    }

    pub(in crate::verify) fn damaged(proof: Proof) -> Proof {
        let bad = DamagedContent { content: "00".into(), code: "content-damaged".into(), detail: "".into() };
        Proof { damaged: vec![bad], ..proof }
    }

    #[test]
    fn every_change_of_a_line_is_noticed() {
        let record = Record::Pack(damaged(proof("p1", Level::Hash, 7)));
        let line = record.to_line().unwrap();
        let line = line.strip_suffix(b"\n").unwrap();
        assert_eq!(Record::parse(std::str::from_utf8(line).unwrap()), Some(record));
        for length in 0..line.len() {
            assert_eq!(Record::parse(std::str::from_utf8(&line[..length]).unwrap()), None);
        }
        for bit in 0..line.len() * 8 {
            let mut changed = line.to_vec();
            changed[bit / 8] ^= 1 << (bit % 8);
            let Ok(text) = std::str::from_utf8(&changed) else { continue };
            // Capital hexadecimal digits mean the same.
            assert!(bit / 8 < CRC_DIGITS && bit % 8 == 5 || Record::parse(text).is_none(), "bit {bit}");
        }
    }

    #[test]
    fn a_closer_look_or_damage_replaces_what_was_known() {
        let (decrypt, hash) = (proof("p", Level::Decrypt, 2), proof("p", Level::Hash, 1));
        assert!(hash.replaces(&decrypt));
        assert!(!decrypt.replaces(&hash));
        assert!(damaged(decrypt.clone()).replaces(&hash));
        assert!(!decrypt.replaces(&damaged(hash.clone())));
        assert!(proof("p", Level::Hash, 9).replaces(&damaged(decrypt)));
    }
}

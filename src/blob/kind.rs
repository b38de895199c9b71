//! What a blob is, by its name (`format-spec/01-blobs.md`).

use super::{BlobId, BlobMetadata, BlobStore, Error};

/// The blob that an upgrade leaves for clients that do not know epochs: it has this many zeros for a hash.
const UPGRADE_NOTICE: &str =
    "n00000000000000000000000000000000-repository_unreadable_by_this_kopia_version_upgrade_required";

/// What a blob is, as far as its name tells.
///
/// Directories of repositories hold other files too: what a desktop, a NAS, a sync tool or an administrator left there.
/// Only a name of exactly the shape that Kopia gives is that of a blob; every other is [`Foreign`](Self::Foreign).
///
/// ```
/// use rokopia::blob::{BlobId, BlobKind};
/// let kind = |name| BlobId::new(name).unwrap().kind();
/// assert_eq!(kind("kopia.repository"), BlobKind::Format);
/// assert_eq!(kind("p2f09ebc80929c10afce9d8ad8ae3bed7-s8df48a5d3ea727bc147"), BlobKind::DataPack);
/// assert_eq!(kind("queue"), BlobKind::Foreign);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum BlobKind {
    /// `kopia.repository`: keys and settings.
    Format,
    /// `kopia.repository.backup.…`: the format blob as it was when an upgrade began.
    FormatBackup,
    /// `kopia.blobcfg`: settings of object locks.
    BlobConfig,
    /// `kopia.maintenance`: the schedule of maintenance.
    Maintenance,
    /// `p…`: a pack of file data.
    DataPack,
    /// `q…`: a pack of directories, manifests and chunk lists.
    MetadataPack,
    /// `n…`: an index blob of a repository without epochs.
    Index,
    /// `m…`: which index blobs were merged, in a repository without epochs.
    CompactionLog,
    /// `l…`: when old compaction logs are deleted.
    CleanupSchedule,
    /// `n000…-repository_unreadable…`: tells old clients that the repository was upgraded.
    UpgradeNotice,
    /// `xn…`: an index blob, as a client wrote it.
    EpochIndex,
    /// `xs…`: the merged index of one epoch.
    EpochCompaction,
    /// `xr…`: the merged index of several epochs.
    RangeCompaction,
    /// `xe…`: an epoch has begun.
    EpochMarker,
    /// `xw…`: the time up to which deleted entries no longer exist.
    DeletionWatermark,
    /// `s…`: a client is, or was, writing.
    Session,
    /// `_log_…`: the log of a client.
    Log,
    /// `z…`: left over from a test of the storage.
    StorageTest,
    /// No blob of Kopia's.
    Foreign,
}

impl BlobKind {
    /// What the names of this kind begin with. Names of other kinds, and foreign ones, can begin so too.
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::Format => "kopia.repository",
            Self::FormatBackup => "kopia.repository.backup.",
            Self::BlobConfig => "kopia.blobcfg",
            Self::Maintenance => "kopia.maintenance",
            Self::DataPack => "p",
            Self::MetadataPack => "q",
            Self::Index => "n",
            Self::CompactionLog => "m",
            Self::CleanupSchedule => "l",
            Self::UpgradeNotice => UPGRADE_NOTICE,
            Self::EpochIndex => "xn",
            Self::EpochCompaction => "xs",
            Self::RangeCompaction => "xr",
            Self::EpochMarker => "xe",
            Self::DeletionWatermark => "xw",
            Self::Session => "s",
            Self::Log => "_log_",
            Self::StorageTest => "z",
            Self::Foreign => "",
        }
    }

    /// Whether it holds contents.
    pub const fn is_pack(self) -> bool {
        matches!(self, Self::DataPack | Self::MetadataPack)
    }

    /// The index blobs of a repository with epochs.
    pub const EPOCH_INDEXES: [Self; 3] = [Self::EpochIndex, Self::EpochCompaction, Self::RangeCompaction];

    /// Whether it is an index blob of a repository with epochs.
    pub const fn is_epoch_index(self) -> bool {
        matches!(self, Self::EpochIndex | Self::EpochCompaction | Self::RangeCompaction)
    }

    /// Whether it is encrypted as a whole, under a key that comes from its own name.
    pub const fn is_sealed(self) -> bool {
        self.is_epoch_index()
            || matches!(
                self,
                Self::Index | Self::CompactionLog | Self::CleanupSchedule | Self::Session | Self::Log
            )
    }

    /// Whether an answer, a list or a restore can depend on it being listed. The format blob is read by its name.
    pub const fn is_listed_for_answers(self) -> bool {
        match self {
            Self::DataPack
            | Self::MetadataPack
            | Self::Index
            | Self::CompactionLog
            | Self::UpgradeNotice
            | Self::EpochIndex
            | Self::EpochCompaction
            | Self::RangeCompaction
            | Self::EpochMarker
            | Self::DeletionWatermark => true,
            Self::Format
            | Self::FormatBackup
            | Self::BlobConfig
            | Self::Maintenance
            | Self::CleanupSchedule
            | Self::Session
            | Self::Log
            | Self::StorageTest
            | Self::Foreign => false,
        }
    }

    /// The kind that a name is of.
    pub(super) fn of(name: &str) -> Self {
        let is = |shape: &&Shape| shape.compare(name) == Match::Whole;
        SHAPES.iter().find(is).map_or(Self::Foreign, |shape| shape.kind)
    }

    /// The kinds of which a name can begin with `text`.
    pub(super) fn beginning_with(text: &str) -> impl Iterator<Item = Self> + '_ {
        SHAPES.iter().filter(|shape| shape.compare(text) != Match::No).map(|shape| shape.kind)
    }
}

impl BlobId {
    /// What the blob is, by its name.
    pub fn kind(&self) -> BlobKind {
        BlobKind::of(self.as_str())
    }
}

/// All blobs of certain kinds: one list for each of them.
///
/// # Errors
/// A failure to list.
pub fn list_kinds(store: &(impl BlobStore + ?Sized), kinds: &[BlobKind]) -> Result<Vec<BlobMetadata>, Error> {
    let mut found = Vec::new();
    for kind in kinds {
        let listed = store.list(kind.prefix())?;
        found.extend(listed.into_iter().filter(|blob| blob.id.kind() == *kind));
    }
    Ok(found)
}

/// How a text compares with the shape of a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Match {
    /// It has this shape.
    Whole,
    /// Names of this shape can begin so.
    Start,
    No,
}

/// The shape of all names of a kind.
struct Shape {
    kind: BlobKind,
    parts: &'static [Part],
}

/// A part of a name. A part takes as much as it can.
enum Part {
    Text(&'static str),
    /// Lower-case hexadecimal digits.
    Hex(std::ops::RangeInclusive<usize>),
    /// Decimal digits.
    Decimal,
    /// Lower-case letters, digits, `_` and `-`, one at least.
    Word,
    /// Any characters, one at least.
    Anything,
    /// Parts that are all there, or none of them.
    Optional(&'static [Part]),
}

/// The hash of a blob's plaintext: 32, 56 or 64 digits in all releases since v0.4. A pack has 32 random ones.
const HASH: Part = Part::Hex(32..=64);

/// A client's session: 16 random digits, then the number of months since 2000, which compactions leave out. Where the
/// clock was before 2000 it is negative.
const SESSION: &[Part] =
    &[Part::Text("-s"), Part::Hex(16..=32), Part::Optional(&[Part::Text("-"), Part::Hex(2..=4)])];

/// How many blobs were written together.
const COUNT: &[Part] = &[Part::Text("-c"), Part::Decimal];

const fn shape(kind: BlobKind, parts: &'static [Part]) -> Shape {
    Shape { kind, parts }
}

const SHAPES: [Shape; 18] = {
    use BlobKind::*;
    use Part::{Anything, Decimal, Hex, Optional, Text, Word};
    [
        shape(DataPack, &[Text("p"), HASH, Optional(SESSION)]),
        shape(MetadataPack, &[Text("q"), HASH, Optional(SESSION)]),
        shape(EpochIndex, &[Text("xn"), Decimal, Text("_"), HASH, Optional(SESSION), Optional(COUNT)]),
        shape(EpochCompaction, &[Text("xs"), Decimal, Text("_"), HASH, Optional(SESSION), Optional(COUNT)]),
        shape(
            RangeCompaction,
            &[Text("xr"), Decimal, Text("_"), Decimal, Text("_"), HASH, Optional(SESSION), Optional(COUNT)],
        ),
        shape(EpochMarker, &[Text("xe"), Decimal]),
        shape(DeletionWatermark, &[Text("xw"), Optional(&[Text("-")]), Decimal]),
        shape(Index, &[Text("n"), HASH, Optional(SESSION)]),
        shape(UpgradeNotice, &[Text(UPGRADE_NOTICE)]),
        shape(CompactionLog, &[Text("m"), HASH, Optional(SESSION)]),
        shape(CleanupSchedule, &[Text("l"), HASH, Optional(SESSION)]),
        shape(Format, &[Text("kopia.repository")]),
        shape(FormatBackup, &[Text("kopia.repository.backup."), Anything]),
        shape(BlobConfig, &[Text("kopia.blobcfg")]),
        shape(Maintenance, &[Text("kopia.maintenance")]),
        shape(Session, &[Text("s"), HASH, Optional(SESSION)]),
        shape(Log, &[Text("_log_"), Word]),
        shape(StorageTest, &[Text("z"), Hex(8..=32), Word]),
    ]
};

impl Shape {
    fn compare(&self, text: &str) -> Match {
        match take_all(self.parts, text) {
            Ok("") => Match::Whole,
            // A part may take more of a longer name than of this one.
            Ok(_) | Err(Stop::Differs) => Match::No,
            Err(Stop::Ends) => Match::Start,
        }
    }
}

/// Why parts are not in a text.
enum Stop {
    /// It ends too early.
    Ends,
    Differs,
}

/// Takes the parts from the front of a text; what is left of it.
fn take_all<'t>(parts: &[Part], text: &'t str) -> Result<&'t str, Stop> {
    let mut rest = text;
    for part in parts {
        rest = part.take(rest)?;
    }
    Ok(rest)
}

impl Part {
    fn take<'t>(&self, text: &'t str) -> Result<&'t str, Stop> {
        match self {
            Self::Text(expected) => match text.strip_prefix(expected) {
                Some(rest) => Ok(rest),
                None if expected.starts_with(text) => Err(Stop::Ends),
                None => Err(Stop::Differs),
            },
            Self::Hex(length) => take_characters(text, length, |b| matches!(b, b'0'..=b'9' | b'a'..=b'f')),
            Self::Decimal => take_characters(text, &(1..=20), |b| b.is_ascii_digit()),
            Self::Word => {
                take_characters(text, &(1..=255), |b| matches!(b, b'0'..=b'9' | b'a'..=b'z' | b'_' | b'-'))
            }
            Self::Anything => {
                if text.is_empty() {
                    Err(Stop::Ends)
                } else {
                    Ok("")
                }
            }
            Self::Optional(parts) => match take_all(parts, text) {
                Ok(rest) => Ok(rest),
                Err(Stop::Ends) if !text.is_empty() => Err(Stop::Ends),
                Err(_) => Ok(text),
            },
        }
    }
}

fn take_characters<'t>(
    text: &'t str,
    length: &std::ops::RangeInclusive<usize>,
    is_one: impl Fn(u8) -> bool,
) -> Result<&'t str, Stop> {
    let count = text.bytes().take(*length.end()).take_while(|b| is_one(*b)).count();
    match text.split_at_checked(count) {
        Some((_, rest)) if length.contains(&count) => Ok(rest),
        Some((_, "")) => Err(Stop::Ends),
        _ => Err(Stop::Differs),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(name: &str) -> BlobKind {
        BlobKind::of(name)
    }

    #[test]
    fn names_that_releases_of_kopia_gave() {
        for (name, expected) in [
            ("kopia.repository", BlobKind::Format),
            ("kopia.repository.backup.owner", BlobKind::FormatBackup),
            ("kopia.blobcfg", BlobKind::BlobConfig),
            ("kopia.maintenance", BlobKind::Maintenance),
            ("p2f09ebc80929c10afce9d8ad8ae3bed7-s8df48a5d3ea727bc147", BlobKind::DataPack),
            ("p76d1c3724f8c830df2890c9b632c57b0", BlobKind::DataPack),
            ("p2f09ebc80929c10afce9d8ad8ae3bed7-s8df48a5d3ea727bc-16e", BlobKind::DataPack),
            ("qf4270922e501a6b4440fd2a8d70bacb7", BlobKind::MetadataPack),
            ("ndab5b4e04a7faf9dcb686ef96bf050dd-sc53ffeeed195b94a13e", BlobKind::Index),
            ("nf589c75a6a3d43e625e3b6363c352710", BlobKind::Index),
            (UPGRADE_NOTICE, BlobKind::UpgradeNotice),
            ("m96a1f7c876204950ca4476dcb9a61558", BlobKind::CompactionLog),
            ("l25664fd68215028b78d4455b4064066b", BlobKind::CleanupSchedule),
            ("xn0_b3dc39b1f3223aa6edc80e4571cb1f83-s98f46621e3ffb514147-c1", BlobKind::EpochIndex),
            ("xs7_cadc5c889e6effdfc3dce4cadc86f96a-s79ccef45eedd5f2b-c1", BlobKind::EpochCompaction),
            ("xr0_7_ddf628639f25065dfd4c59a76dc3084e-s9480ba3ad9558946-c1", BlobKind::RangeCompaction),
            ("xe13", BlobKind::EpochMarker),
            ("xw1795245734", BlobKind::DeletionWatermark),
            ("sf589c75a6a3d43e625e3b6363c352710-s98f46621e3ffb514147", BlobKind::Session),
            (
                "_log_20261121092459_4345_1795253099_1795253099_1_3054794562f35ea1afb75be857c5d7af",
                BlobKind::Log,
            ),
        ] {
            assert_eq!(kind(name), expected, "{name}");
            assert!(name.starts_with(expected.prefix()), "{name}");
            for length in 0..=name.len() {
                assert!(
                    BlobKind::beginning_with(&name[..length]).any(|k| k == expected),
                    "{}",
                    &name[..length]
                );
            }
        }
    }

    #[test]
    fn other_names_are_foreign() {
        let pack = "q2f09ebc80929c10afce9d8ad8ae3bed7-s8df48a5d3ea727bc147";
        let beside = [
            ".sync-conflict-20260101-101010-ABCDEFG",
            ".tmp.0123456789abcdef",
            "-DESKTOP",
            "-c",
            "_conflict-20260101-101010",
            ".old",
            "~",
        ];
        for name in beside.map(|end| format!("{pack}{end}")) {
            assert_eq!(kind(&name), BlobKind::Foreign, "{name}");
        }
        for name in [
            "queue",
            "q",
            "p",
            "xn0_",
            "xn0_garbage",
            "xe",
            "xe1a",
            "xwabc",
            "xe1_2",
            "media",
            "nas",
            "qnap",
            "kopia",
            "kopia.repository0",
            "kopia.repository.old",
            "kopia.repository.backup.",
            "sd",
            "_log_",
            "p2f09ebc8",
            "P2F09EBC80929C10AFCE9D8AD8AE3BED7",
            "xr7_abc",
            "desktop.ini",
            "thumbs.db",
            "",
        ] {
            assert_eq!(kind(name), BlobKind::Foreign, "{name}");
        }
    }

    #[test]
    fn only_what_a_name_can_begin_with_is_a_shard() {
        for shard in ["p", "p2f", "x", "xn0_", "xr0_7", "_", "_log", "k", "kopia.", "s", ""] {
            assert!(BlobKind::beginning_with(shard).next().is_some(), "{shard}");
        }
        for other in ["media", "nas", "qnap", "pp", "xp", "xx", "lost", "snapshot", "a", "P", "xn0_x", "0"] {
            assert!(BlobKind::beginning_with(other).next().is_none(), "{other}");
        }
    }
}

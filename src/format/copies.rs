//! Copies of the format blob. Packs of repositories whose password cannot be changed begin with one
//! (`format-spec/07-packs.md`), and an upgrade leaves one.

use std::cmp::Reverse;
use std::collections::HashSet;

use crate::blob::{BlobId, BlobKind, BlobMetadata, BlobStore, list_kinds};
use crate::crypto::{ContentHasher, HashAlgorithm};

/// Key of the checksum behind a copy: it tells a copy from other bytes, and protects from nothing.
const CHECKSUM_KEY: &[u8] = b"kopia-repository";
const CHECKSUM: usize = 32;

/// Bytes of a pack that can hold the copy and the two lengths around it.
const WINDOW: u64 = 65_536;

/// Longest copy with its checksum.
const MAX_LENGTH: usize = 65_000;

/// Packs that are looked into. Either all have a copy or none has.
const MAX_PACKS: usize = 64;

/// Packs that are looked into after a password did not open the format blob. Most often the password is wrong, which must
/// not take long to say.
const MAX_PACKS_FOR_COMPARISON: usize = 3;

/// A copy of the format blob.
pub(super) struct FormatCopy {
    pub(super) blob: BlobId,
    pub(super) bytes: Vec<u8>,
}

/// The copies that differ from each other, newest first: of an upgraded repository older packs hold what was true before.
/// What cannot be read is passed over.
pub(super) fn find(store: &dyn BlobStore) -> impl Iterator<Item = FormatCopy> {
    let in_packs =
        newest_first(store, &[BlobKind::DataPack, BlobKind::MetadataPack]).into_iter().take(MAX_PACKS);
    let in_packs = in_packs.filter_map(move |pack| in_pack(store, &pack));
    let backups = std::iter::once_with(move || newest_first(store, &[BlobKind::FormatBackup])).flatten();
    let mut seen = HashSet::new();
    let all = in_packs.chain(backups.filter_map(move |backup| whole(store, &backup)));
    all.filter(move |copy| seen.insert(copy.bytes.clone()))
}

/// How many bytes of the format blob are other ones than in its copy, if they are so few that damage changed them: blobs
/// that were written one after the other differ in all that is encrypted.
pub(super) fn differing_bytes(store: &dyn BlobStore, format_blob: &[u8]) -> Option<usize> {
    let packs = newest_first(store, &[BlobKind::MetadataPack]);
    let copy = packs.iter().take(MAX_PACKS_FOR_COMPARISON).find_map(|pack| in_pack(store, pack))?.bytes;
    few_differences(format_blob, &copy)
}

/// How many bytes differ, if less than a quarter does, but some.
fn few_differences(one: &[u8], other: &[u8]) -> Option<usize> {
    let differing = one.iter().zip(other).filter(|(one, other)| one != other).count();
    (one.len() == other.len() && differing > 0 && differing < one.len() / 4).then_some(differing)
}

fn newest_first(store: &dyn BlobStore, kinds: &[BlobKind]) -> Vec<BlobMetadata> {
    let mut blobs = list_kinds(store, kinds).unwrap_or_default();
    blobs.sort_by(|a, b| Reverse(a.modified).cmp(&Reverse(b.modified)).then_with(|| a.id.cmp(&b.id)));
    blobs
}

fn in_pack(store: &dyn BlobStore, pack: &BlobMetadata) -> Option<FormatCopy> {
    let length = pack.size.min(WINDOW);
    let mut window = vec![0; usize::try_from(length).ok()?];
    let mut read = |offset| store.read_at(&pack.id, offset, &mut window).ok().map(|()| window.clone());
    let bytes = at_start(&read(0)?).or_else(|| at_end(&read(pack.size - length)?))?;
    Some(FormatCopy { blob: pack.id.clone(), bytes })
}

fn whole(store: &dyn BlobStore, backup: &BlobMetadata) -> Option<FormatCopy> {
    let bytes = store.read(&backup.id, WINDOW).ok()?;
    Some(FormatCopy { blob: backup.id.clone(), bytes })
}

/// The copy that these bytes begin with: its length, itself, its checksum, and its length again.
fn at_start(bytes: &[u8]) -> Option<Vec<u8>> {
    let (length, rest) = bytes.split_first_chunk()?;
    checked(rest.get(..usize::from(u16::from_le_bytes(*length)))?)
}

/// The copy that these bytes end with, as very old releases wrote it.
fn at_end(bytes: &[u8]) -> Option<Vec<u8>> {
    let (rest, length) = bytes.split_last_chunk()?;
    let length = usize::from(u16::from_le_bytes(*length));
    checked(rest.get(rest.len().checked_sub(length)?..)?)
}

fn checked(bytes: &[u8]) -> Option<Vec<u8>> {
    let (copy, checksum) = bytes.split_last_chunk::<CHECKSUM>().filter(|_| bytes.len() <= MAX_LENGTH)?;
    let hasher = ContentHasher::new(HashAlgorithm::HmacSha256, CHECKSUM_KEY).ok()?;
    (hasher.hash(copy).as_bytes() == checksum).then(|| copy.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damage_changes_a_few_bytes_and_writing_again_changes_most() {
        let copy = [7; 100];
        let with = |changed: usize| {
            let mut bytes = copy;
            bytes[..changed].fill(8);
            few_differences(&bytes, &copy)
        };
        assert_eq!([with(0), with(1), with(24), with(25)], [None, Some(1), Some(24), None]);
        assert_eq!(few_differences(&copy[1..], &copy), None);
    }
}

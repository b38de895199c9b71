//! Error correction: what it mended on the way to us, and copies of blobs as they should be.

use std::ops::Range;
use std::path::{Path, PathBuf};

use super::error::Error;
use super::report::model::Report;
use crate::blob::{BlobId, BlobStore, WritablePath};
use crate::codec::ReedSolomonCrc;
use crate::content::{Decoder, Scratch};
use crate::format::RepositoryFormat;
use crate::index::{ContentIndex, IndexOptions, IndexReader, open_sealed};
use crate::pack::{Postamble, open_local_index};
use crate::repository::Repository;

/// Packs and index blobs are smaller.
const LIMIT: u64 = 1 << 30;

/// Ranges of a wholly encrypted blob that error correction has to mend; none where it cannot be read, which others
/// say.
pub(super) fn mended(store: &dyn BlobStore, format: &RepositoryFormat, blob: &BlobId) -> Vec<Range<u64>> {
    let Some(ecc) = format.ecc() else { return Vec::new() };
    let corrected = store.read(blob, LIMIT).ok().and_then(|stored| ecc.decode(&stored).ok());
    let ranges = corrected.map(|corrected| corrected.repaired).unwrap_or_default();
    ranges.into_iter().map(|range| range.start as u64..range.end as u64).collect()
}

/// Writes corrected copies of the blobs that a report names as mended into a directory, under the blobs' names with
/// `.f`, as file systems store them; gives their paths. A blob of which anything stays wrong is left out.
///
/// # Errors
/// [`Error::InRepository`] for a directory in the repository, which is never written to; [`Error::Output`]; and
/// failures to read.
pub fn write_repaired(repository: &Repository, report: &Report, dir: &Path) -> Result<Vec<PathBuf>, Error> {
    let shown = dir;
    let failed = |source| Error::Output { path: shown.to_path_buf(), source };
    let Some(ecc) = repository.format().ecc() else { return Ok(Vec::new()) };
    let dir = &repository.store().guard().writable(dir)?;
    dir.create_dir_all().map_err(failed)?;
    let options = IndexOptions { degraded: true, ..repository.options().index };
    let index = IndexReader::new(repository.store(), repository.format(), options).load()?;
    let mut written = Vec::new();
    for mended in &report.ecc.repairs {
        let Ok(blob) = BlobId::new(&mended.blob) else { continue };
        let stored = match repository.store().read(&blob, LIMIT) {
            Err(e) if e.is_not_found() => continue,
            result => result?,
        };
        let corrected = match blob.kind().is_pack() {
            true => correct_pack(repository.format(), ecc, &index, &blob, stored),
            false => correct_sealed(repository.format(), ecc, &blob, &stored),
        };
        match corrected {
            Some(bytes) => written.push(write(dir, &blob, &bytes).map_err(failed)?),
            None => tracing::warn!(%blob, "no corrected copy is written: not all of it can be mended"),
        }
    }
    Ok(written)
}

fn write(dir: &WritablePath, blob: &BlobId, bytes: &[u8]) -> std::io::Result<PathBuf> {
    let path = dir.child(&format!("{blob}.f"));
    path.replace(bytes, None)?;
    Ok(path.as_path().to_path_buf())
}

fn correct_sealed(
    format: &RepositoryFormat,
    ecc: &ReedSolomonCrc,
    blob: &BlobId,
    stored: &[u8],
) -> Option<Vec<u8>> {
    let correct = ecc.encode(&ecc.decode(stored).ok()?.data).ok()?;
    open_sealed(format, blob, correct.clone()).ok().map(|_| correct)
}

fn correct_pack(
    format: &RepositoryFormat,
    ecc: &ReedSolomonCrc,
    index: &ContentIndex,
    blob: &BlobId,
    mut bytes: Vec<u8>,
) -> Option<Vec<u8>> {
    let decoder = Decoder::new(format);
    let mut scratch = Scratch::default();
    for entry in index.iter().filter(|entry| index.pack(entry.pack) == Some(blob)) {
        let range = usize::try_from(entry.offset).ok()?..usize::try_from(entry.end()).ok()?;
        let stored = bytes.get_mut(range)?;
        mend(ecc, stored)?;
        decoder.authenticate(&entry, blob, &mut stored.to_vec(), &mut scratch).ok()?;
    }
    // What has no readable postamble has no local index that could be found.
    if let Some(postamble) = Postamble::parse(&bytes) {
        let start = usize::try_from(postamble.offset).ok()?;
        let length = usize::try_from(postamble.length).ok()?;
        let stored = bytes.get_mut(start..start.checked_add(length)?)?;
        mend(ecc, stored)?;
        open_local_index(format, blob, &postamble, stored.to_vec()).ok()?;
    }
    Some(bytes)
}

/// Puts the bytes as they were written where something was wrong.
fn mend(ecc: &ReedSolomonCrc, stored: &mut [u8]) -> Option<()> {
    let corrected = ecc.decode(stored).ok()?;
    if !corrected.repaired.is_empty() {
        let correct = ecc.encode(&corrected.data).ok().filter(|correct| correct.len() == stored.len())?;
        stored.copy_from_slice(&correct);
    }
    Some(())
}

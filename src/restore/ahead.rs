//! Reading directories and tables of chunks before they are asked for, many at a time.

use std::collections::HashMap;

use crate::content::{self, ContentSource, Contents, Decoder, Hashed, Scratch, pack_of};
use crate::index::{ContentId, Entry};
use crate::os::parallel;
use crate::os::sync::Mutex;

/// Plaintext bytes held at most.
const MAX_HELD: u64 = 8 << 20;

/// Contents, of which some were fetched in advance. Each of those is given once.
pub(super) struct Ahead<'a> {
    contents: &'a Contents,
    reads: usize,
    /// Whether each content is hashed and compared with its name.
    verify: bool,
    held: Mutex<HashMap<ContentId, Vec<u8>>>,
}

impl<'a> Ahead<'a> {
    pub(super) fn new(contents: &'a Contents, reads: usize, verify: bool) -> Self {
        Self { contents, reads, verify, held: Mutex::default() }
    }

    /// Fetches contents that will be needed soon. What cannot be fetched is left to the caller.
    pub(super) fn fetch(&self, ids: impl Iterator<Item = ContentId>) {
        let (index, hints) = (self.contents.index(), self.contents.store().hints());
        let mut bytes = 0;
        let mut wanted: Vec<Entry> = ids
            .filter_map(|id| index.get(&id).ok().flatten())
            .take_while(|entry| {
                bytes += u64::from(entry.original_length);
                bytes <= MAX_HELD
            })
            .collect();
        if wanted.len() < 2 {
            return;
        }
        wanted.sort_unstable_by_key(|entry| (entry.pack, entry.offset));
        wanted.dedup_by_key(|entry| entry.id);
        self.lock().clear();
        let mut ranges: Vec<&[Entry]> = Vec::new();
        let mut rest = wanted.as_slice();
        while let Some(first) = rest.first() {
            let mut end = first.end();
            let more = rest.iter().take_while(|next| {
                let fits = next.pack == first.pack
                    && u64::from(next.offset) <= end + hints.gap
                    && next.end() <= u64::from(first.offset) + hints.range.max(first.end());
                end = end.max(next.end());
                fits
            });
            let (range, after) = rest.split_at(more.count().max(1));
            ranges.push(range);
            rest = after;
        }
        // Errors are not lost: a caller that asks for a content that is not held reads it again.
        let _ = parallel::for_each(&ranges, self.reads, |range| {
            if let Err(error) = self.read(&index, range) {
                tracing::debug!(%error, "reading ahead");
            }
            Ok::<(), content::Error>(())
        });
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<ContentId, Vec<u8>>> {
        self.held.lock()
    }

    fn read(&self, index: &crate::index::ContentIndex, range: &[Entry]) -> Result<(), content::Error> {
        let (Some(first), Some(end)) = (range.first(), range.iter().map(Entry::end).max()) else {
            return Ok(());
        };
        let pack = pack_of(index, first)?;
        let decoder = Decoder::new(self.contents.format());
        for entry in range {
            decoder.check(entry, pack)?;
        }
        let start = u64::from(first.offset);
        let mut bytes = vec![0; usize::try_from(end - start).unwrap_or_default()];
        self.contents
            .store()
            .read_at(pack, start, &mut bytes)
            .map_err(|e| content::read_error(first.id, e))?;
        let mut scratch = Scratch::default();
        for entry in range {
            let at = (u64::from(entry.offset) - start) as usize;
            let Some(stored) = bytes.get_mut(at..at + entry.packed_length as usize) else { continue };
            let decoded = decoder.decode(entry, pack, stored, &mut scratch)?;
            self.contents.repairs().note(pack, decoded.repaired.len());
            // One that has the wrong hash is left to the caller, and reports it.
            if self.verify && !decoder.is_named(&entry.id, decoded.plaintext) {
                continue;
            }
            self.lock().insert(entry.id, decoded.plaintext.to_vec());
        }
        Ok(())
    }
}

impl ContentSource for Ahead<'_> {
    fn get(&self, id: &ContentId) -> Result<Vec<u8>, content::Error> {
        let held = self.lock().remove(id);
        match held {
            Some(held) => Ok(held),
            None if self.verify => Hashed::new(self.contents).get(id),
            None => self.contents.get(id),
        }
    }

    fn original_length(&self, id: &ContentId) -> Result<Option<u64>, content::Error> {
        self.contents.original_length(id)
    }
}

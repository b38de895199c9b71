//! Hashing large contents side by side: as many at a time as the processor has lanes for, at all times.

use crate::crypto::{ContentHash, ContentHasher, HashStream};

/// Bytes that hash functions take at once.
const BLOCK: usize = 128;

/// Hashes contents that come in groups. If a group does not fill every lane, the remainder is carried over to the next
/// group.
pub(crate) struct Lanes<'a, M> {
    hasher: &'a ContentHasher,
    left: Vec<Left<M>>,
    /// Buffers that are not in use.
    spare: Vec<Vec<u8>>,
    /// Bytes carried over to the next group at most.
    keep: usize,
}

/// The rest of a content whose beginning is hashed.
struct Left<M> {
    stream: HashStream,
    bytes: Vec<u8>,
    about: M,
}

/// A content on its way.
struct Lane<'b, M> {
    stream: HashStream,
    rest: &'b [u8],
    about: M,
}

impl<'a, M> Lanes<'a, M> {
    /// Lanes that carry over up to `keep` bytes from one group to the next.
    pub(crate) fn new(hasher: &'a ContentHasher, keep: usize) -> Self {
        Self { hasher, left: Vec::new(), spare: Vec::new(), keep }
    }

    /// Hashes a group of contents. Calls `done` for each content that is finished.
    pub(crate) fn run<'b>(
        &mut self,
        group: impl IntoIterator<Item = (M, &'b [u8])>,
        done: impl FnMut(M, ContentHash),
    ) {
        self.advance(group, self.keep, done);
    }

    /// Hashes the remainder.
    pub(crate) fn finish(&mut self, done: impl FnMut(M, ContentHash)) {
        self.advance([], 0, done);
    }

    fn advance<'b>(
        &mut self,
        group: impl IntoIterator<Item = (M, &'b [u8])>,
        keep: usize,
        mut done: impl FnMut(M, ContentHash),
    ) {
        let mut before = Vec::new();
        let mut streams = Vec::new();
        for Left { stream, bytes, about } in std::mem::take(&mut self.left) {
            before.push(bytes);
            streams.push((stream, about));
        }
        let begun = streams.into_iter().zip(&before);
        let mut lanes: Vec<Lane<'_, M>> =
            begun.map(|((stream, about), bytes)| Lane { stream, rest: bytes, about }).collect();
        let fresh = |(about, rest)| Lane { stream: self.hasher.stream(), rest, about };
        lanes.extend(group.into_iter().map(fresh));
        loop {
            // The longest first: then all of them come to their ends at about the same time.
            lanes.sort_by_key(|lane| std::cmp::Reverse(lane.rest.len()));
            while let Some(lane) = lanes.pop_if(|lane| lane.rest.is_empty()) {
                done(lane.about, lane.stream.finish());
            }
            let full = lanes.len() >= self.hasher.lanes();
            if lanes.is_empty() || (!full && lanes.iter().map(|lane| lane.rest.len()).sum::<usize>() <= keep)
            {
                break;
            }
            let together = lanes.len().min(self.hasher.lanes());
            let shortest = lanes.get(together.saturating_sub(1)).map_or(0, |lane| lane.rest.len());
            let step = shortest.next_multiple_of(BLOCK);
            HashStream::update_many(lanes.iter_mut().take(together).map(|lane| {
                let (now, rest) = lane.rest.split_at(step.min(lane.rest.len()));
                lane.rest = rest;
                (&mut lane.stream, now)
            }));
        }
        for Lane { stream, rest, about } in lanes {
            let mut bytes = self.spare.pop().unwrap_or_default();
            bytes.clear();
            bytes.extend_from_slice(rest);
            self.left.push(Left { stream, bytes, about });
        }
        before.truncate(self.hasher.lanes().saturating_sub(self.spare.len()));
        self.spare.append(&mut before);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::HashAlgorithm;

    #[test]
    fn every_content_gets_its_own_hash() {
        for algorithm in [HashAlgorithm::Blake2b256_128, HashAlgorithm::Blake3_256] {
            let hasher = ContentHasher::new(algorithm, &[7; 32]).unwrap();
            let lengths: [u64; 14] =
                [0, 1, 127, 128, 129, 5000, 100_000, 99_999, 256, 70_001, 3, 64_000, 12_800, 12_801];
            let contents: Vec<Vec<u8>> = lengths
                .iter()
                .map(|&length| (0..length).map(|at| (at * length % 251) as u8).collect())
                .collect();
            for keep in [0, 1000, 1 << 20] {
                for size in 1..=contents.len() {
                    let mut lanes = Lanes::new(&hasher, keep);
                    let mut hashes = vec![None; contents.len()];
                    for group in (0..contents.len()).collect::<Vec<_>>().chunks(size) {
                        let group = group.iter().map(|&at| (at, contents[at].as_slice()));
                        lanes.run(group, |at, hash| assert!(hashes[at].replace(hash).is_none()));
                        let left: usize = lanes.left.iter().map(|left| left.bytes.len()).sum();
                        assert!(left <= keep && lanes.left.len() < hasher.lanes().max(1));
                    }
                    lanes.finish(|at, hash| assert!(hashes[at].replace(hash).is_none()));
                    for (content, hash) in contents.iter().zip(&hashes) {
                        assert_eq!(*hash, Some(hasher.hash(content)), "{algorithm}, {keep}, {size}");
                    }
                }
            }
        }
    }
}

//! File data that is computed from a seed instead of stored, at any offset.

use super::rng::{Rng, derive, fill_at, word_at};
use sha2::{Digest, Sha256};
use std::io::{self, Read, Seek, SeekFrom};
use std::sync::OnceLock;

/// Text restarts from its seed at every multiple of this, so that any offset is at most one block away.
const TEXT_BLOCK: usize = 64 << 10;
/// `Alternating` changes between text and noise at every multiple of this.
const ALTERNATION: u64 = 32 << 20;
const HOLE_BLOCK: u64 = 64 << 10;
const THIN_PAGE: u64 = 4096;
/// What is random in each page of `Thin`.
const THIN_NOISE: u64 = 16;

/// How the bytes of a file look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DataKind {
    /// Words of a fixed vocabulary, some far more frequent than others: shrinks to about a third.
    Text,
    /// Bytes that do not compress and never repeat.
    Noise,
    /// Text and noise by turns of 32 MiB, beginning with text: the inside of a disk image.
    Alternating,
    /// 64 KiB of noise and 64 KiB of zeros by turns: a file with holes.
    Holes,
    /// Pages of 4 KiB with 16 bytes of noise each, else zeros: no two chunks are equal, and zstd leaves little.
    Thin,
    /// Zeros only.
    Zeros,
}

/// The bytes of one file: what they look like, which ones, how many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Data {
    /// How they look.
    pub kind: DataKind,
    /// Which ones. Different seeds give different bytes (but for `Zeros`).
    pub seed: u64,
    /// How many.
    pub size: u64,
}

impl Data {
    /// Writes the bytes from `offset` on into `out`. Bytes past the end of the file continue in the same manner.
    pub fn fill(&self, offset: u64, out: &mut [u8]) {
        match self.kind {
            DataKind::Noise => fill_at(self.seed, offset, out),
            DataKind::Zeros => out.fill(0),
            DataKind::Text => in_blocks(TEXT_BLOCK as u64, offset, out, |block, start, part| {
                text(derive(self.seed, block), start as usize, part);
            }),
            DataKind::Alternating => in_blocks(ALTERNATION, offset, out, |block, start, part| {
                let kind = if block % 2 == 0 { DataKind::Text } else { DataKind::Noise };
                Data { kind, seed: derive(self.seed, block), size: ALTERNATION }.fill(start, part);
            }),
            DataKind::Holes => in_blocks(HOLE_BLOCK, offset, out, |block, start, part| {
                if block % 2 == 0 {
                    fill_at(derive(self.seed, block), start, part);
                } else {
                    part.fill(0);
                }
            }),
            DataKind::Thin => in_blocks(THIN_PAGE, offset, out, |page, start, part| {
                let noise = THIN_NOISE.saturating_sub(start).min(part.len() as u64) as usize;
                let (head, zeros) = part.split_at_mut(noise);
                fill_at(self.seed, page * THIN_NOISE + start, head);
                zeros.fill(0);
            }),
        }
    }

    /// All bytes at once.
    pub fn to_vec(&self) -> Vec<u8> {
        let mut out = vec![0; self.size as usize];
        self.fill(0, &mut out);
        out
    }

    /// A reader of the bytes.
    pub fn reader(&self) -> DataReader {
        DataReader { data: *self, position: 0 }
    }

    /// The SHA-256 of the bytes.
    pub fn sha256(&self) -> [u8; 32] {
        let mut hasher = Sha256::new();
        let mut buffer = vec![0; self.size.min(1 << 20) as usize];
        let mut offset = 0;
        while offset < self.size {
            let len = (self.size - offset).min(buffer.len() as u64) as usize;
            let part = buffer.split_at_mut(len).0;
            self.fill(offset, part);
            hasher.update(&*part);
            offset += len as u64;
        }
        hasher.finalize().into()
    }
}

/// Reads a [`Data`]; see [`Data::reader`].
#[derive(Debug, Clone)]
pub struct DataReader {
    data: Data,
    position: u64,
}

impl Read for DataReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.data.size.saturating_sub(self.position);
        let len = left.min(buffer.len() as u64) as usize;
        self.data.fill(self.position, buffer.split_at_mut(len).0);
        self.position += len as u64;
        Ok(len)
    }
}

impl Seek for DataReader {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let target = match to {
            SeekFrom::Start(offset) => Some(offset),
            SeekFrom::End(delta) => self.data.size.checked_add_signed(delta),
            SeekFrom::Current(delta) => self.position.checked_add_signed(delta),
        };
        self.position = target.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.position)
    }
}

/// Calls `fill(block number, start in the block, bytes)` for each block that `offset..` touches.
fn in_blocks(block: u64, offset: u64, mut out: &mut [u8], mut fill: impl FnMut(u64, u64, &mut [u8])) {
    let mut offset = offset;
    while !out.is_empty() {
        let start = offset % block;
        let len = (block - start).min(out.len() as u64);
        let (part, rest) = out.split_at_mut(len as usize);
        fill(offset / block, start, part);
        offset += len;
        out = rest;
    }
}

/// Memory for one word and the blank behind it; copied whole because a copy of fixed size is one instruction.
const WORD: usize = 16;
const VOCABULARY: usize = 4096;

struct Words {
    words: Vec<([u8; WORD], u8)>,
    /// Word numbers, each as often as it is likely: Zipf's law with exponent 1.25, the tail folded.
    draw: Vec<u16>,
}

const DRAW_BITS: u32 = 15;

fn words() -> &'static Words {
    static WORDS: OnceLock<Words> = OnceLock::new();
    WORDS.get_or_init(|| {
        let mut rng = Rng::new(0x00f0_1d5e);
        let words = (0..VOCABULARY)
            .map(|_| {
                let len = rng.between(2, 10) as usize;
                let mut word = [b' '; WORD];
                for letter in word.iter_mut().take(len) {
                    *letter = b'a' + rng.below(26) as u8;
                }
                (word, len as u8 + 1)
            })
            .collect();
        // k^-1.25 by square roots, which are exact everywhere; the sum beyond the vocabulary is 4·n^-0.25.
        let weight = |k: f64| 1.0 / (k * k.sqrt().sqrt());
        let n = VOCABULARY as f64;
        let tail = 4.0 / n.sqrt().sqrt() / n;
        let weights: Vec<f64> = (0..VOCABULARY).map(|i| weight((i + 1) as f64) + tail).collect();
        let total: f64 = weights.iter().sum();
        let size = 1usize << DRAW_BITS;
        let mut draw = Vec::with_capacity(size);
        let mut reached = 0.0;
        for (i, weight) in weights.iter().enumerate() {
            reached += weight;
            let end = ((reached / total * size as f64) as usize).min(size);
            draw.resize(end.max(draw.len()), i as u16);
        }
        draw.resize(size, 0);
        Words { words, draw }
    })
}

/// Writes the bytes `start..` of the text that `seed` names.
fn text(seed: u64, start: usize, out: &mut [u8]) {
    let Words { words, draw } = words();
    let mut position = 0;
    let mut index = 0;
    let (mut bits, mut left) = (0u64, 0);
    let end = start + out.len();
    while position < end {
        if left == 0 {
            bits = word_at(seed, index);
            index += 1;
            left = 64 / DRAW_BITS;
        }
        let drawn = draw.get(bits as usize & ((1 << DRAW_BITS) - 1)).copied().unwrap_or(0);
        bits >>= DRAW_BITS;
        left -= 1;
        let (word, len) = words.get(usize::from(drawn)).copied().unwrap_or(([b' '; WORD], 1));
        let len = usize::from(len);
        if position >= start
            && let Some(room) =
                out.get_mut(position - start..).and_then(|rest| rest.first_chunk_mut::<WORD>())
        {
            *room = word;
        } else {
            for (i, byte) in word.iter().enumerate().take(len) {
                if let Some(to) = (position + i).checked_sub(start).and_then(|at| out.get_mut(at)) {
                    *to = *byte;
                }
            }
        }
        position += len;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KINDS: [DataKind; 6] = [
        DataKind::Text,
        DataKind::Noise,
        DataKind::Alternating,
        DataKind::Holes,
        DataKind::Thin,
        DataKind::Zeros,
    ];

    #[test]
    fn any_part_equals_the_whole_there() {
        for kind in KINDS {
            let data = Data { kind, seed: 42, size: 300_000 };
            let whole = data.to_vec();
            for (start, len) in [
                (0, 10),
                (1, 1),
                (65_530, 20),
                (65_536, 1),
                (131_000, 70_000),
                (4090, 30),
                (299_999, 1),
                (5, 0),
            ] {
                let mut part = vec![0xAA; len];
                data.fill(start as u64, &mut part);
                assert_eq!(part, whole[start..start + len], "{kind:?} {start}+{len}");
            }
            let mut read = Vec::new();
            let mut reader = data.reader();
            reader.read_to_end(&mut read).unwrap();
            assert_eq!(read, whole);
            assert_eq!(reader.seek(SeekFrom::End(-3)).unwrap(), 299_997);
            assert!(reader.seek(SeekFrom::Current(-400_000)).is_err());
            assert_eq!(data.sha256(), <[u8; 32]>::from(Sha256::digest(&whole)));
        }
    }

    #[test]
    fn alternating_changes_at_32_mib() {
        let data = Data { kind: DataKind::Alternating, seed: 1, size: 64 << 20 };
        let mut part = [0; 64];
        data.fill(ALTERNATION - 32, &mut part);
        assert!(part[..32].iter().all(|b| b.is_ascii_lowercase() || *b == b' '));
        assert!(part[32..].iter().any(|b| !b.is_ascii()));
    }

    #[test]
    fn kinds_compress_as_they_say() {
        let ratio = |kind| {
            let plain = Data { kind, seed: 5, size: 4 << 20 }.to_vec();
            plain.len() as f64 / zstd::bulk::compress(&plain, 1).unwrap().len() as f64
        };
        let text = ratio(DataKind::Text);
        assert!((2.0..4.5).contains(&text), "text {text}");
        assert!(ratio(DataKind::Noise) < 1.001);
        let thin = ratio(DataKind::Thin);
        assert!(thin > 50.0, "thin {thin}");
    }

    #[test]
    fn seeds_give_different_bytes() {
        for kind in KINDS.iter().take(5) {
            let a = Data { kind: *kind, seed: 1, size: 4096 }.to_vec();
            let b = Data { kind: *kind, seed: 2, size: 4096 }.to_vec();
            assert_ne!(a, b, "{kind:?}");
        }
    }
}

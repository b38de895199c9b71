//! Ready-made trees: the standard workloads of the benchmarks, at any scale.

use super::data::{Data, DataKind};
use super::error::{Error, Result};
use super::rng::{Rng, derive, word_at};
use super::tree::{Attributes, Series, Tree, TreeFile};

/// Bytes of the full *mixed* workload, for [`MIXED_FILES`] files.
const MIXED_BYTES: u64 = 4 << 30;
const MIXED_FILES: u64 = 40_000;
/// Natural logarithm of the median size, 8 KiB, and the spread of the sizes around it.
const MIXED_MEDIAN: f64 = 8192.0;
const MIXED_SIGMA: f64 = 2.25;
/// The five largest files of *mixed*, in MiB for 4 GiB.
const MIXED_LARGEST: [u64; 5] = [200, 150, 120, 100, 64];
/// Times of files repeat after so many seconds.
const TIME_CYCLE: u64 = 100_000;

/// Which tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shape {
    /// Files of all sizes: logarithmically normal around 8 KiB with a long tail, half text and half noise, in 20
    /// directories of some more; links. The workload *mixed* is 40,000 files of 4 GiB.
    Mixed {
        /// How many files.
        files: u64,
        /// About how many bytes in total.
        bytes: u64,
    },
    /// One file, text and noise by turns of 32 MiB.
    OneBig {
        /// Its size.
        bytes: u64,
    },
    /// Files of 1 to 8 KiB, half text and half noise, a hundred a directory. The workload *small* is 150,000 files.
    Small {
        /// How many files.
        files: u64,
    },
    /// Files of 200 bytes of noise, a thousand a directory. The workload *tiny* is 1,000,000 files.
    Tiny {
        /// How many files.
        files: u64,
    },
    /// Anything else that is regular.
    Custom(Custom),
}

impl Shape {
    /// The workload *mixed* at a size of about `bytes`.
    pub fn mixed(bytes: u64) -> Shape {
        let files = (u128::from(bytes) * u128::from(MIXED_FILES) / u128::from(MIXED_BYTES)).max(20) as u64;
        Shape::Mixed { files, bytes }
    }

    /// The tree; the same for the same seed.
    pub fn tree(&self, seed: u64) -> Result<Tree> {
        self.tree_in(Tree::new(), seed)
    }

    /// The tree, its entries owned by `uid` and `gid`.
    pub fn tree_owned_by(&self, seed: u64, uid: u32, gid: u32) -> Result<Tree> {
        self.tree_in(Tree::owned_by(uid, gid), seed)
    }

    fn tree_in(&self, mut tree: Tree, seed: u64) -> Result<Tree> {
        match self {
            Shape::Mixed { files, bytes } => mixed(&mut tree, seed, *files, *bytes)?,
            Shape::OneBig { bytes } => {
                tree.add_file("big.img", Data { kind: DataKind::Alternating, seed, size: *bytes })?;
            }
            Shape::Small { files } => {
                let layout = Layout { per_directory: 100, group: 50, prefix: "s", digits: 3 };
                series(&mut tree, seed, *files, &layout, Sizes::Uniform { low: 1024, high: 8192 }, |i| {
                    if i % 2 == 0 { DataKind::Text } else { DataKind::Noise }
                })?;
            }
            Shape::Tiny { files } => {
                let layout = Layout { per_directory: 1000, group: 100, prefix: "t", digits: 3 };
                series(&mut tree, seed, *files, &layout, Sizes::Fixed(200), |_| DataKind::Noise)?;
            }
            Shape::Custom(custom) => custom.build(&mut tree, seed)?,
        }
        Ok(tree)
    }
}

/// How large files are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sizes {
    /// All the same.
    Fixed(u64),
    /// Evenly from `low` to `high`, both included.
    Uniform {
        /// The smallest size.
        low: u64,
        /// The largest size.
        high: u64,
    },
}

impl Sizes {
    fn of(self, random: u64) -> u64 {
        match self {
            Sizes::Fixed(size) => size,
            Sizes::Uniform { low, high } => Rng::new(random).between(low, high),
        }
    }
}

/// A regular tree: every directory above the lowest level has the same number of directories, every directory the
/// same number of files and links.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Custom {
    /// Levels of directories below the root.
    pub depth: u32,
    /// Directories in each directory above the lowest level.
    pub directories: u32,
    /// Files in each directory.
    pub files: u32,
    /// Links in each directory, to files beside them.
    pub links: u32,
    /// Sizes of the files.
    pub sizes: Sizes,
    /// Kinds of data, by turns; text when empty.
    pub kinds: Vec<DataKind>,
}

impl Custom {
    fn build(&self, tree: &mut Tree, seed: u64) -> Result<()> {
        let mut level = vec![String::new()];
        let mut number = 0;
        for depth in 0..=self.depth {
            let mut below = Vec::new();
            for path in &level {
                self.fill(tree, path, seed, &mut number)?;
                if depth < self.depth {
                    for i in 0..self.directories {
                        let name =
                            if path.is_empty() { format!("d{i:03}") } else { format!("{path}/d{i:03}") };
                        tree.add_directory(&name)?;
                        below.push(name);
                    }
                }
            }
            level = below;
        }
        Ok(())
    }

    fn fill(&self, tree: &mut Tree, path: &str, seed: u64, number: &mut u64) -> Result<()> {
        let join = |name: String| if path.is_empty() { name } else { format!("{path}/{name}") };
        for i in 0..self.files {
            let seed = derive(seed, *number);
            let kind = self.kinds.get(*number as usize % self.kinds.len().max(1)).copied();
            let data = Data { kind: kind.unwrap_or(DataKind::Text), seed, size: self.sizes.of(seed) };
            let attributes = file_attributes(tree, *number);
            tree.add_file(&join(format!("f{i:05}")), data)?.attributes = attributes;
            *number += 1;
        }
        for i in 0..self.links {
            tree.add_link(&join(format!("l{i:05}")), format!("f{i:05}"))?;
        }
        Ok(())
    }
}

fn file_attributes(tree: &Tree, number: u64) -> Attributes {
    tree.default_attributes(file_mode(number), (number % TIME_CYCLE) as i64)
}

fn file_mode(number: u64) -> u32 {
    match number {
        n if n % 7 == 0 => 0o600,
        n if n % 11 == 0 => 0o755,
        _ => 0o644,
    }
}

fn mixed(tree: &mut Tree, seed: u64, files: u64, bytes: u64) -> Result<()> {
    if files < 20 {
        return Err(Error::invalid("a mixed tree has at least 20 files"));
    }
    let mut rng = Rng::new(seed);
    let sizes = mixed_sizes(&mut rng, files, bytes);
    let below = (files / 1000).clamp(1, 1000);
    let mut directories = Vec::new();
    for a in 0..20 {
        for b in 0..below {
            let deep = if b % 10 == 0 { "/deep/er" } else { "" };
            let path = format!("dir{a:02}/sub{b:02}{deep}");
            tree.add_directory(&path)?;
            directories.push(path);
        }
    }
    for (number, size) in (0..).zip(sizes) {
        let (kind, suffix) = if number % 2 == 0 { (DataKind::Text, "txt") } else { (DataKind::Noise, "bin") };
        let place = rng.below(directories.len() as u64) as usize;
        let Some(directory) = directories.get(place) else { continue };
        let attributes = file_attributes(tree, number);
        let data = Data { kind, seed: derive(seed, number), size };
        tree.add_file(&format!("{directory}/f{number:06}.{suffix}"), data)?.attributes = attributes;
    }
    for (i, directory) in directories.iter().take(200).enumerate() {
        tree.add_link(&format!("{directory}/link{i}"), format!("../target{i}"))?;
    }
    Ok(())
}

fn mixed_sizes(rng: &mut Rng, files: u64, bytes: u64) -> Vec<u64> {
    // Everything grows with the mean size, which is 4 GiB / 40,000 in the standard workload.
    let scale = bytes as f64 / files as f64 / (MIXED_BYTES as f64 / MIXED_FILES as f64);
    let part = |mib: u64| (u128::from(bytes) * u128::from(mib) / 4096) as u64;
    let [cap, ..] = MIXED_LARGEST.map(part);
    let mut sizes: Vec<u64> = (0..files)
        .map(|_| ((MIXED_MEDIAN * scale * (MIXED_SIGMA * rng.normal()).exp()) as u64).min(cap))
        .collect();
    for (size, largest) in sizes.iter_mut().zip(MIXED_LARGEST) {
        *size = part(largest);
    }
    rng.shuffle(&mut sizes);
    // Only the tail is scaled to reach the total, so that the small files stay as they are.
    let tail = ((1u64 << 20) as f64 * scale) as u64;
    let small: u64 = sizes.iter().filter(|size| **size <= tail).sum();
    let large: u64 = sizes.iter().filter(|size| **size > tail).sum();
    let factor = bytes.saturating_sub(small) as f64 / large.max(1) as f64;
    for size in sizes.iter_mut().filter(|size| **size > tail) {
        *size = ((*size as f64 * factor) as u64).min(cap);
    }
    sizes
}

struct Layout {
    per_directory: u64,
    /// Directories that share a parent.
    group: u64,
    prefix: &'static str,
    digits: usize,
}

struct Numbered {
    first: u64,
    count: usize,
    seed: u64,
    prefix: &'static str,
    digits: usize,
    sizes: Sizes,
    kind: fn(u64) -> DataKind,
    base: Attributes,
}

impl Series for Numbered {
    fn len(&self) -> usize {
        self.count
    }

    fn file(&self, index: usize) -> TreeFile {
        let number = self.first + index as u64;
        let seed = word_at(self.seed, number);
        let second = (number % TIME_CYCLE) as i64;
        TreeFile {
            name: format!("{}{index:0digits$}", self.prefix, digits = self.digits),
            attributes: Attributes {
                mode: file_mode(number),
                mtime_ns: self.base.mtime_ns + second * 1_000_000_000 + (second * 9973) % 1_000_000_000,
                ..self.base
            },
            data: Data { kind: (self.kind)(number), seed, size: self.sizes.of(seed) },
        }
    }
}

fn series(
    tree: &mut Tree,
    seed: u64,
    files: u64,
    layout: &Layout,
    sizes: Sizes,
    kind: fn(u64) -> DataKind,
) -> Result<()> {
    let base = tree.default_attributes(0o644, 0);
    for number in 0..files.div_ceil(layout.per_directory) {
        let first = number * layout.per_directory;
        let count = (files - first).min(layout.per_directory) as usize;
        let directory = tree.add_directory(&format!("g{:02}/d{number:04}", number / layout.group))?;
        let Layout { prefix, digits, .. } = *layout;
        tree.set_series(directory, Numbered { first, count, seed, prefix, digits, sizes, kind, base })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit::ListedKind;

    #[test]
    fn the_mixed_tree_has_the_size_and_the_spread_it_should() {
        let tree = Shape::mixed(256 << 20).tree(1).unwrap();
        let totals = tree.totals();
        assert_eq!(totals.files, 2500);
        let target = 256 << 20;
        assert!(totals.bytes.abs_diff(target) < target / 20, "{totals:?}");
        let mut sizes: Vec<u64> = tree
            .listing()
            .filter_map(|e| match e.kind {
                ListedKind::File(data) => Some(data.size),
                _ => None,
            })
            .collect();
        sizes.sort_unstable();
        let median = sizes[sizes.len() / 2];
        assert!((6000..11_000).contains(&median), "median {median}");
        assert!(*sizes.last().unwrap() > 8 << 20);
    }

    #[test]
    fn series_have_every_file_once() {
        for (shape, files, directories) in
            [(Shape::Small { files: 1050 }, 1050, 11), (Shape::Tiny { files: 2500 }, 2500, 3)]
        {
            let tree = shape.tree(1).unwrap();
            let mut paths: Vec<_> =
                tree.listing().filter(|e| matches!(e.kind, ListedKind::File(_))).map(|e| e.path).collect();
            assert_eq!(tree.totals().directories, 1 + 1 + directories);
            paths.sort_unstable();
            paths.dedup();
            assert_eq!(paths.len(), files);
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_tree() {
        let custom = Shape::Custom(Custom {
            depth: 2,
            directories: 2,
            files: 3,
            links: 1,
            sizes: Sizes::Uniform { low: 0, high: 9000 },
            kinds: vec![DataKind::Holes, DataKind::Noise],
        });
        for shape in [Shape::mixed(1 << 20), Shape::Small { files: 300 }, custom, Shape::OneBig { bytes: 5 }]
        {
            let list = |seed| shape.tree(seed).unwrap().listing().collect::<Vec<_>>();
            assert_eq!(list(1), list(1));
            assert_ne!(list(1), list(2));
        }
    }
}

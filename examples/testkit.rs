//! Makes test repositories from the command line, for benchmarks and for trying things by hand.
//!
//! ```text
//! cargo build --profile quick --features testkit --example testkit
//! target/quick/examples/testkit --help
//! target/quick/examples/testkit make --help
//! ```
#![allow(clippy::print_stdout, reason = "a command-line tool")]

use clap::{Args, Parser, Subcommand, ValueEnum};
use rokopia::codec::CompressionId;
use rokopia::crypto::{EncryptionAlgorithm, HashAlgorithm, KeyDerivation};
use rokopia::snapshot::{InvalidSource, Source};
use rokopia::testkit::{
    Chunks, Compare, Custom, Damage, DataKind, Epochs, Error, Fleet, NewSnapshot, Options, RepositoryWriter,
    Shape, Sizes, SyntheticIndex, Tree,
};
use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

const EXAMPLES: &str = "\
Examples:
  A million small files, and the check of what was restored from it:
    testkit make /tmp/repo --shape tiny --files 1000000
    testkit compare /tmp/restored --shape tiny --files 1000000
  One file of 50 GiB that zstd reduces to some 0.3 GiB of packs:
    testkit make /tmp/repo --shape big --bytes 50GiB --data thin --compression zstd-fastest
  With error correction, another cipher, another compressor, small packs, contents of many lengths:
    testkit make /tmp/repo --bytes 64MiB --ecc 5 --encryption CHACHA20-POLY1305-HMAC-SHA256 \\
      --compression zstd --pack-size 2MiB --chunks 64KiB-1MiB
  An index of ten million contents that do not exist, in a hundred blobs:
    testkit make /tmp/repo --shape none --synthetic 10000000 --synthetic-blobs 100
  2,600 snapshots of 1,000 sources over 2,835 index blobs:
    testkit fleet /tmp/repo --sources 1000 --snapshots 2600 --index-blobs 2835
  A real Kopia that reads the result:
    kopia repository connect filesystem --path /tmp/repo --password testkit
    kopia snapshot list --all

The same options give the same bytes.";

#[derive(Parser)]
#[command(about = "Makes test repositories in Kopia's format", after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Makes a repository that holds a tree, or several
    Make(Box<Make>),
    /// Makes a repository of many small snapshots of many sources
    Fleet(Box<FleetArgs>),
    /// Writes a tree as files: a source for a real Kopia
    Source {
        /// Where
        dir: PathBuf,
        #[command(flatten)]
        tree: TreeArgs,
    },
    /// Lists what a tree holds, as JSON lines
    List {
        /// Read every file and add its SHA-256
        #[arg(long)]
        hashes: bool,
        /// Only say how many entries and bytes there are
        #[arg(long)]
        totals: bool,
        #[command(flatten)]
        tree: TreeArgs,
    },
    /// Compares a restored directory with the tree; differences end with exit code 1
    Compare {
        /// What was restored
        dir: PathBuf,
        /// Accept the times that Kopia gives to directories and links
        #[arg(long)]
        kopia_times: bool,
        /// Compare names, sizes and attributes only
        #[arg(long)]
        no_data: bool,
        #[command(flatten)]
        tree: TreeArgs,
    },
    /// Damages blobs of a repository
    Damage {
        /// The repository
        repository: PathBuf,
        /// What to do
        what: DamageKind,
        /// Names of blobs, or beginnings of names followed by `*`
        #[arg(required = true)]
        blobs: Vec<String>,
        /// Offset of the byte to flip, or length to cut to
        #[arg(long, default_value_t = 100)]
        at: usize,
    },
}

#[derive(Clone, Copy, ValueEnum)]
enum DamageKind {
    Flip,
    Truncate,
    Delete,
    Swap,
}

#[derive(Clone, Copy, ValueEnum)]
enum ShapeName {
    Mixed,
    Big,
    Small,
    Tiny,
    /// A regular tree; see --depth and its neighbours
    Regular,
    /// No snapshot at all
    None,
}

#[derive(Args)]
struct TreeArgs {
    /// Which tree
    #[arg(long, value_enum, default_value = "mixed")]
    shape: ShapeName,
    /// Bytes in the tree (mixed: 4 GiB, big: 6 GiB)
    #[arg(long, value_parser = bytes)]
    bytes: Option<u64>,
    /// Files in the tree (small: 150000, tiny: 1000000; mixed: in proportion to the bytes)
    #[arg(long)]
    files: Option<u64>,
    /// Levels below the root (regular)
    #[arg(long, default_value_t = 2)]
    depth: u32,
    /// Directories in each directory (regular)
    #[arg(long, default_value_t = 4)]
    directories: u32,
    /// Files in each directory (regular)
    #[arg(long, default_value_t = 10)]
    files_each: u32,
    /// Links in each directory (regular)
    #[arg(long, default_value_t = 1)]
    links: u32,
    /// Size of the files, or two of them: 1KiB-64KiB (regular)
    #[arg(long, default_value = "0-64KiB", value_parser = range)]
    sizes: (u64, u64),
    /// Data of the files, by turns (regular)
    #[arg(long, value_enum, value_delimiter = ',', default_value = "text,noise")]
    data: Vec<Kind>,
    /// Which tree of this shape
    #[arg(long, default_value_t = 1)]
    tree_seed: u64,
    /// Owner of all entries: UID:GID
    #[arg(long, default_value = "0:0")]
    owner: String,
}

#[derive(Clone, Copy, ValueEnum)]
enum Kind {
    Text,
    Noise,
    Alternating,
    Holes,
    Thin,
    Zeros,
}

impl TreeArgs {
    fn tree(&self, number: u64) -> Result<Tree, Error> {
        let owner: Vec<u32> = self.owner.split(':').filter_map(|part| part.parse().ok()).collect();
        let &[uid, gid] = owner.as_slice() else { return Err(Error::Invalid("an owner is UID:GID".into())) };
        let (low, high) = self.sizes;
        let shape = match self.shape {
            ShapeName::Mixed => match (self.files, self.bytes.unwrap_or(4 << 30)) {
                (Some(files), bytes) => Shape::Mixed { files, bytes },
                (None, bytes) => Shape::mixed(bytes),
            },
            ShapeName::Big => {
                let bytes = self.bytes.unwrap_or(6 << 30);
                let mut tree = Tree::owned_by(uid, gid);
                let kind = self.data.first().copied().filter(|_| self.data.len() == 1);
                let kind = kind.map_or(DataKind::Alternating, Kind::data);
                let seed = self.tree_seed + number;
                tree.add_file("big.img", rokopia::testkit::Data { kind, seed, size: bytes })?;
                return Ok(tree);
            }
            ShapeName::Small => Shape::Small { files: self.files.unwrap_or(150_000) },
            ShapeName::Tiny => Shape::Tiny { files: self.files.unwrap_or(1_000_000) },
            ShapeName::None => return Ok(Tree::new()),
            ShapeName::Regular => Shape::Custom(Custom {
                depth: self.depth,
                directories: self.directories,
                files: self.files_each,
                links: self.links,
                sizes: Sizes::Uniform { low, high },
                kinds: self.data.iter().map(|kind| kind.data()).collect(),
            }),
        };
        shape.tree_owned_by(self.tree_seed + number, uid, gid)
    }
}

impl Kind {
    fn data(self) -> DataKind {
        match self {
            Kind::Text => DataKind::Text,
            Kind::Noise => DataKind::Noise,
            Kind::Alternating => DataKind::Alternating,
            Kind::Holes => DataKind::Holes,
            Kind::Thin => DataKind::Thin,
            Kind::Zeros => DataKind::Zeros,
        }
    }
}

/// What kind of repository
#[derive(Args)]
struct RepositoryArgs {
    /// Keys and names follow from it
    #[arg(long, default_value_t = 1)]
    seed: u64,
    #[arg(long, default_value = "testkit")]
    password: String,
    #[arg(long, default_value = "scrypt-65536-8-1")]
    kdf: String,
    #[arg(long, default_value = "BLAKE2B-256-128")]
    hash: String,
    #[arg(long, default_value = "AES256-GCM-HMAC-SHA256")]
    encryption: String,
    /// Redundancy in percent
    #[arg(long, default_value_t = 0)]
    ecc: u8,
    /// Compressor of data, by Kopia's name
    #[arg(long, default_value = "none")]
    compression: String,
    /// Compressor of directories and manifests
    #[arg(long, default_value = "zstd-fastest")]
    metadata_compression: String,
    #[arg(long, default_value = "20MiB", value_parser = bytes)]
    pack_size: u64,
    /// Length of contents, or two of them for lengths by chance: 2MiB-8MiB
    #[arg(long, default_value = "4MiB", value_parser = range)]
    chunks: (u64, u64),
    /// Layout of the directory: contents of `.shards`
    #[arg(long)]
    shards: Option<String>,
    /// Index blobs of each flush
    #[arg(long, default_value_t = 1)]
    flush_blobs: u32,
    /// Index blobs that end an epoch; 0: never
    #[arg(long, default_value_t = 20)]
    advance_at: u32,
    /// Compact epochs that have settled
    #[arg(long)]
    compact: bool,
    /// Merge so many compacted epochs into a range; 0: never
    #[arg(long, default_value_t = 0)]
    range_of: u32,
    /// Write contents again that are there already, and remember none
    #[arg(long)]
    no_dedup: bool,
    /// Begin packs with a copy of the format blob
    #[arg(long)]
    no_password_change: bool,
}

#[derive(Args)]
struct FleetArgs {
    /// Where
    dir: PathBuf,
    /// Different sources
    #[arg(long, default_value_t = 100)]
    sources: u32,
    /// Snapshots of all sources together
    #[arg(long, default_value_t = 1000)]
    snapshots: u32,
    /// Index blobs over which they are spread
    #[arg(long, default_value_t = 1000)]
    index_blobs: u32,
    /// Hosts over which the sources are spread, as namespaces of a cluster: night-00, night-01 …; 0: one that is called cluster
    #[arg(long, default_value_t = 0)]
    hosts: u32,
    #[command(flatten)]
    repository: RepositoryArgs,
}

impl FleetArgs {
    fn run(&self) -> Result<(), Error> {
        let begun = Instant::now();
        let mut writer = RepositoryWriter::create(&self.dir, self.repository.options()?)?;
        let Self { sources, snapshots, index_blobs, .. } = *self;
        let fleet = Fleet { sources, snapshots, index_blobs };
        match self.hosts {
            0 => writer.write_fleet(&fleet)?,
            hosts => writer.write_fleet_of(&fleet, |number| {
                Source::new(format!("volume-{number:05}"), format!("night-{:02}", number % hosts), "/data")
            })?,
        }
        writer.finish()?;
        println!("made {} in {:.1?}", self.dir.display(), begun.elapsed());
        Ok(())
    }
}

#[derive(Args)]
struct Make {
    /// Where
    dir: PathBuf,
    #[command(flatten)]
    tree: TreeArgs,
    /// How many snapshots, one a day, each of a tree of its own
    #[arg(long, default_value_t = 1)]
    snapshots: u64,
    /// Source of the snapshots
    #[arg(long, default_value = "data-demo@apps:/data")]
    source: String,
    #[command(flatten)]
    repository: RepositoryArgs,
    /// Add an index of so many contents that do not exist
    #[arg(long, default_value_t = 0)]
    synthetic: u64,
    /// ... in so many index blobs
    #[arg(long, default_value_t = 10)]
    synthetic_blobs: u32,
    /// Write what the last snapshot holds, as JSON lines
    #[arg(long)]
    listing: Option<PathBuf>,
}

/// A size: digits and KiB, MiB, GiB or nothing.
fn bytes(text: &str) -> Result<u64, String> {
    let (digits, shift) = [("KiB", 10), ("MiB", 20), ("GiB", 30)]
        .iter()
        .find_map(|(unit, shift)| text.strip_suffix(unit).map(|digits| (digits, *shift)))
        .unwrap_or((text, 0));
    let number: u64 = digits.trim().parse().map_err(|_| format!("{text:?} is not a size like 64KiB"))?;
    number.checked_mul(1 << shift).ok_or_else(|| format!("{text} is too much"))
}

fn range(text: &str) -> Result<(u64, u64), String> {
    match text.split_once('-') {
        Some((low, high)) => Ok((bytes(low)?, bytes(high)?)),
        None => bytes(text).map(|size| (size, size)),
    }
}

fn compressor(name: &str) -> Result<Option<CompressionId>, Error> {
    /// Every header there is; names come from the library.
    const HEADERS: std::ops::RangeInclusive<u32> = 0x1000..=0x15ff;
    if name == "none" {
        return Ok(None);
    }
    let known =
        HEADERS.filter_map(|header| CompressionId::from_header(header).ok()).find(|id| id.name() == name);
    known.map(Some).ok_or_else(|| Error::Invalid(format!("no compressor is called {name}")))
}

impl RepositoryArgs {
    fn options(&self) -> Result<Options, Error> {
        let (min, max) = (self.chunks.0 as usize, self.chunks.1 as usize);
        let default = Options::default();
        Ok(Options {
            seed: self.seed,
            password: self.password.clone(),
            key_derivation: KeyDerivation::parse(&self.kdf)?,
            hash: HashAlgorithm::parse(&self.hash)?,
            encryption: EncryptionAlgorithm::parse(&self.encryption)?,
            ecc_percent: self.ecc,
            data_compression: compressor(&self.compression)?,
            metadata_compression: compressor(&self.metadata_compression)?,
            pack_size: self.pack_size as usize,
            chunks: if min == max { Chunks::Fixed(min) } else { Chunks::Between { min, max } },
            shards: self.shards.clone().unwrap_or(default.shards),
            epochs: Epochs {
                blobs_per_flush: self.flush_blobs,
                advance_at: self.advance_at,
                compact: self.compact,
                range_of: self.range_of,
            },
            deduplicate: !self.no_dedup,
            now: default.now,
            password_change: !self.no_password_change,
        })
    }
}

impl Make {
    fn run(&self) -> Result<(), Error> {
        let source: Source = self.source.parse().map_err(|e: InvalidSource| Error::Invalid(e.to_string()))?;
        let begun = Instant::now();
        let mut writer = RepositoryWriter::create(&self.dir, self.repository.options()?)?;
        let first = writer.now();
        let with_snapshots = !matches!(self.tree.shape, ShapeName::None);
        for number in 0..if with_snapshots { self.snapshots } else { 0 } {
            let tree = self.tree.tree(number)?;
            let start = first + number * 86_400;
            writer.set_now(start);
            let root = writer.write_tree(&tree)?;
            let id = writer.put_snapshot(&NewSnapshot::new(&source, start, &root));
            writer.flush()?;
            let totals = serde_json::to_string(&tree.totals())?;
            println!("snapshot {id} root {} {totals} {:.1?}", root.object, begun.elapsed());
            if let Some(listing) = self.listing.as_ref().filter(|_| number + 1 == self.snapshots) {
                write_listing(&tree, listing)?;
            }
        }
        if self.synthetic > 0 {
            writer.write_synthetic_index(&SyntheticIndex::new(self.synthetic, self.synthetic_blobs))?;
        }
        writer.finish()?;
        println!("made {} in {:.1?}", self.dir.display(), begun.elapsed());
        Ok(())
    }
}

fn write_listing(tree: &Tree, path: &Path) -> Result<(), Error> {
    let io = |source| Error::Io { action: "create", path: path.into(), source };
    tree.write_listing(true, &mut BufWriter::new(File::create(path).map_err(io)?))
}

fn damage(repository: &Path, what: DamageKind, patterns: &[String], at: usize) -> Result<(), Error> {
    let damage = Damage::open(repository)?;
    let mut blobs = Vec::new();
    for pattern in patterns {
        match pattern.strip_suffix('*') {
            Some(prefix) => blobs.extend(damage.names(prefix)?),
            None => blobs.push(pattern.clone()),
        }
    }
    if let (DamageKind::Swap, [first, second, ..]) = (what, blobs.as_slice()) {
        damage.swap(first, second)?;
    }
    for blob in &blobs {
        match what {
            DamageKind::Flip => damage.flip(blob, at, 0x40)?,
            DamageKind::Truncate => damage.truncate(blob, at)?,
            DamageKind::Delete => damage.delete(blob)?,
            DamageKind::Swap => {}
        }
        println!("{blob}");
    }
    Ok(())
}

fn run(command: &Command) -> Result<ExitCode, Error> {
    match command {
        Command::Make(make) => make.run()?,
        Command::Fleet(fleet) => fleet.run()?,
        Command::Source { dir, tree } => tree.tree(0)?.write_to(dir)?,
        Command::List { hashes, totals, tree } => {
            let tree = tree.tree(0)?;
            if *totals {
                println!("{}", serde_json::to_string(&tree.totals())?);
            } else {
                tree.write_listing(*hashes, &mut BufWriter::new(std::io::stdout().lock()))?;
            }
        }
        Command::Compare { dir, kopia_times, no_data, tree } => {
            let options = Compare { data: !no_data, kopia_times: *kopia_times, ..Compare::default() };
            let differences = tree.tree(0)?.compare(dir, options)?;
            for difference in &differences {
                println!("{difference}");
            }
            println!("{} differences", differences.len());
            return Ok(if differences.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
        Command::Damage { repository, what, blobs, at } => damage(repository, *what, blobs, *at)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn main() -> ExitCode {
    run(&Cli::parse().command).unwrap_or_else(|error| {
        println!("{error}");
        ExitCode::from(2)
    })
}

//! Writes repositories in Kopia's format, honest and hostile ones, for tests, benchmarks and fuzz seeds.
//!
//! Never part of the released binary: it exists under the feature `testkit` only. What it writes follows from seeds,
//! so that runs can be compared; its keys protect nothing.
//!
//! * [`RepositoryWriter`] writes contents, objects, directories, manifests, indexes and epochs, and forges them;
//!   [`Options`] say in which format.
//! * [`Shape`] and [`Tree`] describe trees of files; [`RepositoryWriter::write_tree`] stores one without a source on
//!   disk, [`Tree::compare`] checks what was restored, [`Tree::listing`] says what should be there.
//! * [`Fleet`] is many snapshots of many sources over many index blobs.
//! * [`SyntheticIndex`] makes indexes of any number of contents that do not exist.
//! * [`Damage`] breaks blobs; [`Hooked`] is a store that fails, waits, or answers wrongly.
//!
//! The example `testkit` does all this from the command line, where `testkit --help` shows how.
//!
//! ```
//! use rokopia::blob::FileSystem;
//! use rokopia::crypto::Password;
//! use rokopia::testkit::{Damage, Options, RepositoryWriter, Shape};
//!
//! let dir = std::env::temp_dir().join(format!("testkit-example-{}", std::process::id()));
//! let mut writer = RepositoryWriter::create(&dir, Options { ecc_percent: 5, ..Options::default() })?;
//! let root = writer.write_tree(&Shape::Small { files: 50 }.tree(1)?)?;
//! writer.snapshot(&"user@host:/data".parse()?, &root);
//! writer.finish()?;
//!
//! let damage = Damage::open(&dir)?;
//! damage.flip_some(&damage.names("p")?[0], 1, 7)?;
//!
//! let repository = rokopia::Repository::open(FileSystem::open(&dir)?, &Password::new("testkit"))?;
//! assert_eq!(repository.catalog()?.snapshots_and_problems().0.len(), 1);
//! # std::fs::remove_dir_all(&dir)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod blobs;
mod compare;
mod compress;
mod damage;
mod data;
mod directory;
mod epochs;
mod error;
mod fleet;
mod forge;
mod gate;
mod hooked;
mod index;
mod keys;
mod manifest;
mod object;
mod options;
mod pack;
mod plant;
mod pool;
mod rng;
mod shape;
mod synthetic;
mod tree;
mod writer;

pub use blobs::BlobDirectory;
pub use compare::Compare;
pub use damage::Damage;
pub use data::{Data, DataKind, DataReader};
pub use directory::{DirectoryBuilder, DirectoryEntry, Summary, WrittenDirectory};
pub use error::{Error, Result};
pub use fleet::Fleet;
pub use gate::{clock_factor, gate_from_env};
pub use hooked::{Hooked, Request};
pub use index::{IndexEntry, encode_index};
pub use manifest::{NewSnapshot, PendingManifest};
pub use object::{IndirectEntry, WrittenObject};
pub use options::{Chunks, Epochs, Options};
pub use rng::Rng;
pub use shape::{Custom, Shape, Sizes};
pub use synthetic::SyntheticIndex;
pub use tree::{Attributes, Listed, ListedKind, Tree, TreeDirectory, TreeFile, TreeLink, TreeTotals};
pub use writer::RepositoryWriter;

impl crate::Catalog {
    /// All snapshots, oldest manifest first, and what makes the list uncertain.
    pub fn snapshots_and_problems(&self) -> (Vec<crate::Snapshot>, Vec<crate::Reason>) {
        let listed = self.all_snapshots();
        let mut snapshots: Vec<crate::Snapshot> =
            listed.all().iter().map(|snapshot| crate::Snapshot::clone(snapshot)).collect();
        snapshots.sort_by(|a, b| (a.modified, &a.id).cmp(&(b.modified, &b.id)));
        let mut problems = self.doubts();
        problems.extend(listed.problems().iter().map(crate::Reason::from));
        (snapshots, problems)
    }
}

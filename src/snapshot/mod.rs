//! Snapshots, their sources, directories and retention.

mod asked;
mod diff;
mod directory;
mod entry;
mod error;
#[cfg(feature = "cli")]
pub(crate) mod history;
mod list;
mod manifest;
mod name;
mod period;
mod policy;
mod retention;
mod source;
mod time;
mod tree;
mod walk;

pub use asked::AskedSource;
pub use diff::{Aspect, Diff, Difference};
pub use directory::{EffectiveEntries, Entries};
pub use entry::{DirEntry, EntryType, FailedEntry, GoMode, NO_ID, Summary};
pub use error::Error;
pub(crate) use list::is_backup;
pub use list::{Problem, Selection, Snapshots};
pub use manifest::{Listed, Snapshot, Stats, StorageStats, StorageUsage};
pub use name::{EntryName, InvalidName};
pub(crate) use name::{distinct_name, shown_name};
pub use period::Period;
pub use policy::{Action, DefinedPolicy, ListedPolicy, Origins, Policies, Policy, PolicyValue, TimeOfDay};
pub use retention::{Retention, compact_pins, compact_reasons};
pub use source::{InvalidSource, Source};
pub(crate) use time::CLOCK_TOLERANCE;
pub use time::{InvalidTime, UtcTimestamp};
pub use tree::Tree;
pub(crate) use walk::MAX_DEPTH;
pub use walk::{Walk, WalkEntry};

#[cfg(test)]
pub(crate) mod testing {
    use crate::manifest::{ManifestMemory, ManifestSet, parse};

    /// A set of manifests from the JSON of their entries.
    pub(crate) fn manifests_from(entries: &[String]) -> ManifestSet {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        let json = format!(r#"{{"entries":[{}]}}"#, entries.join(","));
        std::io::Write::write_all(&mut gzip, json.as_bytes()).unwrap();
        let content = "m00".parse().unwrap();
        let mut set = ManifestSet::default();
        let manifests = parse(content, &gzip.finish().unwrap(), &ManifestMemory::default()).unwrap();
        set.update(&[content].into(), [(content, manifests)]);
        set
    }
}

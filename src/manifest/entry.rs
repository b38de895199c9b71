//! One manifest: an ID, labels and a JSON payload.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use serde::Serialize;

use super::{ManifestId, TYPE_LABEL};
use crate::gojson::time::GoTime;

/// Labels by which manifests are found; shared, because the snapshots of a source all have the same.
pub type Labels = Arc<BTreeMap<String, String>>;

/// Some bytes of memory that labels take.
pub(super) fn memory_of_labels(labels: &Labels) -> u64 {
    labels.iter().map(|(name, value)| name.len() + value.len() + STRING).sum::<usize>() as u64 + LABELS as u64
}

/// Holds labels once that are the same; whether these are new.
pub(super) fn share(known: &mut HashSet<Labels>, labels: &mut Labels) -> bool {
    match known.get(labels) {
        Some(same) => {
            *labels = Arc::clone(same);
            false
        }
        None => known.insert(Arc::clone(labels)),
    }
}

/// What one manifest content says of one manifest: its value, or that it was deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    pub(super) id: ManifestId,
    pub(super) labels: Labels,
    pub(super) modified: GoTime,
    pub(super) deleted: bool,
    pub(super) data: Box<[u8]>,
}

/// What a manifest takes besides its texts, and what labels do.
const OVERHEAD: usize = 256;
const LABELS: usize = 600;

/// Strings in the JSON of a manifest that are not counted, as no snapshot of Kopia has more, and what each further one takes
/// when the manifest is understood: one of many tags or pins.
const FREE_STRINGS: usize = 200;
const STRING: usize = 96;

impl Manifest {
    /// Some bytes of memory that the manifest, and what is made of it, takes, without its labels.
    pub(super) fn memory(&self) -> u64 {
        let strings = self.data.iter().filter(|byte| **byte == b'"').count() / 2;
        let more = strings.saturating_sub(FREE_STRINGS) * STRING;
        (OVERHEAD + self.id.as_str().len() + self.data.len() + more) as u64
    }

    /// Its ID.
    pub fn id(&self) -> &ManifestId {
        &self.id
    }

    /// All labels.
    pub fn labels(&self) -> &BTreeMap<String, String> {
        &self.labels
    }

    /// The value of one label.
    pub fn label(&self, name: &str) -> Option<&str> {
        self.labels.get(name).map(String::as_str)
    }

    /// What it is: `snapshot`, `policy` or another.
    pub fn kind(&self) -> &str {
        self.label(TYPE_LABEL).unwrap_or_default()
    }

    /// Whether this version says that the manifest no longer exists.
    pub fn is_deleted(&self) -> bool {
        self.deleted
    }

    /// When it was written: of several versions, the latest counts.
    pub fn modified(&self) -> GoTime {
        self.modified
    }

    /// The payload: JSON, exactly as stored.
    pub fn data(&self) -> &[u8] {
        &self.data
    }

    /// All but the payload, to be serialised as an item of `kopia manifest list --json`.
    pub fn metadata(&self) -> Metadata<'_> {
        Metadata { id: &self.id, length: self.data.len(), labels: &self.labels, mtime: self.modified }
    }

    /// A manifest from its parts.
    #[cfg(test)]
    pub(crate) fn for_tests(id: &str, labels: &[(&str, &str)], data: &str) -> Self {
        Self {
            id: ManifestId::new(id),
            labels: Arc::new(labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()),
            modified: GoTime::ZERO,
            deleted: false,
            data: data.as_bytes().into(),
        }
    }
}

/// A manifest without its payload, with Kopia's keys in Kopia's order.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Metadata<'a> {
    id: &'a ManifestId,
    length: usize,
    labels: &'a BTreeMap<String, String>,
    mtime: GoTime,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gojson::write::to_string;

    #[test]
    fn metadata_has_the_order_of_kopia() {
        let manifest = Manifest::for_tests("a", &[("type", "policy"), ("hostname", "h")], r#"{"x":1}"#);
        assert_eq!(manifest.kind(), "policy");
        assert_eq!(
            to_string(&manifest.metadata()).unwrap(),
            r#"{"id":"a","length":7,"labels":{"hostname":"h","type":"policy"},"mtime":"0001-01-01T00:00:00Z"}"#
        );
    }
}

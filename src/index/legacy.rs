//! Which index blobs count in a repository without epochs (`format-spec/09-index-sets.md`).

use std::collections::HashSet;

use serde::Deserialize;

use super::active::{ActiveSet, Doubt};
use super::{Error, sealed};
use crate::blob::{BlobKind, BlobMetadata, BlobStore, list_kinds};
use crate::format::RepositoryFormat;
use crate::gojson::go_object;

/// A compaction log names each of its inputs in some 150 bytes.
const MAX_LOG: u64 = 64 << 20;

/// What a compaction log says: which index blobs were merged, and into which.
#[derive(Default)]
pub(super) struct Log {
    pub(super) inputs: Vec<Named>,
    pub(super) outputs: Vec<Named>,
}
go_object!(Log { "inputMetadata" => inputs, "outputMetadata" => outputs });

#[derive(Default)]
pub(super) struct Named {
    pub(super) id: String,
}
go_object!(Named { "id" => id });

/// Lists and chooses: all `n` blobs but the inputs of compactions whose outputs are all there.
///
/// With `degraded` a log that cannot be read is a [`Doubt`]. The inputs it names are then read as well: they say what
/// was true before the compaction, and newer entries win.
///
/// # Errors
/// [`Error::Upgraded`] when an upgrade has left its mark, and every failure to list or to read a log.
pub(super) fn select(
    store: &dyn BlobStore,
    format: &RepositoryFormat,
    degraded: bool,
) -> Result<ActiveSet, Error> {
    let logs = list_kinds(store, &[BlobKind::CompactionLog])?;
    let mut indexes = store.list(BlobKind::Index.prefix())?;
    if indexes.iter().any(|blob| blob.id.kind() == BlobKind::UpgradeNotice) {
        return Err(Error::Upgraded);
    }
    indexes.retain(|blob| blob.id.kind() == BlobKind::Index);
    let (mut parsed, mut doubts) = (Vec::new(), Vec::new());
    for blob in &logs {
        match read_log(store, format, blob) {
            Ok(log) => parsed.push(log),
            Err(Error::Blob(e)) if e.is_not_found() => {}
            Err(e) if degraded && e.is_damage() => {
                doubts.push(Doubt::unreadable(&blob.id, &e));
            }
            Err(e) => return Err(e),
        }
    }
    Ok(ActiveSet { blobs: without_superseded(indexes, &parsed), doubts, ..ActiveSet::default() })
}

fn read_log(store: &dyn BlobStore, format: &RepositoryFormat, blob: &BlobMetadata) -> Result<Log, Error> {
    let plaintext = sealed::open(format, &blob.id, store.read(&blob.id, MAX_LOG)?)?.plaintext;
    let mut json = serde_json::Deserializer::from_slice(&plaintext);
    Log::deserialize(&mut json)
        .map_err(|e| Error::MalformedLog { blob: blob.id.clone(), reason: e.to_string() })
}

pub(super) fn without_superseded(indexes: Vec<BlobMetadata>, logs: &[Log]) -> Vec<BlobMetadata> {
    let listed: HashSet<&str> = indexes.iter().map(|blob| blob.id.as_str()).collect();
    let superseded: HashSet<String> = logs
        .iter()
        .filter(|log| log.outputs.iter().all(|output| listed.contains(output.id.as_str())))
        .flat_map(|log| log.inputs.iter().map(|input| input.id.clone()))
        .collect();
    indexes.into_iter().filter(|blob| !superseded.contains(blob.id.as_str())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blob::BlobId;

    fn remaining(indexes: &[&str], logs: &[(&[&str], &[&str])]) -> Vec<String> {
        let named = |ids: &[&str]| ids.iter().map(|id| Named { id: (*id).into() }).collect();
        let logs: Vec<_> = logs.iter().map(|(i, o)| Log { inputs: named(i), outputs: named(o) }).collect();
        let blobs = indexes
            .iter()
            .map(|n| BlobMetadata { id: BlobId::new(n).unwrap(), size: 0, modified: None })
            .collect();
        without_superseded(blobs, &logs).iter().map(|b| b.id.to_string()).collect()
    }

    #[test]
    fn only_logs_with_all_outputs_count() {
        assert_eq!(remaining(&["n1", "n2", "n3"], &[(&["n1", "n2"], &["n3"])]), ["n3"]);
        assert_eq!(remaining(&["n1", "n2"], &[(&["n1", "n2"], &["n3"])]), ["n1", "n2"]);
        assert_eq!(remaining(&["n1", "n2"], &[(&["n1"], &[])]), ["n2"]);
    }

    #[test]
    fn chains_are_judged_against_the_whole_listing() {
        let logs: &[(&[&str], &[&str])] = &[(&["n2"], &["n3"]), (&["n1"], &["n2"])];
        assert_eq!(remaining(&["n1", "n2", "n3"], logs), ["n3"]);
    }
}

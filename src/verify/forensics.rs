//! What is wrong with the indexes themselves, and what only they or the packs still know.

use std::cell::OnceCell;
use std::collections::{BTreeMap, HashMap, HashSet};

use super::fault::{Fault, is_refusal};
use super::snapshots::ListedSnapshots;
use super::time::rfc3339;
use crate::blob::{self, BlobId, BlobKind, BlobMetadata, BlobStore};
use crate::content::{self, ContentSource, Decoder, read_with};
use crate::format::RepositoryFormat;
use crate::index::{self, ActiveSet, ContentId, ContentIndex, Doubt, Entry, IndexReader};
use crate::manifest::ManifestMemory;
use crate::pack::{self, read_local_index};
use crate::repository::Sessions;
use crate::snapshot::Snapshot;

/// Contents listed by name in one finding.
const NAMED: usize = 5;

/// What was found out about the indexes.
#[derive(Default)]
pub(super) struct Forensics {
    /// What means that something needed may be gone.
    pub(super) damage: Vec<Fault>,
    /// Whether index blobs that may be good could not be read, so that more contents may exist than are known.
    pub(super) index_unread: bool,
    /// What no snapshot needs.
    pub(super) unneeded: Vec<Fault>,
    /// What is odd.
    pub(super) warnings: Vec<String>,
    /// Contents that the active indexes have lost, and the superseded index blob that still knows each.
    pub(super) superseded_only: BTreeMap<ContentId, BlobId>,
    /// Packs that no index names.
    pub(super) unnamed: Vec<BlobMetadata>,
}

/// The index and what is to be said of it.
pub(super) struct Examined<'a> {
    store: &'a dyn BlobStore,
    format: &'a RepositoryFormat,
    reader: &'a IndexReader<'a>,
    index: &'a ContentIndex,
    active: &'a ActiveSet,
    listing: &'a HashMap<BlobId, BlobMetadata>,
    /// For the manifests that no index knows.
    room: &'a ManifestMemory,
    /// The index as it is after the listing, read when something seems to be missing.
    fresh: OnceCell<Option<ContentIndex>>,
    /// The time of the newest entry.
    newest: OnceCell<u64>,
}

impl Forensics {
    /// Adds what makes an index doubtful, where it was not said before.
    pub(super) fn add_doubts(&mut self, index: &ContentIndex, active: &ActiveSet) {
        let optional: HashSet<&BlobId> = active.optional.iter().map(|blob| &blob.id).collect();
        for doubt in index.doubts() {
            let finding = |code| Fault {
                blob: doubt.blob().cloned(),
                unrepairable: matches!(doubt, Doubt::Unreadable { unrepairable: true, .. }),
                ..Fault::new(code, doubt.to_string())
            };
            let (list, finding) = match doubt {
                Doubt::Unreadable { blob, .. } if optional.contains(blob) => {
                    (&mut self.unneeded, finding("index-damaged"))
                }
                Doubt::Unreadable { .. } => (&mut self.damage, finding("index-damaged")),
                Doubt::IncompleteCompaction { .. } => (&mut self.damage, finding("index-missing")),
                _ => {
                    let warning = doubt.to_string();
                    if !self.warnings.contains(&warning) {
                        self.warnings.push(warning);
                    }
                    continue;
                }
            };
            if !list.contains(&finding) {
                list.push(finding);
            }
        }
    }
}

impl<'a> Examined<'a> {
    /// What was read of the indexes, and then listed.
    pub(super) fn new(
        store: &'a dyn BlobStore,
        format: &'a RepositoryFormat,
        reader: &'a IndexReader<'a>,
        index: &'a ContentIndex,
        active: &'a ActiveSet,
        listing: &'a HashMap<BlobId, BlobMetadata>,
        room: &'a ManifestMemory,
    ) -> Self {
        Self {
            store,
            format,
            reader,
            index,
            active,
            listing,
            room,
            fresh: OnceCell::new(),
            newest: OnceCell::new(),
        }
    }

    /// Whether any index names a content, those included that a writer finished while the indexes were read.
    fn mentions(&self, content: &ContentId) -> bool {
        // What could not be looked up is not said to be lost; the run ends with that error.
        let names = |index: &ContentIndex| index.mentions(content).unwrap_or(true);
        names(self.index) || self.fresh().is_some_and(names)
    }

    fn fresh(&self) -> Option<&ContentIndex> {
        self.fresh.get_or_init(|| self.reader.load().ok()).as_ref()
    }

    /// Looks at everything that bears on the indexes.
    pub(super) fn examine(&self) -> Forensics {
        let mut found = Forensics::default();
        found.add_doubts(self.index, self.active);
        for finding in &mut found.damage {
            let blob = finding.blob.as_ref().filter(|_| finding.code == "index-damaged");
            if let Some(code) = blob.and_then(|blob| self.may_be_good(blob)) {
                (finding.code, finding.unchecked) = (code, true);
                found.index_unread = true;
            }
        }
        self.inactive(&mut found);
        self.names(&mut found);
        self.unnamed_packs(&mut found);
        if self.active.blobs.is_empty() && found.damage.is_empty() {
            let detail = "there is no index blob, and even a new repository has one: all that was saved is gone, or \
                          only a part of the repository is here";
            found.damage.push(Fault::new("index-missing", detail));
        }
        if found.index_unread {
            // What is missing may be in the index blobs that nobody could read.
            let missing = found.damage.iter_mut().filter(|finding| finding.code == "index-missing");
            missing.for_each(|finding| finding.unchecked = true);
        }
        found
    }

    /// The code for an index blob that could not be read and may be good: now it can be read, or the storage refuses to.
    fn may_be_good(&self, blob: &BlobId) -> Option<&'static str> {
        match self.reader.fetch(blob) {
            Ok(_) => Some("index-unreadable"),
            Err(e) => matches!(&e, index::Error::Blob(source) if is_refusal(source)).then(|| e.code()),
        }
    }

    /// Index blobs that are not used: whether they are good, and whether they know what the active ones do not.
    fn inactive(&self, found: &mut Forensics) {
        let used: HashSet<&BlobId> =
            self.active.blobs.iter().chain(&self.active.optional).map(|blob| &blob.id).collect();
        let epochs = self.format.epochs().enabled;
        let is_index = |kind: BlobKind| if epochs { kind.is_epoch_index() } else { kind == BlobKind::Index };
        let mut unused: Vec<&BlobMetadata> = self
            .listing
            .values()
            .filter(|blob| is_index(blob.id.kind()) && !used.contains(&blob.id))
            .collect();
        unused.sort_by(|a, b| a.id.cmp(&b.id));
        for blob in unused {
            let index = match self.reader.fetch(&blob.id) {
                Ok(index) => index,
                Err(index::Error::Blob(e)) if e.is_not_found() => continue,
                Err(e) => {
                    let detail = format!("{e}; it is superseded, so that nothing needs it");
                    found.unneeded.push(Fault {
                        unchecked: matches!(&e, index::Error::Blob(source) if is_refusal(source)),
                        unrepairable: matches!(&e, index::Error::Unrepairable { .. }),
                        ..Fault::of_blob("index-superseded-damaged", &blob.id, detail)
                    });
                    continue;
                }
            };
            // Without epochs, compactions drop deleted entries for good.
            let lost = index.iter().filter(|entry| (epochs || !entry.deleted) && !self.mentions(&entry.id));
            for entry in lost {
                found.superseded_only.entry(entry.id).or_insert_with(|| blob.id.clone());
            }
        }
    }

    /// Index blobs that are empty or there twice.
    fn names(&self, found: &mut Forensics) {
        let mut by_hash: BTreeMap<&str, Vec<&BlobId>> = BTreeMap::new();
        for blob in self.active.blobs.iter().chain(&self.active.optional) {
            let stem = blob.id.as_str().split('-').next().unwrap_or_default();
            by_hash.entry(stem).or_default().push(&blob.id);
        }
        for (_, same) in by_hash.into_iter().filter(|(_, same)| same.len() > 1) {
            if let [first, others @ ..] = same.as_slice() {
                let others: Vec<String> = others.iter().map(ToString::to_string).collect();
                found.warnings.push(format!("index blob {first} is there again as {}", others.join(", ")));
            }
        }
    }

    /// Packs that no index names: left by an interrupted client, dead since, or a sign that an index blob is lost.
    fn unnamed_packs(&self, found: &mut Forensics) {
        let named: HashSet<&BlobId> = self.index.packs().iter().collect();
        found.unnamed = self
            .listing
            .values()
            .filter(|blob| blob.id.kind().is_pack() && !named.contains(&blob.id))
            .cloned()
            .collect();
        found.unnamed.sort_by(|a, b| a.id.cmp(&b.id));
        let mut unknown: BTreeMap<ContentId, (Entry, BlobId)> = BTreeMap::new();
        let mut manifests = BTreeMap::new();
        let open = Sessions::of(self.listing.keys());
        let mut unread = UnreadPacks::default();
        for pack in found.unnamed.iter().filter(|pack| !open.write(&pack.id)) {
            let local = match read_local_index(self.store, self.format, &pack.id) {
                Ok(local) => local,
                Err(e) => {
                    unread.add(pack, &e);
                    continue;
                }
            };
            let own = |entry: &Entry| local.packs().get(entry.pack.number() as usize) == Some(&pack.id);
            for entry in local.iter().filter(|entry| !entry.deleted && own(entry)) {
                if self.may_be_dropped(&entry) || self.mentions(&entry.id) {
                    continue;
                }
                if entry.id.is_manifest() {
                    manifests.insert(entry.id, (entry, pack.id.clone()));
                }
                unknown.insert(entry.id, (entry, pack.id.clone()));
            }
        }
        found.warnings.extend(unread.warnings());
        if unknown.is_empty() {
            return;
        }
        let packs: HashSet<&BlobId> = unknown.values().map(|(_, pack)| pack).collect();
        let summary = format!(
            "{} contents in {} packs are known to no index (for example {} in {})",
            unknown.len(),
            packs.len(),
            unknown.keys().next().map(ToString::to_string).unwrap_or_default(),
            unknown.values().next().map(|(_, pack)| pack.to_string()).unwrap_or_default(),
        );
        if manifests.is_empty() {
            found.warnings.push(format!("{summary}: a client was interrupted, or an index blob is lost"));
            return;
        }
        let blob = manifests.values().next().map(|(_, pack)| pack.clone());
        let source = Unindexed { store: self.store, format: self.format, contents: &unknown };
        let known = ListedSnapshots::read(&source, &manifests.keys().copied().collect(), self.room);
        let named: Vec<String> = known.snapshots.iter().take(NAMED).map(describe).collect();
        let snapshots = match known.snapshots.len() {
            0 => "manifests, but none of a snapshot".to_owned(),
            n if n > NAMED => format!("the manifests of {n} snapshots: {}, …", named.join(", ")),
            _ => format!("the manifests of these snapshots: {}", named.join(", ")),
        };
        let detail = format!(
            "{summary}, among them {snapshots}. An index blob is lost; `verify --recover-index` says what can be read \
             back without it"
        );
        found.damage.push(Fault { blob, ..Fault::new("index-missing", detail) });
    }

    /// Whether the entry of a content can have left the indexes in the normal course of things. Compactions of epochs
    /// keep all entries; those of older repositories drop what was deleted.
    fn may_be_dropped(&self, entry: &Entry) -> bool {
        let newest = || self.index.positions().map(|(_, entry)| entry.time).max().unwrap_or(0);
        !self.format.epochs().enabled && entry.time <= *self.newest.get_or_init(newest)
    }
}

/// Packs that no index names and whose own index cannot be read.
#[derive(Default)]
struct UnreadPacks {
    /// Of no bytes: how many, and one of them.
    empty: Option<(u64, BlobId)>,
    /// Of metadata, which may be of snapshots: how many, and what is wrong with one of them.
    doubtful: Option<(u64, String)>,
}

impl UnreadPacks {
    fn add(&mut self, pack: &BlobMetadata, error: &pack::Error) {
        match error {
            pack::Error::Blob(e) if e.is_not_found() => {}
            pack::Error::Blob(blob::Error::Empty { blob }) => {
                self.empty.get_or_insert_with(|| (0, blob.clone())).0 += 1;
            }
            _ if pack.id.kind() == BlobKind::MetadataPack => {
                self.doubtful.get_or_insert_with(|| (0, format!("{}: {error}", pack.id))).0 += 1;
            }
            _ => {}
        }
    }

    fn warnings(&self) -> impl Iterator<Item = String> {
        let empty = self.empty.as_ref().map(|(count, example)| {
            format!(
                "packs that no index names are empty (0 bytes): {count}, for example {example}; usually writes that a power \
                 loss cut short, of which nothing is needed"
            )
        });
        let doubtful = self.doubtful.as_ref().map(|(count, example)| {
            format!(
                "packs of metadata that no index names do not tell what is in them: {count}, for example {example}; as long \
                 as they are there, `exists` and `serve` answer unknown instead of absent"
            )
        });
        empty.into_iter().chain(doubtful)
    }
}

fn describe(snapshot: &Snapshot) -> String {
    let (seconds, _) = snapshot.start_time.to_unix();
    format!("{} of {} at {}", snapshot.id, snapshot.source, rfc3339(seconds))
}

/// Contents by what the local indexes of packs say.
struct Unindexed<'a> {
    store: &'a dyn BlobStore,
    format: &'a RepositoryFormat,
    contents: &'a BTreeMap<ContentId, (Entry, BlobId)>,
}

impl ContentSource for Unindexed<'_> {
    fn get(&self, id: &ContentId) -> Result<Vec<u8>, content::Error> {
        let (entry, pack) = self.contents.get(id).ok_or(content::Error::Missing { content: *id })?;
        let decoder = Decoder::new(self.format).verify(true);
        Ok(read_with(&decoder, self.store, entry, pack)?.0)
    }

    fn original_length(&self, id: &ContentId) -> Result<Option<u64>, content::Error> {
        Ok(self.contents.get(id).map(|(entry, _)| entry.original_length.into()))
    }
}

//! Which paths of which snapshots are lost: the trees followed from their roots.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use serde::Serialize;

use crate::content::Contents;
use crate::object::ObjectId;
use crate::snapshot::{self, DirEntry, EffectiveEntries, Entries, MAX_DEPTH, Snapshot};
use crate::verify::trees::graph::{Root, Trees};

/// Paths listed for one finding, and in all. All are counted.
const MAX_PATHS_OF_FINDING: usize = 10_000;
const MAX_PATHS: usize = 200_000;

/// Directories read to find out what other snapshots have at the path of an unreadable one.
const MAX_LOOKUPS: usize = 50_000;

/// Bytes of paths that are listed, and of those still to be visited: names may be long.
const MAX_BYTES: usize = 32 << 20;

/// Directories visited to list paths. Somebody with the key can nest shared directories so that there are more paths
/// than can be listed.
const MAX_STEPS: usize = 5_000_000;

/// A path that cannot be restored.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[cfg_attr(not(feature = "testkit"), non_exhaustive)]
pub struct LostPath {
    /// ID of the snapshot.
    pub snapshot: String,
    /// Path from the root of the snapshot; `/` is the root itself.
    pub path: String,
    /// Set where the directory above cannot be read: the other snapshot of the source that names the path there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub named_by: Option<String>,
}

/// Which paths are lost because of the findings.
#[derive(Debug, Default)]
pub(crate) struct Impact {
    /// For each finding, paths.
    pub(crate) paths: Vec<Vec<LostPath>>,
    /// For each finding, whether more paths are lost than are listed.
    pub(crate) truncated: Vec<bool>,
    /// For each snapshot, how many paths are lost.
    pub(crate) damaged: Vec<u64>,
}

struct Listing<'a> {
    trees: &'a Trees,
    contents: &'a Contents,
    snapshots: &'a [Snapshot],
    impact: Impact,
    total: usize,
    /// Bytes of listed paths.
    bytes: usize,
    /// Whether any finding may have more paths than are listed.
    cut_short: bool,
    steps: usize,
    /// Directories read to find one of another snapshot.
    lookups: usize,
    /// Children with losses of some directories, and the bytes held for them: snapshots share most directories.
    named: HashMap<u32, Arc<[(u32, String)]>>,
    named_bytes: usize,
}

impl Impact {
    /// Follows the findings to all snapshots; `trees` are those of `snapshots`, in the same order.
    pub(crate) fn of(trees: &Trees, snapshots: &[Snapshot], contents: &Contents) -> Self {
        let counts = Counts::of(trees);
        let impact = Self {
            paths: vec![Vec::new(); trees.findings.len()],
            truncated: vec![false; trees.findings.len()],
            damaged: Vec::new(),
        };
        let mut listing = Listing {
            trees,
            contents,
            snapshots,
            impact,
            total: 0,
            bytes: 0,
            // Directories that were not checked may have lost anything.
            cut_short: trees.unseen.is_some(),
            steps: 0,
            lookups: 0,
            named: HashMap::new(),
            named_bytes: 0,
        };
        for (at, root) in trees.roots.iter().enumerate() {
            let damaged = match root {
                Root::Directory(node) if counts.of_node(*node) > 0 => {
                    counts.of_node(*node) + listing.list(at, *node, &counts)
                }
                Root::Directory(_) => 0,
                Root::File(findings) => {
                    listing.lose(at, "/", None, findings);
                    u64::from(!findings.is_empty())
                }
            };
            listing.impact.damaged.push(damaged);
        }
        if listing.cut_short {
            listing.impact.truncated.fill(true);
        }
        for paths in &mut listing.impact.paths {
            paths.sort();
            paths.dedup();
        }
        listing.impact
    }
}

/// How many paths below each directory are lost, itself included.
struct Counts(Vec<u64>);

impl Counts {
    fn of(trees: &Trees) -> Self {
        let graph = &trees.graph;
        if graph.all_losses().next().is_none() && trees.unseen.is_none() {
            return Self(Vec::new());
        }
        let mut counts = vec![0_u64; graph.len()];
        // Children before parents, without recursion: the writer of a tree decides how deep it is.
        let mut state = vec![0_u8; graph.len()];
        let mut stack: Vec<(u32, usize)> = Vec::new();
        for start in 0..graph.len() as u32 {
            if state.get(start as usize) != Some(&0) {
                continue;
            }
            stack.push((start, 0));
            while let Some((at, next)) = stack.pop() {
                let children = graph.children(at);
                if let Some(slot) = state.get_mut(at as usize) {
                    *slot = 1;
                }
                match children.get(next) {
                    Some(&child) => {
                        stack.push((at, next + 1));
                        if state.get(child as usize) == Some(&0) {
                            stack.push((child, 0));
                        }
                    }
                    None => {
                        let losses = graph.losses_of(at).map_or(0, |losses| {
                            losses.lost.len() as u64
                                + losses.more_lost
                                + u64::from(!losses.unreadable.is_empty())
                        });
                        let own = losses + u64::from(trees.unseen.is_some() && graph.is_unseen(at));
                        let below = children.iter().filter_map(|child| counts.get(*child as usize));
                        let count = below.fold(own, |sum, n| sum.saturating_add(*n));
                        if let Some(slot) = counts.get_mut(at as usize) {
                            *slot = count;
                        }
                    }
                }
            }
        }
        Self(counts)
    }

    fn of_node(&self, node: u32) -> u64 {
        self.0.get(node as usize).copied().unwrap_or(0)
    }
}

impl Listing<'_> {
    /// Lists the lost paths below a directory. Returns how many of them only other snapshots name.
    fn list(&mut self, snapshot: usize, root: u32, counts: &Counts) -> u64 {
        let trees = self.trees;
        let mut presumed = 0;
        let mut held = 0;
        let mut stack: Vec<(u32, String, usize)> = vec![(root, String::new(), 0)];
        while let Some((number, path, depth)) = stack.pop() {
            self.steps += 1;
            held -= path.len();
            if depth > MAX_DEPTH || self.is_full() {
                self.cut_short = true;
                break;
            }
            let shown = if path.is_empty() { "/" } else { &path };
            if let Some(unseen) = trees.unseen.filter(|_| trees.graph.is_unseen(number)) {
                self.lose(snapshot, shown, None, &[unseen]);
            }
            if let Some(losses) = trees.graph.losses_of(number) {
                if !losses.unreadable.is_empty() {
                    self.lose(snapshot, shown, None, &losses.unreadable);
                    presumed += self.presume(snapshot, &path, &losses.unreadable);
                }
                if losses.more_lost > 0 {
                    self.cut_short = true;
                }
                for entry in &losses.lost {
                    self.lose(snapshot, &join(&path, &entry.name), None, &entry.findings);
                }
            }
            for (child, name) in self.bad_children(number, counts).iter() {
                let path = join(&path, name);
                if held + path.len() > MAX_BYTES {
                    self.cut_short = true;
                    break;
                }
                held += path.len();
                stack.push((*child, path, depth + 1));
            }
        }
        presumed
    }

    /// The directories in a directory below which something is lost. Their names are in the directory alone.
    fn bad_children(&mut self, number: u32, counts: &Counts) -> Arc<[(u32, String)]> {
        if let Some(known) = self.named.get(&number) {
            return Arc::clone(known);
        }
        let graph = &self.trees.graph;
        let bad = graph.children(number).iter().filter(|child| counts.of_node(**child) > 0);
        let bad: HashMap<ObjectId, u32> =
            bad.filter_map(|child| Some((graph.object(*child)?, *child))).take(MAX_PATHS).collect();
        if bad.is_empty() {
            return Arc::default();
        }
        let mut unnamed: HashSet<u32> = bad.values().copied().collect();
        let mut bytes = 0;
        let named = |entry: DirEntry| {
            let child = *bad.get(&entry.object.filter(|_| entry.is_directory())?)?;
            bytes += entry.raw_name.len() + size_of::<(u32, String)>();
            (bytes <= MAX_BYTES).then(|| unnamed.remove(&child)).map(|_| (child, entry.raw_name))
        };
        let found: Arc<[(u32, String)]> = self.entries(number).filter_map(named).collect();
        if !unnamed.is_empty() || bad.len() >= MAX_PATHS {
            self.cut_short = true;
        }
        if self.named_bytes + bytes <= MAX_BYTES {
            self.named_bytes += bytes;
            self.named.insert(number, Arc::clone(&found));
        }
        found
    }

    /// The entries of a directory that the walk used, up to where it can no longer be read.
    fn entries(&self, number: u32) -> Box<dyn Iterator<Item = DirEntry> + '_> {
        let graph = &self.trees.graph;
        let Some(object) = graph.object(number) else { return Box::new(std::iter::empty()) };
        if !graph.has_effective_children(number) {
            return Box::new(readable(Entries::open(self.contents, &object)));
        }
        match EffectiveEntries::open(self.contents, &object) {
            Ok(entries) => Box::new(readable(entries)),
            Err(_) => Box::new(std::iter::empty()),
        }
    }

    /// Whether no more paths are listed.
    fn is_full(&self) -> bool {
        self.total >= MAX_PATHS || self.bytes >= MAX_BYTES || self.steps > MAX_STEPS
    }

    fn lose(&mut self, snapshot: usize, path: &str, named_by: Option<&str>, findings: &[u32]) {
        let Some(snapshot) = self.snapshots.get(snapshot) else { return };
        for &finding in findings {
            let Some(paths) = self.impact.paths.get_mut(finding as usize) else { continue };
            if paths.len() < MAX_PATHS_OF_FINDING && self.bytes < MAX_BYTES {
                self.total += 1;
                self.bytes += path.len();
                paths.push(LostPath {
                    snapshot: snapshot.id.to_string(),
                    path: path.to_owned(),
                    named_by: named_by.map(str::to_owned),
                });
            } else if let Some(truncated) = self.impact.truncated.get_mut(finding as usize) {
                *truncated = true;
            }
        }
    }

    /// What was below an unreadable directory, as the nearest other snapshot of the same source has it.
    fn presume(&mut self, snapshot: usize, path: &str, findings: &[u32]) -> u64 {
        let (snapshots, trees) = (self.snapshots, self.trees);
        let Some(damaged) = snapshots.get(snapshot) else { return 0 };
        let mut others: Vec<(usize, &Snapshot)> = snapshots
            .iter()
            .enumerate()
            .filter(|(at, other)| *at != snapshot && other.source == damaged.source)
            .collect();
        others.sort_by_key(|(_, other)| other.start_time.seconds_since(damaged.start_time).unsigned_abs());
        let found = others.into_iter().find_map(|(at, other)| {
            let Some(Root::Directory(root)) = trees.roots.get(at) else { return None };
            Some((other, self.directory(*root, path)?))
        });
        let Some((other, directory)) = found else { return 0 };
        let mut names = BTreeSet::new();
        if !self.names_below(directory, path, &mut names) {
            for &finding in findings {
                self.impact.truncated.get_mut(finding as usize).into_iter().for_each(|more| *more = true);
            }
        }
        let id = other.id.to_string();
        for name in &names {
            self.lose(snapshot, name, Some(&id), findings);
        }
        names.len() as u64
    }

    /// The readable directory at a path.
    fn directory(&mut self, root: u32, path: &str) -> Option<ObjectId> {
        let graph = &self.trees.graph;
        let mut number = root;
        for name in path.split('/').filter(|name| !name.is_empty()) {
            if self.lookups >= MAX_LOOKUPS {
                self.cut_short = true;
                return None;
            }
            self.lookups += 1;
            if graph.children(number).is_empty() {
                return None;
            }
            let named = self.entries(number).filter(|entry| entry.is_directory() && entry.raw_name == name);
            number = graph.find(&named.filter_map(|entry| entry.object).last()?)?;
        }
        let unreadable = graph.losses_of(number).is_some_and(|losses| !losses.unreadable.is_empty());
        graph.object(number).filter(|_| !unreadable)
    }

    /// Adds the names below a directory. Returns false if there are more than are listed.
    fn names_below(&self, directory: ObjectId, path: &str, names: &mut BTreeSet<String>) -> bool {
        let mut stack = vec![(directory, path.to_owned(), 0)];
        let mut bytes = 0;
        while let Some((object, path, depth)) = stack.pop() {
            for entry in Entries::open(self.contents, &object).map_while(Result::ok) {
                if names.len() >= MAX_PATHS_OF_FINDING || depth > MAX_DEPTH || bytes >= MAX_BYTES {
                    return false;
                }
                let below = join(&path, &entry.raw_name);
                bytes += below.len();
                if let Some(object) = entry.object.filter(|_| entry.is_directory()) {
                    stack.push((object, below.clone(), depth + 1));
                }
                names.insert(below);
            }
        }
        true
    }
}

/// The entries of a directory up to where it cannot be read.
fn readable(
    entries: impl Iterator<Item = Result<DirEntry, snapshot::Error>>,
) -> impl Iterator<Item = DirEntry> {
    entries
        .take_while(|entry| entry.as_ref().err().is_none_or(snapshot::Error::is_entry))
        .filter_map(Result::ok)
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}/{name}") }
}

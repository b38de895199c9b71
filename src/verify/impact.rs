//! Which paths of which snapshots are lost: the trees seen from their roots.

use std::collections::BTreeSet;

use serde::Serialize;

use super::walk::{Edge, Node, Root, Trees};
use crate::content::Contents;
use crate::object::ObjectId;
use crate::snapshot::{Entries, MAX_DEPTH, Snapshot};

/// Paths listed for one fault, and in all. All are counted.
const MAX_PATHS_OF_FAULT: usize = 10_000;
const MAX_PATHS: usize = 200_000;

/// Directories looked at to list paths. Whoever has the key can nest shared directories so that there are more paths
/// than anybody can list.
const MAX_STEPS: usize = 5_000_000;

/// A path that cannot be brought back.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct LostPath {
    /// ID of the snapshot.
    pub snapshot: String,
    /// Path from the root of the snapshot; `/` is the root itself.
    pub path: String,
    /// Set where the directory above cannot be read: the other snapshot of the source that names the path there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub named_by: Option<String>,
}

/// What the faults of some trees come to.
#[derive(Debug, Default)]
pub(super) struct Impact {
    /// For each fault, paths.
    pub(super) paths: Vec<Vec<LostPath>>,
    /// For each fault, whether more paths are lost than are listed.
    pub(super) truncated: Vec<bool>,
    /// For each snapshot, how many paths are lost.
    pub(super) damaged: Vec<u64>,
}

struct Listing<'a> {
    trees: &'a Trees,
    contents: &'a Contents,
    snapshots: &'a [Snapshot],
    impact: Impact,
    total: usize,
    steps: usize,
}

impl Impact {
    /// Follows the faults to all snapshots; `trees` are those of `snapshots`, in the same order.
    pub(super) fn of(trees: &Trees, snapshots: &[Snapshot], contents: &Contents) -> Self {
        let counts = Counts::of(&trees.nodes);
        let impact = Self {
            paths: vec![Vec::new(); trees.faults.len()],
            truncated: vec![false; trees.faults.len()],
            damaged: Vec::new(),
        };
        let mut listing = Listing { trees, contents, snapshots, impact, total: 0, steps: 0 };
        for (at, root) in trees.roots.iter().enumerate() {
            let damaged = match root {
                Root::Directory(node) if counts.of_node(*node) > 0 => {
                    counts.of_node(*node) + listing.list(at, *node, &counts)
                }
                Root::Directory(_) => 0,
                Root::File(faults) => {
                    listing.lose(at, "/", None, faults);
                    u64::from(!faults.is_empty())
                }
            };
            listing.impact.damaged.push(damaged);
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
    fn of(nodes: &[Node]) -> Self {
        let mut counts = vec![0_u64; nodes.len()];
        if nodes.iter().all(|node| node.lost.is_empty() && node.more_lost == 0 && node.unreadable.is_empty())
        {
            return Self(counts);
        }
        // Children before parents, without recursion: how deep trees are is up to whoever wrote them.
        let mut state = vec![0_u8; nodes.len()];
        let mut stack: Vec<(usize, usize)> = Vec::new();
        for start in 0..nodes.len() {
            if state.get(start) != Some(&0) {
                continue;
            }
            stack.push((start, 0));
            while let Some((at, next)) = stack.pop() {
                let Some(node) = nodes.get(at) else { continue };
                if let Some(slot) = state.get_mut(at) {
                    *slot = 1;
                }
                match node.children.get(next) {
                    Some(edge) => {
                        stack.push((at, next + 1));
                        if state.get(edge.child as usize) == Some(&0) {
                            stack.push((edge.child as usize, 0));
                        }
                    }
                    None => {
                        let below = node.children.iter().filter_map(|edge| counts.get(edge.child as usize));
                        let mut count = below
                            .fold(node.lost.len() as u64 + node.more_lost, |sum, n| sum.saturating_add(*n));
                        count = count.saturating_add(u64::from(!node.unreadable.is_empty()));
                        if let Some(slot) = counts.get_mut(at) {
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
    /// Lists what is lost below a directory; gives the number of paths that only other snapshots name.
    fn list(&mut self, snapshot: usize, root: u32, counts: &Counts) -> u64 {
        let trees = self.trees;
        let mut presumed = 0;
        let mut stack: Vec<(u32, String, usize)> = vec![(root, String::new(), 0)];
        while let Some((number, path, depth)) = stack.pop() {
            let Some(node) = trees.nodes.get(number as usize) else { continue };
            self.steps += 1;
            if depth > MAX_DEPTH || self.total >= MAX_PATHS || self.steps > MAX_STEPS {
                self.impact.truncated.iter_mut().for_each(|truncated| *truncated = true);
                break;
            }
            if !node.unreadable.is_empty() {
                let shown = if path.is_empty() { "/" } else { &path };
                self.lose(snapshot, shown, None, &node.unreadable);
                presumed += self.presume(snapshot, &path, &node.unreadable);
            }
            if node.more_lost > 0 {
                self.impact.truncated.iter_mut().for_each(|truncated| *truncated = true);
            }
            for entry in &node.lost {
                self.lose(snapshot, &join(&path, &entry.name), None, &entry.faults);
            }
            let bad = node.children.iter().filter(|edge| counts.of_node(edge.child) > 0);
            stack.extend(bad.map(|Edge { name, child }| (*child, join(&path, name), depth + 1)));
        }
        presumed
    }

    fn lose(&mut self, snapshot: usize, path: &str, named_by: Option<&str>, faults: &[u32]) {
        let Some(snapshot) = self.snapshots.get(snapshot) else { return };
        for &fault in faults {
            let Some(paths) = self.impact.paths.get_mut(fault as usize) else { continue };
            if paths.len() < MAX_PATHS_OF_FAULT {
                self.total += 1;
                paths.push(LostPath {
                    snapshot: snapshot.id.to_string(),
                    path: path.to_owned(),
                    named_by: named_by.map(str::to_owned),
                });
            } else if let Some(truncated) = self.impact.truncated.get_mut(fault as usize) {
                *truncated = true;
            }
        }
    }

    /// What was below an unreadable directory, as the nearest other snapshot of the same source has it.
    fn presume(&mut self, snapshot: usize, path: &str, faults: &[u32]) -> u64 {
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
            Some((other, trees.directory(*root, path)?))
        });
        let Some((other, directory)) = found else { return 0 };
        let mut names = BTreeSet::new();
        self.names_below(directory, path, &mut names);
        let id = other.id.to_string();
        for name in &names {
            self.lose(snapshot, name, Some(&id), faults);
        }
        names.len() as u64
    }

    fn names_below(&self, directory: ObjectId, path: &str, names: &mut BTreeSet<String>) {
        let mut stack = vec![(directory, path.to_owned(), 0)];
        while let Some((object, path, depth)) = stack.pop() {
            for entry in Entries::open(self.contents, &object).map_while(Result::ok) {
                if names.len() >= MAX_PATHS_OF_FAULT || depth > MAX_DEPTH {
                    return;
                }
                let below = join(&path, &entry.raw_name);
                if let Some(object) = entry.object.filter(|_| entry.is_directory()) {
                    stack.push((object, below.clone(), depth + 1));
                }
                names.insert(below);
            }
        }
    }
}

impl Trees {
    /// The readable directory at a path.
    fn directory(&self, root: u32, path: &str) -> Option<ObjectId> {
        let mut node = self.nodes.get(root as usize)?;
        for name in path.split('/').filter(|name| !name.is_empty()) {
            let edge = node.children.iter().rev().find(|edge| &*edge.name == name)?;
            node = self.nodes.get(edge.child as usize)?;
        }
        node.unreadable.is_empty().then_some(node.object)
    }
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}/{name}") }
}

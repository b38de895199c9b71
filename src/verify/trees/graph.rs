//! The directories of all trees, each once, in some sixty bytes: a large repository has millions of them. Names are not
//! held; to get them, the directory is read again.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

use hashbrown::HashTable;

use crate::object::ObjectId;
use crate::verify::fault::Finding;

/// An entry of a directory that cannot be restored, and the numbers of the findings that say why.
#[derive(Debug)]
pub(crate) struct LostEntry {
    pub(crate) name: Box<str>,
    pub(crate) findings: Vec<u32>,
}

impl LostEntry {
    /// Bytes held, allocations included.
    pub(crate) fn bytes(&self) -> u64 {
        const OVERHEAD: usize = 80;
        (OVERHEAD + self.name.len() + self.findings.len() * size_of::<u32>()) as u64
    }
}

/// What is lost of a directory.
#[derive(Debug, Default)]
pub(crate) struct Losses {
    /// Entries that cannot be restored.
    pub(crate) lost: Vec<LostEntry>,
    /// How many more are lost whose names are not held.
    pub(crate) more_lost: u64,
    /// Why the directory itself cannot be read; empty if it can.
    pub(crate) unreadable: Vec<u32>,
}

/// The root of a snapshot.
pub(crate) enum Root {
    Directory(u32),
    /// A file, with the findings that keep it from being restored.
    File(Vec<u32>),
}

/// All trees, and everything that is lost of them.
pub(crate) struct Trees {
    pub(crate) graph: Graph,
    pub(crate) roots: Vec<Root>,
    pub(crate) findings: Vec<Finding>,
    /// Oddities that keep nothing from being restored.
    pub(crate) warnings: Vec<String>,
    /// Whether the walk was ended before it had seen everything.
    pub(crate) stopped: bool,
    /// The finding about directories that were not checked because the memory was exhausted, if there are any.
    pub(crate) unseen: Option<u32>,
}

impl Trees {
    /// Whether every directory was read, so that a content without a reference is certainly not needed.
    pub(crate) fn is_complete(&self) -> bool {
        !self.stopped
            && self.unseen.is_none()
            && self.graph.all_losses().all(|losses| losses.unreadable.is_empty())
    }
}

impl Losses {
    fn is_none(&self) -> bool {
        self.lost.is_empty() && self.more_lost == 0 && self.unreadable.is_empty()
    }
}

/// The children of a directory, as a range of all of them.
#[derive(Debug, Clone, Copy, Default)]
struct Children {
    first: u64,
    count: u32,
}

/// What it takes for each directory to count what is lost below it: the number, and a mark.
const COUNTING: usize = size_of::<u64>() + 1;

#[derive(Debug, Clone, Copy)]
struct Node {
    object: ObjectId,
    /// Whether it is to be read.
    queued: bool,
    /// Whether it was read, successfully or not.
    seen: bool,
    /// Whether entries that others of the same name hide are left out.
    effective: bool,
    children: Children,
}

/// Directories by number, with their children and losses.
#[derive(Default)]
pub(crate) struct Graph {
    nodes: Vec<Node>,
    edges: Vec<u32>,
    numbers: HashTable<u32>,
    hasher: RandomState,
    losses: HashMap<u32, Losses>,
    /// Bytes of lost entries.
    lost: u64,
    /// Directories that are to be read, of the next level.
    next: Vec<u32>,
}

impl Graph {
    /// The number of a directory that has one.
    pub(crate) fn find(&self, object: &ObjectId) -> Option<u32> {
        let is = |number: &u32| self.nodes.get(*number as usize).is_some_and(|node| node.object == *object);
        self.numbers.find(self.hasher.hash_one(*object), is).copied()
    }

    /// The number of a directory, which is the same wherever it occurs.
    pub(crate) fn number(&mut self, object: &ObjectId) -> u32 {
        if let Some(number) = self.find(object) {
            return number;
        }
        let Self { nodes, numbers, hasher, .. } = self;
        let number = nodes.len() as u32;
        numbers.insert_unique(hasher.hash_one(*object), number, |number| {
            nodes.get(*number as usize).map_or(0, |node| hasher.hash_one(node.object))
        });
        let children = Children::default();
        nodes.push(Node { object: *object, queued: false, seen: false, effective: false, children });
        number
    }

    /// Queues a directory for reading, unless it was queued before.
    pub(crate) fn queue(&mut self, number: u32) {
        if let Some(node) = self.nodes.get_mut(number as usize)
            && !std::mem::replace(&mut node.queued, true)
        {
            self.next.push(number);
        }
    }

    /// The directories that were queued since the last call.
    pub(crate) fn take_queued(&mut self) -> Vec<u32> {
        std::mem::take(&mut self.next)
    }

    /// Adds the children and losses of a directory, and queues the children.
    pub(crate) fn fill(&mut self, number: u32, children: &[u32], effective: bool, losses: Losses) {
        children.iter().for_each(|child| self.queue(*child));
        let (first, count) = (self.edges.len() as u64, children.len() as u32);
        self.edges.extend_from_slice(children);
        if let Some(node) = self.nodes.get_mut(number as usize) {
            (node.seen, node.effective, node.children) = (true, effective, Children { first, count });
        }
        if !losses.is_none() {
            self.lost += losses.lost.iter().map(LostEntry::bytes).sum::<u64>();
            self.losses.insert(number, losses);
        }
    }

    /// Bytes held, with those that counting the losses will take.
    pub(crate) fn memory(&self) -> u64 {
        let bytes = self.nodes.len() * (size_of::<Node>() + COUNTING)
            + (self.edges.len() + self.next.len()) * size_of::<u32>()
            // One byte of control beside each number.
            + self.numbers.capacity() * (size_of::<u32>() + 1)
            + self.losses.capacity() * (size_of::<(u32, Losses)>() + 1);
        bytes as u64 + self.lost
    }

    pub(crate) fn len(&self) -> usize {
        self.nodes.len()
    }

    pub(crate) fn object(&self, number: u32) -> Option<ObjectId> {
        self.nodes.get(number as usize).map(|node| node.object)
    }

    pub(crate) fn children(&self, number: u32) -> &[u32] {
        let Some(Node { children: Children { first, count }, .. }) = self.nodes.get(number as usize) else {
            return &[];
        };
        let first = *first as usize;
        self.edges.get(first..first + *count as usize).unwrap_or_default()
    }

    /// Whether a directory is part of a tree, but was not read.
    pub(crate) fn is_unseen(&self, number: u32) -> bool {
        self.nodes.get(number as usize).is_some_and(|node| node.queued && !node.seen)
    }

    /// Whether the children of a directory leave out entries that others of the same name hide.
    pub(crate) fn has_effective_children(&self, number: u32) -> bool {
        self.nodes.get(number as usize).is_some_and(|node| node.effective)
    }

    /// The losses of a directory.
    pub(crate) fn losses_of(&self, number: u32) -> Option<&Losses> {
        self.losses.get(&number)
    }

    /// The losses of all directories.
    pub(crate) fn all_losses(&self) -> impl Iterator<Item = &Losses> {
        self.losses.values()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(number: u32) -> ObjectId {
        format!("k{number:032x}").parse().unwrap()
    }

    #[test]
    fn a_directory_has_one_number_and_is_read_once() {
        let mut graph = Graph::default();
        let numbers: Vec<u32> = (0..5000).map(|at| graph.number(&object(at))).collect();
        let again: Vec<u32> = (0..5000).map(|at| graph.number(&object(at))).collect();
        assert_eq!(numbers, again);
        graph.queue(numbers[0]);
        assert_eq!(graph.take_queued(), [0]);
        assert!(graph.is_unseen(0) && !graph.is_unseen(1));
        graph.fill(0, &[1, 2, 1, 0], false, Losses::default());
        graph.fill(2, &[], false, Losses::default());
        graph.fill(1, &[3], true, Losses::default());
        assert_eq!(graph.take_queued(), [1, 2, 3]);
        assert!(!graph.is_unseen(0) && graph.is_unseen(3) && !graph.is_unseen(4));
        assert!(
            graph.has_effective_children(1)
                && !graph.has_effective_children(0)
                && graph.all_losses().next().is_none()
        );
        assert_eq!(
            (graph.children(0), graph.children(2), graph.children(1)),
            (&[1, 2, 1, 0][..], &[][..], &[3][..])
        );
        assert_eq!(graph.object(7), Some(object(7)));
        assert!(graph.children(5000).is_empty() && graph.object(5000).is_none());
    }

    #[test]
    fn a_directory_takes_little() {
        let mut graph = Graph::default();
        let numbers: Vec<u32> = (0..1 << 20).map(|at| graph.number(&object(at))).collect();
        graph.fill(0, &numbers, false, Losses::default());
        let each = graph.memory() / graph.len() as u64;
        assert!(each < 100, "{each} bytes");
        let before = graph.memory();
        let lost = vec![LostEntry { name: "n".repeat(1 << 20).into(), findings: vec![0] }];
        graph.fill(1, &[], false, Losses { lost, ..Losses::default() });
        assert!(graph.memory() > before + (1 << 20));
    }
}

//! The directories of all trees, each once, in some sixty bytes: there are millions in a large repository. Names are not
//! held; who needs them reads the directory again.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

use hashbrown::HashTable;

use crate::object::ObjectId;
use crate::verify::trees::tree::LostEntry;

/// What is known against a directory.
#[derive(Debug, Default)]
pub(crate) struct Damage {
    /// Entries that cannot be brought back.
    pub(crate) lost: Vec<LostEntry>,
    /// How many more are lost whose names are not held.
    pub(crate) more_lost: u64,
    /// Why the directory itself cannot be read; empty when it can.
    pub(crate) unreadable: Vec<u32>,
}

impl Damage {
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
    /// Whether it was looked at, with whatever result.
    seen: bool,
    /// Whether entries that others of the same name hide are left out.
    winners: bool,
    children: Children,
}

/// Directories by number, what is in each of them, and what is wrong with it.
#[derive(Default)]
pub(crate) struct Graph {
    nodes: Vec<Node>,
    edges: Vec<u32>,
    numbers: HashTable<u32>,
    hasher: RandomState,
    damage: HashMap<u32, Damage>,
    /// Bytes of damage.
    damaged: u64,
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
        nodes.push(Node { object: *object, queued: false, seen: false, winners: false, children });
        number
    }

    /// Has a directory read, unless that was asked for before.
    pub(crate) fn queue(&mut self, number: u32) {
        if let Some(node) = self.nodes.get_mut(number as usize)
            && !std::mem::replace(&mut node.queued, true)
        {
            self.next.push(number);
        }
    }

    /// What was queued since this was last asked.
    pub(crate) fn take_queued(&mut self) -> Vec<u32> {
        std::mem::take(&mut self.next)
    }

    /// Takes in what is in a directory, and queues it.
    pub(crate) fn fill(&mut self, number: u32, children: &[u32], winners: bool, damage: Damage) {
        children.iter().for_each(|child| self.queue(*child));
        let (first, count) = (self.edges.len() as u64, children.len() as u32);
        self.edges.extend_from_slice(children);
        if let Some(node) = self.nodes.get_mut(number as usize) {
            (node.seen, node.winners, node.children) = (true, winners, Children { first, count });
        }
        if !damage.is_none() {
            self.damaged += damage.lost.iter().map(LostEntry::bytes).sum::<u64>();
            self.damage.insert(number, damage);
        }
    }

    /// Bytes held, and such as counting what is lost will take.
    pub(crate) fn memory(&self) -> u64 {
        let bytes = self.nodes.len() * (size_of::<Node>() + COUNTING)
            + (self.edges.len() + self.next.len()) * size_of::<u32>()
            // One byte of control beside each number.
            + self.numbers.capacity() * (size_of::<u32>() + 1)
            + self.damage.capacity() * (size_of::<(u32, Damage)>() + 1);
        bytes as u64 + self.damaged
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

    /// Whether a directory is part of a tree, but was not looked at.
    pub(crate) fn is_unseen(&self, number: u32) -> bool {
        self.nodes.get(number as usize).is_some_and(|node| node.queued && !node.seen)
    }

    /// Whether the children of a directory are only those that no other entry of their name hides.
    pub(crate) fn are_winners(&self, number: u32) -> bool {
        self.nodes.get(number as usize).is_some_and(|node| node.winners)
    }

    /// What is wrong with a directory.
    pub(crate) fn damage_of(&self, number: u32) -> Option<&Damage> {
        self.damage.get(&number)
    }

    /// Everything that is wrong.
    pub(crate) fn all_damage(&self) -> impl Iterator<Item = &Damage> {
        self.damage.values()
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
        graph.fill(0, &[1, 2, 1, 0], false, Damage::default());
        graph.fill(2, &[], false, Damage::default());
        graph.fill(1, &[3], true, Damage::default());
        assert_eq!(graph.take_queued(), [1, 2, 3]);
        assert!(!graph.is_unseen(0) && graph.is_unseen(3) && !graph.is_unseen(4));
        assert!(graph.are_winners(1) && !graph.are_winners(0) && graph.all_damage().next().is_none());
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
        graph.fill(0, &numbers, false, Damage::default());
        let each = graph.memory() / graph.len() as u64;
        assert!(each < 100, "{each} bytes");
        let before = graph.memory();
        let lost = vec![LostEntry { name: "n".repeat(1 << 20).into(), faults: vec![0] }];
        graph.fill(1, &[], false, Damage { lost, ..Damage::default() });
        assert!(graph.memory() > before + (1 << 20));
    }
}

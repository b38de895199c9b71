//! The nodes that are in use, by their numbers.

use std::collections::HashMap;
use std::sync::Arc;

use super::ROOT;
use crate::snapshot::DirEntry;

/// What a node stands for.
#[derive(Debug, Clone)]
pub(super) enum What {
    /// A directory of the layout, by its path.
    Virtual(Arc<str>),
    /// A link of the layout.
    Link(Arc<str>),
    /// An entry of a snapshot.
    Entry(Arc<DirEntry>),
}

#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) parent: u64,
    pub(super) what: What,
    uses: u64,
}

#[derive(Debug)]
pub(super) struct Nodes {
    used: HashMap<u64, Node>,
}

impl Nodes {
    pub(super) fn new(root: What) -> Self {
        Self { used: HashMap::from([(ROOT, Node { parent: ROOT, what: root, uses: 1 })]) }
    }

    pub(super) fn get(&self, inode: u64) -> Option<Node> {
        self.used.get(&inode).cloned()
    }

    /// Counts a use of the child of a directory, and tells its number.
    pub(super) fn use_child(&mut self, parent: u64, name: &str, what: &What) -> u64 {
        let inode = number(parent, name);
        self.used.entry(inode).or_insert_with(|| Node { parent, what: what.clone(), uses: 0 }).uses += 1;
        inode
    }

    pub(super) fn forget(&mut self, inode: u64, times: u64) {
        if inode == ROOT {
            return;
        }
        if let Some(node) = self.used.get_mut(&inode) {
            node.uses = node.uses.saturating_sub(times);
            if node.uses == 0 {
                self.used.remove(&inode);
            }
        }
    }
}

/// The number of a child: made from its path alone, so that it is the same after a restart. Two paths of one number are as
/// unlikely as a fault of the memory.
pub(super) fn number(parent: u64, name: &str) -> u64 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&parent.to_le_bytes()).update(name.as_bytes());
    let [a, b, c, d, e, f, g, h, ..] = *hasher.finalize().as_bytes();
    u64::from_le_bytes([a, b, c, d, e, f, g, h]).max(ROOT + 1)
}

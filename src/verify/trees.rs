//! What a walk over the trees of snapshots comes to.

use super::graph::Graph;
use crate::blob::BlobId;
use crate::index::ContentId;
use crate::object::ObjectId;

/// A reason for which paths are lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) code: &'static str,
    pub(super) blob: Option<BlobId>,
    pub(super) content: Option<ContentId>,
    pub(super) object: Option<ObjectId>,
    pub(super) detail: Box<str>,
    pub(super) unchecked: bool,
}

/// An entry of a directory that cannot be brought back, and why.
#[derive(Debug)]
pub(super) struct LostEntry {
    pub(super) name: Box<str>,
    pub(super) faults: Vec<u32>,
}

impl LostEntry {
    /// What it takes, allocations included.
    pub(super) fn bytes(&self) -> u64 {
        const OVERHEAD: usize = 80;
        (OVERHEAD + self.name.len() + self.faults.len() * size_of::<u32>()) as u64
    }
}

/// The root of a snapshot.
pub(super) enum Root {
    Directory(u32),
    /// A file, with what keeps it from being brought back.
    File(Vec<u32>),
}

/// All trees, as far as damage is concerned.
pub(super) struct Trees {
    pub(super) graph: Graph,
    pub(super) roots: Vec<Root>,
    pub(super) faults: Vec<Fault>,
    /// Oddities that keep nothing from being brought back.
    pub(super) warnings: Vec<String>,
    /// Whether the walk was ended before it had seen everything.
    pub(super) stopped: bool,
    /// What is said of directories that were not looked at for want of memory, where there are such.
    pub(super) unseen: Option<u32>,
}

impl Trees {
    /// Whether every directory was read, so that what is not referenced is certainly not needed.
    pub(super) fn is_complete(&self) -> bool {
        !self.stopped
            && self.unseen.is_none()
            && self.graph.all_damage().all(|damage| damage.unreadable.is_empty())
    }
}

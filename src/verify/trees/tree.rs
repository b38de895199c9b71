//! What a walk over the trees of snapshots comes to.

use crate::blob::BlobId;
use crate::index::ContentId;
use crate::object::ObjectId;
use crate::verify::trees::graph::Graph;

/// A reason for which paths are lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) code: &'static str,
    pub(crate) blob: Option<BlobId>,
    pub(crate) content: Option<ContentId>,
    pub(crate) object: Option<ObjectId>,
    pub(crate) detail: Box<str>,
    pub(crate) unchecked: bool,
}

/// An entry of a directory that cannot be brought back, and why.
#[derive(Debug)]
pub(crate) struct LostEntry {
    pub(crate) name: Box<str>,
    pub(crate) faults: Vec<u32>,
}

impl LostEntry {
    /// What it takes, allocations included.
    pub(crate) fn bytes(&self) -> u64 {
        const OVERHEAD: usize = 80;
        (OVERHEAD + self.name.len() + self.faults.len() * size_of::<u32>()) as u64
    }
}

/// The root of a snapshot.
pub(crate) enum Root {
    Directory(u32),
    /// A file, with what keeps it from being brought back.
    File(Vec<u32>),
}

/// All trees, as far as damage is concerned.
pub(crate) struct Trees {
    pub(crate) graph: Graph,
    pub(crate) roots: Vec<Root>,
    pub(crate) faults: Vec<Fault>,
    /// Oddities that keep nothing from being brought back.
    pub(crate) warnings: Vec<String>,
    /// Whether the walk was ended before it had seen everything.
    pub(crate) stopped: bool,
    /// What is said of directories that were not looked at for want of memory, where there are such.
    pub(crate) unseen: Option<u32>,
}

impl Trees {
    /// Whether every directory was read, so that what is not referenced is certainly not needed.
    pub(crate) fn is_complete(&self) -> bool {
        !self.stopped
            && self.unseen.is_none()
            && self.graph.all_damage().all(|damage| damage.unreadable.is_empty())
    }
}

//! What was restored in a directory and below, to be taken back if it is lost.

use std::sync::atomic::{AtomicU64, Ordering};

use super::{Dir, clear, staged_name};
use crate::restore::report::add;

/// Counters of what was restored.
#[derive(Default)]
pub(super) struct Tally {
    pub(super) dirs: AtomicU64,
    files: AtomicU64,
    links: AtomicU64,
    bytes: AtomicU64,
}

impl Tally {
    fn parts(&self) -> [&AtomicU64; 4] {
        [&self.dirs, &self.files, &self.links, &self.bytes]
    }

    pub(super) fn add_to(&self, other: &Self) {
        for (part, sum) in self.parts().into_iter().zip(other.parts()) {
            add(sum, part.load(Ordering::Relaxed));
        }
    }
}

impl Dir<'_> {
    /// Counts a file of this length, or a symbolic link, that is in place.
    pub(in crate::restore) fn count(&self, bytes: Option<u64>) {
        for [_, files, links, sum] in [self.session.report.tally(), self.tally.parts()] {
            add(if bytes.is_some() { files } else { links }, 1);
            add(sum, bytes.unwrap_or_default());
        }
    }

    /// Takes back what [`count`](Self::count) has counted.
    pub(in crate::restore) fn uncount(&self, bytes: Option<u64>) {
        for [_, files, links, sum] in [self.session.report.tally(), self.tally.parts()] {
            (if bytes.is_some() { files } else { links }).fetch_sub(1, Ordering::Relaxed);
            sum.fetch_sub(bytes.unwrap_or_default(), Ordering::Relaxed);
        }
    }

    /// Removes what was restored into a directory that could not get its name.
    pub(super) fn take_back(&self) {
        for (part, sum) in self.tally.parts().into_iter().zip(self.session.report.tally()) {
            sum.fetch_sub(part.load(Ordering::Relaxed), Ordering::Relaxed);
        }
        let Some(above) = &self.parent else { return };
        let removed = above.open().and_then(|parent| clear(self.session, &parent, &staged_name(&self.name)));
        if let Err(error) = removed {
            self.session.report.error(self.path(), &error);
        }
    }
}

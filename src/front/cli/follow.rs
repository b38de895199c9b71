//! A tree of all snapshots that is brought up to date while it is shown.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;

use super::session::Session;
use crate::content::{self, ContentSource, Contents};
use crate::index::ContentId;
use crate::vfs::Vfs;
use crate::{Catalog, Repository, repository};

/// The contents of a repository that grows: those of the index that was read last.
struct Growing(ArcSwap<Contents>);

impl ContentSource for Growing {
    fn get(&self, id: &ContentId) -> Result<Vec<u8>, content::Error> {
        self.0.load_full().get(id)
    }

    fn original_length(&self, id: &ContentId) -> Result<Option<u64>, content::Error> {
        self.0.load_full().original_length(id)
    }
}

/// Brings the tree up to date.
pub(super) struct Follow {
    repository: Repository,
    catalog: Catalog,
    contents: Arc<Growing>,
    vfs: Arc<Vfs>,
    every: Duration,
    last: Instant,
}

impl Follow {
    /// The tree of all snapshots, and what looks for new ones so often; never where that is 0.
    pub(super) fn new(
        session: Session,
        contents: Contents,
        memory: u64,
        reads: usize,
        every: Duration,
    ) -> (Arc<Vfs>, Self) {
        let contents = Arc::new(Growing(ArcSwap::from_pointee(contents)));
        let source: Arc<dyn ContentSource> = contents.clone();
        let vfs = Arc::new(Vfs::of_snapshots(source, &session.snapshots, memory, reads));
        let Session { repository, catalog, .. } = session;
        (Arc::clone(&vfs), Self { repository, catalog, contents, vfs, every, last: Instant::now() })
    }

    /// Looks for new snapshots if it is time.
    pub(super) fn tick(&mut self) {
        if self.every.is_zero() || self.last.elapsed() < self.every {
            return;
        }
        if let Err(error) = self.refresh() {
            tracing::warn!("looking for new snapshots: {error}");
        }
        self.last = Instant::now();
    }

    fn refresh(&mut self) -> Result<(), repository::Error> {
        if self.catalog.refresh()? {
            self.contents.0.store(Arc::new(self.repository.contents()?));
            self.vfs.update(&self.catalog.all_snapshots());
        }
        Ok(())
    }
}

//! Snapshots as a tree that is shown for long, and brought up to date meanwhile.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::context::{Context, wrong_value};
use super::failure::{Exit, Failure};
use super::open_repository::OpenRepository;
use super::tree::locate;
use super::units;
use crate::content::{ContentSource, Contents};
use crate::object::ObjectId;
use crate::vfs::{Growing, Vfs};
use crate::{Catalog, Repository, repository};

/// What is shown, and how.
#[derive(Debug, clap::Args)]
pub(super) struct Shown {
    /// Show only this: a snapshot, source or object, and a path in it that leads to a directory
    #[arg(value_name = "REF")]
    reference: Option<String>,

    /// Show this user and group as the owner of everything, instead of the owners in the snapshots
    #[arg(long, value_name = "UID:GID")]
    owner: Option<String>,

    /// How often to look for new snapshots; 0 never
    #[arg(long, value_name = "DURATION", default_value = "1m")]
    refresh: String,
}

impl Shown {
    /// The reference; `all` where there is none.
    pub(super) fn name(&self) -> &str {
        self.reference.as_deref().unwrap_or("all")
    }

    /// User and group that everything belongs to, if they were given, and the time between two looks for new snapshots.
    pub(super) fn owner_and_refresh(&self) -> Result<(Option<(u32, u32)>, Duration), Failure> {
        let owner = self.owner.as_deref().map(units::owner).transpose()?;
        let refresh = units::duration(&self.refresh)
            .ok_or_else(|| wrong_value("--refresh", &self.refresh, "a duration such as 5m"))?;
        Ok((owner, refresh))
    }

    /// The tree that is shown. `code` is that of the error for what is no directory.
    pub(super) fn tree(
        &self,
        context: &Context,
        mut repo: OpenRepository,
        contents: Contents,
        memory: u64,
        code: &'static str,
    ) -> Result<ShownTree, Failure> {
        let (_, refresh) = self.owner_and_refresh()?;
        let reads = context.reads.unwrap_or(contents.store().hints().reads);
        let Some(reference) = &self.reference else {
            let (vfs, follow) = Follow::new(repo, contents, memory, reads, refresh);
            return Ok(ShownTree { vfs, object: None, follow: Some(follow) });
        };
        let found = repo.find(reference)?;
        let (_, entry) = locate(&mut repo, &contents, reference, &found)?;
        if !entry.is_directory() {
            let message = format!("{reference} is not a directory, and only a directory can be shown");
            return Err(Failure::new(Exit::Unknown, code, message).with_help("`rokopia cat` prints a file"));
        }
        let object = entry.object;
        let vfs = Arc::new(Vfs::of_directory(Arc::new(contents), entry, memory, reads));
        Ok(ShownTree { vfs, object, follow: None })
    }
}

/// A tree that is shown.
pub(super) struct ShownTree {
    pub(super) vfs: Arc<Vfs>,
    /// The directory that it is, where it is not all snapshots.
    pub(super) object: Option<ObjectId>,
    follow: Option<Follow>,
}

impl ShownTree {
    /// Brings the tree up to date if it is time.
    pub(super) fn tick(&mut self) {
        if let Some(follow) = &mut self.follow {
            follow.tick();
        }
    }
}

/// Brings the tree of all snapshots up to date.
struct Follow {
    repository: Repository,
    catalog: Catalog,
    contents: Arc<Growing>,
    vfs: Arc<Vfs>,
    every: Duration,
    last: Instant,
}

impl Follow {
    /// The tree of all snapshots, and what looks for new ones so often; never where that is 0.
    fn new(
        repo: OpenRepository,
        contents: Contents,
        memory: u64,
        reads: usize,
        every: Duration,
    ) -> (Arc<Vfs>, Self) {
        let contents = Arc::new(Growing::new(contents));
        let source: Arc<dyn ContentSource> = contents.clone();
        let vfs = Arc::new(Vfs::of_snapshots(source, &repo.snapshots, memory, reads));
        let OpenRepository { repository, catalog, .. } = repo;
        (Arc::clone(&vfs), Self { repository, catalog, contents, vfs, every, last: Instant::now() })
    }

    fn tick(&mut self) {
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
            self.contents.replace(self.repository.contents()?);
            self.vfs.update(&self.catalog.all_snapshots());
        }
        Ok(())
    }
}

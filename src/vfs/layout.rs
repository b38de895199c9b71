//! Where snapshots lie in the tree: `/USER@HOST/PATH/TIME`, and `latest`.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::nodes::{What, number};
use super::{ROOT, root_of};
use crate::snapshot::{DirEntry, Snapshots, UtcTimestamp};

/// The link beside the times.
const LATEST: &str = "latest";

/// Something in a directory that no snapshot holds.
#[derive(Debug, Clone)]
pub(super) enum Child {
    Directory,
    Link(Arc<str>),
    Root(Arc<DirEntry>),
}

impl Child {
    /// The node of that name in a directory.
    pub(super) fn what(&self, directory: &str, name: &str) -> What {
        match self {
            Self::Directory => What::Virtual(format!("{directory}/{name}").into()),
            Self::Link(target) => What::Link(Arc::clone(target)),
            Self::Root(root) => What::Entry(Arc::clone(root)),
        }
    }
}

/// All directories above the snapshots, by their paths. The path of the root is empty, all others begin with a slash.
#[derive(Debug, Default)]
pub(super) struct Layout {
    directories: BTreeMap<String, BTreeMap<String, Child>>,
    /// What the root is, where it is not a directory of this layout.
    root: Option<Arc<DirEntry>>,
    /// All of these, with the roots of snapshots, by their numbers.
    numbers: HashMap<u64, What>,
}

impl Layout {
    pub(super) fn of_directory(root: DirEntry) -> Self {
        Self { root: Some(Arc::new(root)), ..Self::default() }.numbered()
    }

    pub(super) fn of_snapshots(snapshots: &Snapshots) -> Self {
        let mut layout = Self::default();
        layout.directories.insert(String::new(), BTreeMap::new());
        for source in snapshots.sources() {
            let client = component(format!("{}@{}", source.user, source.host));
            let parts = source.path.split('/').filter(|part| !part.is_empty()).map(component);
            let mut path = String::new();
            for name in std::iter::once(client).chain(parts) {
                let child = format!("{path}/{name}");
                layout.add(&path, name, Child::Directory);
                layout.directories.entry(child.clone()).or_default();
                path = child;
            }
            let mut latest = None;
            for snapshot in snapshots.of(source).iter() {
                let Some(root) = root_of(snapshot) else { continue };
                let complete = snapshot.is_complete();
                let name = time_name(snapshot.start_time, complete);
                let name = layout.add(&path, name, Child::Root(root));
                if complete {
                    latest = Some(name);
                }
            }
            if let Some(name) = latest {
                layout.add(&path, LATEST.to_owned(), Child::Link(name.into()));
            }
        }
        layout.numbered()
    }

    /// Gives everything its number.
    fn numbered(mut self) -> Self {
        let mut numbers = HashMap::from([(ROOT, self.root())]);
        let mut below = vec![(ROOT, String::new())];
        while let Some((inode, path)) = below.pop() {
            for (name, child) in self.directories.get(&path).into_iter().flatten() {
                let number = number(inode, name);
                let what = child.what(&path, name);
                if let Child::Directory = child {
                    below.push((number, format!("{path}/{name}")));
                }
                numbers.insert(number, what);
            }
        }
        self.numbers = numbers;
        self
    }

    /// What has this number.
    pub(super) fn numbered_as(&self, inode: u64) -> Option<What> {
        self.numbers.get(&inode).cloned()
    }

    /// Adds a child and tells its name, which gets a number if something else has it.
    fn add(&mut self, directory: &str, name: String, child: Child) -> String {
        let children = self.directories.entry(directory.to_owned()).or_default();
        let mut free = name.clone();
        let mut number = 2;
        while let Some(there) = children.get(&free) {
            if matches!((there, &child), (Child::Directory, Child::Directory)) {
                return free;
            }
            free = format!("{name}-{number}");
            number += 1;
        }
        children.insert(free.clone(), child);
        free
    }

    pub(super) fn children(&self, path: &str) -> Option<&BTreeMap<String, Child>> {
        self.directories.get(path)
    }

    pub(super) fn root(&self) -> What {
        self.root.as_ref().map_or_else(|| What::Virtual("".into()), |root| What::Entry(Arc::clone(root)))
    }
}

/// The time to the second, as it is shown everywhere.
fn time_name(time: UtcTimestamp, complete: bool) -> String {
    let whole = UtcTimestamp(time.to_unix().0.saturating_mul(1_000_000_000));
    if complete { whole.to_string() } else { format!("{whole}.incomplete") }
}

/// A text as one path component.
fn component(text: impl AsRef<str>) -> String {
    match text.as_ref() {
        "." => "%2E".to_owned(),
        ".." => "%2E%2E".to_owned(),
        text => text.replace('/', "%2F").replace('\0', "%00"),
    }
}

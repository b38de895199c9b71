//! Trees written into a repository without ever lying on a disk.

use super::directory::{DirectoryBuilder, WrittenDirectory};
use super::error::{Error, Result};
use super::keys::{Keys, Sealed};
use super::object::{BATCH_BYTES, BATCH_JOBS, Job, Parts, seal_all};
use super::options::Chunks;
use super::rng::derive;
use super::tree::{Tree, TreeFile};
use super::writer::RepositoryWriter;
use rayon::prelude::*;
use std::collections::HashMap;
use std::sync::mpsc::{SyncSender, sync_channel};

/// What happens, in the order of a walk that meets directories after what is in them.
enum Step {
    /// The next part of the current file.
    Part(Job),
    /// The current file is complete.
    File(TreeFile),
    /// The current directory is complete.
    Directory(usize),
}

/// A run of steps whose parts are sealed.
struct Batch {
    steps: Vec<Step>,
    sealed: Vec<Sealed>,
}

/// Collects steps and hands them over, sealed, when there are enough.
struct Producer<'a> {
    keys: &'a Keys,
    out: SyncSender<Result<Batch>>,
    steps: Vec<Step>,
    bytes: usize,
}

impl Producer<'_> {
    /// False when nobody is listening any more.
    fn push(&mut self, step: Step) -> bool {
        if let Step::Part(job) = &step {
            self.bytes += job.len();
        }
        self.steps.push(step);
        if self.bytes < BATCH_BYTES && self.steps.len() < BATCH_JOBS { true } else { self.hand_over() }
    }

    fn hand_over(&mut self) -> bool {
        self.bytes = 0;
        let steps = std::mem::take(&mut self.steps);
        let jobs: Vec<&Job> = steps
            .iter()
            .filter_map(|step| match step {
                Step::Part(job) => Some(job),
                _ => None,
            })
            .collect();
        let sealed = seal_all(self.keys, None, &jobs);
        self.out.send(sealed.map(|sealed| Batch { steps, sealed })).is_ok()
    }

    fn walk(mut self, tree: &Tree, chunks: Chunks) {
        for number in tree.bottom_up() {
            let Some(directory) = tree.directories().get(number) else { continue };
            for file in directory.files() {
                let (mut offset, mut index) = (0, 0);
                while offset < file.data.size || index == 0 {
                    let length = chunks.length(derive(file.data.seed, 1), index) as u64;
                    let length = length.min(file.data.size - offset) as usize;
                    if !self.push(Step::Part(Job::Generated { data: file.data, offset, length })) {
                        return;
                    }
                    offset += length as u64;
                    index += 1;
                }
                if !self.push(Step::File(file)) {
                    return;
                }
            }
            if !self.push(Step::Directory(number)) {
                return;
            }
        }
        self.hand_over();
    }
}

impl RepositoryWriter {
    /// Stores a whole tree; its root. Add a [snapshot](Self::snapshot) of it, then [flush](Self::flush).
    pub fn write_tree(&mut self, tree: &Tree) -> Result<WrittenDirectory> {
        let keys = self.keys.clone();
        let chunks = self.options.chunks;
        let (out, batches) = sync_channel(1);
        let mut written = HashMap::new();
        std::thread::scope(|scope| {
            let producer = Producer { keys: &keys, out, steps: Vec::new(), bytes: 0 };
            scope.spawn(move || producer.walk(tree, chunks));
            let mut parts = Parts::default();
            let mut current = DirectoryBuilder::new();
            for batch in batches {
                let Batch { steps, sealed } = batch?;
                let mut sealed = sealed.into_iter();
                for step in steps {
                    match step {
                        Step::Part(job) => {
                            let sealed = sealed.next().ok_or(Error::WorkerGone)?;
                            parts.push(self.append(sealed)?, job.len() as u64);
                        }
                        Step::File(file) => {
                            let object = self.finish_object(None, std::mem::take(&mut parts))?;
                            current.file(&file.name, &file.attributes, object.length, &object.id);
                        }
                        Step::Directory(number) => {
                            let builder = std::mem::take(&mut current);
                            let directory = self.finish_directory(tree, number, builder, &mut written)?;
                            written.insert(number, directory);
                        }
                    }
                }
            }
            Ok::<(), Error>(())
        })?;
        written.remove(&0).ok_or(Error::WorkerGone)
    }

    /// Adds links and directories to the files of a directory and stores it.
    fn finish_directory(
        &mut self,
        tree: &Tree,
        number: usize,
        mut builder: DirectoryBuilder,
        written: &mut HashMap<usize, WrittenDirectory>,
    ) -> Result<WrittenDirectory> {
        let directory = tree.directories().get(number).ok_or(Error::WorkerGone)?;
        for link in directory.links() {
            let id = self.write_content(None, &link.target)?;
            builder.link(&link.name, &link.attributes, link.target.len() as u64, &id.to_string());
        }
        for (name, child) in directory.directories() {
            let child = written.remove(&child).ok_or(Error::WorkerGone)?;
            builder.directory(name, &child);
        }
        self.write_directory(builder, directory.attributes())
    }
}

impl Tree {
    /// Writes the tree as files, below a directory that is created: a source for a real Kopia. Owners are left as
    /// they come.
    pub fn write_to(&self, root: &std::path::Path) -> Result<()> {
        use std::os::unix::ffi::OsStrExt;
        use std::os::unix::fs::PermissionsExt;
        let set = |path: &std::path::Path, attributes: &super::tree::Attributes| {
            let mode = std::fs::Permissions::from_mode(attributes.mode);
            std::fs::set_permissions(path, mode).map_err(Error::io("set the mode of", path))?;
            super::compare::set_mtime(path, attributes.mtime_ns)
        };
        for directory in self.directories() {
            let path = root.join(directory.path());
            std::fs::create_dir_all(&path).map_err(Error::io("create", &path))?;
        }
        let files: Vec<_> =
            self.directories().iter().enumerate().map(|(n, d)| (n, root.join(d.path()))).collect();
        files.par_iter().try_for_each(|(number, path)| -> Result<()> {
            let Some(directory) = self.directories().get(*number) else { return Ok(()) };
            for file in directory.files() {
                let path = path.join(&file.name);
                let mut out = std::fs::File::create(&path).map_err(Error::io("create", &path))?;
                std::io::copy(&mut std::io::BufReader::with_capacity(1 << 20, file.data.reader()), &mut out)
                    .map_err(Error::io("write", &path))?;
                set(&path, &file.attributes)?;
            }
            for link in directory.links() {
                let path = path.join(&link.name);
                std::os::unix::fs::symlink(std::ffi::OsStr::from_bytes(&link.target), &path)
                    .map_err(Error::io("create", &path))?;
                super::compare::set_mtime(&path, link.attributes.mtime_ns)?;
            }
            Ok(())
        })?;
        for number in self.bottom_up() {
            if let Some(directory) = self.directories().get(number) {
                set(&root.join(directory.path()), &directory.attributes())?;
            }
        }
        Ok(())
    }
}

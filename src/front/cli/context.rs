//! What was typed, understood: settings, and the way to the repository.

use std::ffi::OsString;
use std::fs::File;
use std::io::{IsTerminal, stdin};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::args::{Global, SandboxMode};
use super::failure::{Exit, Failure};
use super::units::{self, human_size};
use crate::blob::{self, BlobStore, Counts, Guard, Traffic};
use crate::cache;
use crate::checker::FindPassword;
use crate::content::Contents;
use crate::crypto::{self, Password};
use crate::format::OpenOptions;
use crate::front::limits::{self, InvalidLimit};
use crate::front::location::{self, Location};
use crate::index::{IndexOptions, Loading};
use crate::os::parallel;
use crate::os::sandbox::existing_directory;
use crate::repository::{self, TooSmall};
use crate::{Access, Budget, Error, Opening, Options, Repository, Sandbox};

const MAX_THREADS: usize = 1024;

/// Settings of one run, and access to the repository.
#[derive(Clone)]
pub(super) struct Context {
    location: Option<Location>,
    password_file: Option<PathBuf>,
    password_fd: Option<u32>,
    options: Options,
    traffic: Traffic,
    cache_dir: Option<PathBuf>,
    sandbox: Sandbox,
    /// What the command writes to.
    written: Vec<PathBuf>,
    /// Memory for indexes, manifests and data in flight.
    pub(super) memory: Budget,
    /// Decoding threads.
    pub(super) threads: usize,
    /// Reads in flight, unless the storage knows best.
    pub(super) reads: Option<usize>,
    /// Go on with what can be read.
    pub(super) degraded: bool,
    /// Print JSON.
    pub(super) json: bool,
    /// Print only errors.
    pub(super) quiet: bool,
    /// Say more.
    pub(super) verbose: bool,
    /// Tell at the end what was asked of the storage.
    stats: bool,
}

impl Context {
    /// Understands the options; nothing is opened yet.
    pub(super) fn new(global: &Global) -> Result<Self, Failure> {
        let memory = match global.memory.clone().or_else(|| text_variable("ROKOPIA_MEMORY")) {
            None => Budget::default(),
            Some(text) => units::size(&text)
                .filter(|size| *size >= Budget::LEAST)
                .map(Budget::new)
                .ok_or_else(|| wrong_value("--memory", &text, "a size of at least 16MiB, such as 256MiB"))?,
        };
        let limited = |name: &str, value: usize| {
            let valid = (1..=MAX_THREADS).contains(&value);
            valid
                .then_some(value)
                .ok_or_else(|| wrong_value(name, &value.to_string(), "a number from 1 to 1024"))
        };
        let reads = global.reads.map(|reads| limited("--reads", reads)).transpose()?;
        let cache_dir =
            global.cache_dir.clone().or_else(|| text_variable("ROKOPIA_CACHE_DIR").map(PathBuf::from));
        let cache_size = global.cache_size.clone().or_else(|| text_variable("ROKOPIA_CACHE_SIZE"));
        let cache_size = match cache_size {
            None => cache::LIMIT,
            Some(text) => units::size(&text)
                .ok_or_else(|| wrong_value("--cache-size", &text, "a size, such as 500MiB or 4GiB"))?,
        };
        let traffic = limits::traffic(global.bandwidth.as_deref(), global.requests_per_second.as_deref())
            .map_err(|InvalidLimit { name, value, expected }| wrong_value(name, &value, expected))?;
        let moment = global.point_in_time.clone().or_else(|| text_variable("ROKOPIA_POINT_IN_TIME"));
        let moment = match moment {
            None => None,
            Some(text) => {
                let relative = || units::period(&text, &jiff::Zoned::now()).and_then(location::at_most_now);
                let expected = "a time such as 2026-11-21, 2026-11-21T08:00:00Z, or 3d for three days ago";
                let unusable = || wrong_value("--point-in-time", &text, expected);
                Some(location::moment(&text).or_else(relative).ok_or_else(unusable)?)
            }
        };
        let place = named(global).map(|text| Location::parse(&text));
        let place = place.map(|place| moment.into_iter().fold(place, Location::at_moment));
        let kept = cache_dir.clone().filter(|_| cache_size > 0);
        Ok(Self {
            location: place,
            password_file: global.password_file.clone(),
            password_fd: global.password_fd,
            options: memory.bound(Options {
                open: OpenOptions { ignore_upgrade: global.degraded, from_copy: global.degraded },
                index: IndexOptions {
                    reads,
                    degraded: global.degraded,
                    spill_directory: Some(cache_dir.clone().unwrap_or_else(std::env::temp_dir)),
                    cache_directory: kept,
                    cache_limit: cache_size,
                    loading: Some(Loading::default()),
                    ..IndexOptions::default()
                },
                ..Options::default()
            }),
            traffic,
            written: cache_dir.iter().cloned().collect(),
            cache_dir,
            sandbox: sandbox(global),
            memory,
            threads: limited(
                "--threads",
                global.threads.unwrap_or_else(parallel::available_threads).min(MAX_THREADS),
            )?,
            reads,
            degraded: global.degraded,
            json: global.json,
            quiet: global.quiet,
            verbose: global.verbose > 0,
            stats: global.stats || limits::wants_stats(),
        })
    }

    /// The same without `--degraded`, for answers that must be certain.
    pub(super) fn strict(&self) -> Self {
        let options = Options {
            open: OpenOptions::default(),
            index: IndexOptions { degraded: false, ..self.options.index.clone() },
            ..self.options
        };
        Self { options, degraded: false, ..self.clone() }
    }

    /// The same with an index that does not fit into memory kept in the file system of `target`, unless the user said
    /// where: of what a restore may write to, that alone is known to have room.
    pub(super) fn spilling_beside(&self, target: &Path) -> Self {
        let mut context = self.clone();
        if self.cache_dir.is_none() {
            context.options.index.spill_directory = existing_directory(target);
        }
        context
    }

    /// The same for a command that hashes what it reads, manifests included.
    pub(super) fn hashing(&self, on: bool) -> Self {
        let mut context = self.clone();
        context.options.hash_manifests |= on;
        context
    }

    /// The same for a command that proves what the storage has: nothing comes from an earlier run.
    pub(super) fn uncached(&self) -> Self {
        let mut context = self.clone();
        context.options.index.cache_directory = None;
        context
    }

    /// The same without the sandbox, for a command whose work it would forbid.
    pub(super) fn unconfined(&self) -> Self {
        Self { sandbox: Sandbox::off(), ..self.clone() }
    }

    /// The same for a command that answers over the network.
    #[cfg(feature = "nfs")]
    pub(super) fn listening(&self) -> Self {
        Self { sandbox: self.sandbox.clone().listening(), ..self.clone() }
    }

    /// The same for a command that writes there: of what is not there yet, in the nearest directory above it.
    pub(super) fn writing<'a>(&self, paths: impl IntoIterator<Item = &'a PathBuf>) -> Self {
        let mut context = self.clone();
        for path in paths {
            context.sandbox = context.sandbox.writing(path);
            context.written.push(path.clone());
        }
        context
    }

    /// The same for a command that reads other files than those of the repository after that was opened.
    pub(super) fn reading<'a>(&self, paths: impl IntoIterator<Item = &'a PathBuf>) -> Self {
        let sandbox = paths.into_iter().fold(self.sandbox.clone(), Sandbox::reading);
        Self { sandbox, ..self.clone() }
    }

    /// The same for a command that sees what there is in other directories.
    pub(super) fn listing<'a>(&self, paths: impl IntoIterator<Item = &'a PathBuf>) -> Self {
        let sandbox = paths.into_iter().fold(self.sandbox.clone(), Sandbox::listing);
        Self { sandbox, ..self.clone() }
    }

    /// What a command still needs that has opened everything but the repository.
    pub(super) fn sandbox(&self) -> Sandbox {
        let sandbox =
            self.location.iter().fold(self.sandbox.clone(), |sandbox, location| location.allow(sandbox));
        let spill = self.options.index.spill_directory.iter().filter(|directory| directory.is_dir());
        spill.fold(sandbox, Sandbox::writing)
    }

    /// The same for a command that asks other repositories as well.
    pub(super) fn sandbox_with(&self, others: &[Self]) -> Sandbox {
        let locations = others.iter().filter_map(|other| other.location.as_ref());
        locations.fold(self.sandbox(), |sandbox, location| location.allow(sandbox))
    }

    /// Opens the storage alone, and gives up what is not needed from then on.
    pub(super) fn store(&self) -> Result<Arc<dyn BlobStore>, Failure> {
        let store = self.open_store()?;
        self.sandbox().enter().log();
        Ok(store)
    }

    fn open_store(&self) -> Result<Arc<dyn BlobStore>, Failure> {
        let opened = self.location()?.open(&self.traffic);
        let store = opened.map_err(|e| Failure::from(Error::from(e)).during("opening the repository"))?;
        self.prepare_outputs(&store.guard())?;
        Ok(store)
    }

    /// Refuses to go on where the command would write to the repository, and makes the directory of the cache. Both come
    /// before the sandbox, which hides how mounts lie and lets nobody write where there is no directory yet.
    pub(super) fn prepare_outputs(&self, guard: &Guard) -> Result<(), Failure> {
        for path in &self.written {
            guard.writable(path)?;
        }
        guard.open_file(std::io::stdout())?;
        guard.open_file(std::io::stderr())?;
        if let Some(cache) = &self.options.index.cache_directory
            && let Err(error) = guard.writable(cache)?.create_private_dir_all()
        {
            let directory = cache.display();
            tracing::debug!(%error, "the cache directory {directory} cannot be made");
        }
        Ok(())
    }

    /// Opens the repository, and says what it warns about. Before its first byte is parsed, what is not needed from then
    /// on is given up.
    pub(super) fn repository(&self) -> Result<Repository, Failure> {
        self.repository_for(Access::Index)
    }

    /// The same for a command that does this first.
    pub(super) fn repository_for(&self, access: Access) -> Result<Repository, Failure> {
        let store = self.open_store()?;
        self.repository_in(store, access)
    }

    /// The same in a storage that is open.
    pub(super) fn repository_in(
        &self,
        store: Arc<dyn BlobStore>,
        access: Access,
    ) -> Result<Repository, Failure> {
        let password = self.password()?;
        self.sandbox().enter().log();
        let opening = format!("opening the repository {}", store.describe());
        let (options, budget) = (self.options.clone(), self.memory);
        let opened = Opening { password: &password, options, budget, access }.open(store);
        let repository = opened.map_err(|e| match e {
            // It says by itself what was being opened.
            e @ repository::Error::Blob(blob::Error::Remote(_)) => Failure::from(e),
            e => Failure::from(e).during(&opening),
        })?;
        for warning in repository.format().warnings() {
            tracing::warn!("{warning}");
        }
        Ok(repository)
    }

    /// Bytes of the memory for data in flight, beside the loaded index.
    pub(super) fn memory_for_data(&self, contents: &Contents) -> Result<u64, Failure> {
        self.memory.for_data(&contents.index()).map_err(|TooSmall { index, needed }| {
            let message = format!(
                "restoring needs {}, of which the index takes {}; the budget is {}",
                human_size(needed),
                human_size(index),
                human_size(self.memory.bytes())
            );
            Failure::new(Exit::Unknown, "memory-budget", message)
        })
    }

    /// Opens the repository with the environment alone: nobody is asked for a password, and nothing is printed.
    pub(super) fn repository_of_environment(&self) -> Result<Repository, Failure> {
        let password = Password::from_env().map_err(Error::from)?;
        let (options, budget) = (self.options.clone(), self.memory);
        let opening = Opening { password: &password, options, budget, access: Access::Snapshots };
        Ok(opening.open(self.open_store()?)?)
    }

    /// Where requests to the storage count.
    pub(super) fn traffic(&self) -> Traffic {
        self.traffic.clone()
    }

    /// What was asked of the storage so far, where that is to be told.
    pub(super) fn stats(&self) -> Option<Counts> {
        self.stats.then(|| self.traffic.counts())
    }

    /// Where the repository is.
    pub(super) fn location(&self) -> Result<Location, Failure> {
        self.location.clone().ok_or_else(|| {
            Failure::new(Exit::Usage, "no-repository", "no repository was given: nothing to open")
        })
    }

    /// The directory of a repository of restic, where that is what was given.
    pub(super) fn restic(&self) -> Result<Option<PathBuf>, Failure> {
        Ok(self.location()?.restic().map(Path::to_path_buf))
    }

    /// The password of a repository of restic: where nothing else tells it, as restic itself finds it.
    pub(super) fn restic_password(&self) -> Result<Password, Failure> {
        if self.password_file.is_none() && self.password_fd.is_none() && Password::from_env().is_err() {
            if let Some(file) = std::env::var_os("RESTIC_PASSWORD_FILE").filter(|file| !file.is_empty()) {
                return Password::from_file(Path::new(&file)).map_err(|e| Error::from(e).into());
            }
            if let Some(password) = text_variable("RESTIC_PASSWORD") {
                return Ok(Password::new(password));
            }
        }
        self.password()
    }

    /// The same for another repository, with a password of its own where a file for it is given.
    pub(super) fn at(&self, location: &std::ffi::OsStr, password_file: Option<PathBuf>) -> Self {
        let own = password_file.is_some();
        Self {
            location: Some(Location::parse(location)),
            password_file: password_file.or_else(|| self.password_file.clone()),
            password_fd: self.password_fd.filter(|_| !own),
            ..self.clone()
        }
    }

    /// Where the repository is, or else where a command looks for it by itself.
    pub(super) fn location_or(&self, default: impl FnOnce() -> Location) -> Location {
        self.location.clone().unwrap_or_else(default)
    }

    /// How the repository is opened and read.
    pub(super) fn options(&self) -> Options {
        self.options.clone()
    }

    /// Finds the password again and again, for commands that outlive its rotation. Never asks a person.
    pub(super) fn password_source(&self) -> Result<FindPassword, Failure> {
        Ok(match (&self.password_file, self.password_fd) {
            (Some(path), _) => {
                let path = path.clone();
                Arc::new(move || Password::from_file(&path))
            }
            (None, Some(_)) => {
                let password = self.password()?;
                Arc::new(move || Ok(password.clone()))
            }
            (None, None) => Arc::new(Password::from_env),
        })
    }

    /// The password, asked for where nothing else tells it.
    pub(super) fn password(&self) -> Result<Password, Failure> {
        let from_file = |path: &Path| Password::from_file(path).map_err(|e| Failure::from(Error::from(e)));
        if let Some(path) = &self.password_file {
            return from_file(path);
        }
        if let Some(number) = self.password_fd {
            let path = PathBuf::from(format!("/proc/self/fd/{number}"));
            return descriptor(number, &path)
                .and_then(Password::from_reader)
                .map_err(|source| Error::from(crypto::Error::PasswordFile { path, source }).into());
        }
        match Password::from_env() {
            Err(crypto::Error::NoPassword) if stdin().is_terminal() => {
                let typed = rpassword::prompt_password("Password of the repository: ").map_err(|e| {
                    Failure::new(Exit::Unknown, "no-password", format!("reading the password: {e}"))
                })?;
                Ok(Password::new(typed))
            }
            result => result.map_err(|e| Error::from(e).into()),
        }
    }
}

/// The open file of that number; the number itself stays open, it is not ours to close. Standard input is duplicated:
/// opening its path again fails for a pipe that was made by another user, as `sudo -u` passes it.
fn descriptor(number: u32, path: &Path) -> std::io::Result<File> {
    match number {
        0 => stdin().as_fd().try_clone_to_owned().map(File::from),
        _ => File::open(path),
    }
}

/// Whether there is a sandbox at all.
pub(super) fn sandbox(global: &Global) -> Sandbox {
    match global.sandbox {
        Some(SandboxMode::Off) => Sandbox::off(),
        Some(SandboxMode::Auto) => Sandbox::default(),
        None => Sandbox::from_env(),
    }
}

fn named(global: &Global) -> Option<OsString> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    global
        .repo
        .clone()
        .filter(|value| !value.is_empty())
        .or_else(|| set("ROKOPIA_REPOSITORY"))
        .or_else(|| set("KOPIA_REPOSITORY"))
}

fn text_variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// The failure for a value that an option cannot have.
pub(super) fn wrong_value(option: &str, value: &str, expected: &str) -> Failure {
    Failure::wrong_usage(format!("invalid value {value:?} for {option}: expected {expected}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_that_does_not_fit_goes_where_the_user_said_or_beside_the_target() {
        let directory = tempfile::tempdir().unwrap();
        let spill = |cache_dir: Option<&str>, target: &Path| {
            let global = Global { cache_dir: cache_dir.map(PathBuf::from), ..Global::default() };
            let context = Context::new(&global).map_err(|_| "context").unwrap();
            context.spilling_beside(target).options.index.spill_directory
        };
        let target = directory.path().join("not/yet/there");
        assert_eq!(spill(None, &target).as_deref(), Some(directory.path()));
        assert_eq!(spill(None, directory.path()).as_deref(), Some(directory.path()));
        assert_eq!(spill(Some("/cache"), &target).as_deref(), Some(Path::new("/cache")));
    }
}

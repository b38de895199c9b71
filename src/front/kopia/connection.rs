//! An open repository: the one that the connection file names.

use std::path::PathBuf;
use std::sync::Arc;

use super::commands::cache_directory;
use super::config::Config;
use super::failure::Failure;
use super::grammar::Typed;
use super::json::Object;
use super::{password, paths, words};
use crate::blob::{self, BlobStore};
use crate::content::Contents;
use crate::crypto::Password;
use crate::front::limits::{self, InvalidLimit};
use crate::front::location::Location;
use crate::snapshot::{AskedSource, Source};
use crate::{
    Absence, Access, Budget, Catalog, Opening, Options, Repository, Sandbox, Suspect, format, repository,
};

/// Bytes of memory. Kopia knows no limit; for manifests this is some 600,000 snapshots, for an index some ten million
/// contents before it goes to a file.
const MEMORY: u64 = 1 << 30;

/// Snapshots that a list lacks are named up to this number.
const NAMED: usize = 10;

/// What a missing connection is called; callers look for it.
const NOT_CONNECTED: &str =
    "open repository: repository is not connected. See https://kopia.io/docs/repositories/";

/// A connection with its repository.
pub(super) struct Connection {
    pub(super) config: Config,
    pub(super) repository: Repository,
    pub(super) user: String,
    pub(super) host: String,
}

/// The connection file, which must be there.
pub(super) fn connection(typed: &Typed) -> Result<Config, Failure> {
    Config::load(&paths::config_file(typed))
        .map_err(|failure| failure.during("open repository: unable to open repository"))?
        .ok_or_else(|| Failure::new(NOT_CONNECTED))
}

impl Connection {
    /// Opens the repository that is connected, and gives up access to everything else. After that, no other program can be
    /// started.
    pub(super) fn open(typed: &Typed) -> Result<Self, Failure> {
        Self::open_for(typed, &[])
    }

    /// The same for a command that writes to `written`.
    pub(super) fn open_for(typed: &Typed, written: &[PathBuf]) -> Result<Self, Failure> {
        let config = connection(typed)?;
        let location = config.storage()?.location()?;
        let (user, host) = (config.text("username")?, config.text("hostname")?);
        let password =
            password::get(typed, Some(&config.path)).map_err(|failure| failure.during("open repository"))?;
        let opened = open_store(&location).map_err(|failure| failure.during("cannot open storage")).and_then(
            |store| {
                let guard = store.guard();
                let refused = |e: blob::InRepository| Failure::new(e.to_string());
                written.iter().try_for_each(|path| guard.writable(path).map(drop)).map_err(refused)?;
                guard.open_file(std::io::stdout()).map_err(refused)?;
                let sandbox = written.iter().fold(Sandbox::from_env(), Sandbox::writing);
                let options = options(&config, &store);
                let kept = options.index.cache_directory.as_ref();
                let sandbox = kept.into_iter().fold(sandbox, Sandbox::writing);
                let sandbox = cache_directory(&config).into_iter().fold(sandbox, Sandbox::reading);
                let spill = Some(std::env::temp_dir()).filter(|directory| directory.is_dir());
                let sandbox = spill.iter().fold(sandbox, Sandbox::writing);
                location.allow(sandbox).enter().log();
                open_repository(store, &password, options)
            },
        );
        let repository =
            opened.map_err(|failure| failure.during("open repository: unable to open repository"))?;
        Ok(Self { config, repository, user, host })
    }

    /// Reads the manifests.
    pub(super) fn catalog(&self) -> Result<Catalog, Failure> {
        self.repository.catalog().map_err(no_manifests).inspect(say_doubts)
    }

    /// Reads the manifests and loads the full index.
    pub(super) fn catalog_and_contents(&self) -> Result<(Catalog, Contents), Failure> {
        let (catalog, contents) = self.repository.catalog_and_contents().map_err(no_manifests)?;
        say_doubts(&catalog);
        Ok((catalog, contents.map_or_else(|| self.contents(), Ok)?))
    }

    /// Loads the full index.
    pub(super) fn contents(&self) -> Result<Contents, Failure> {
        self.repository.contents().map_err(|error| unreadable("unable to load indexes", error))
    }

    /// A source as it was typed; what is left out is that of this connection.
    pub(super) fn source(&self, text: &str) -> Result<Source, Failure> {
        let directory = std::env::current_dir().unwrap_or_default();
        Source::parse_local(text, &self.user, &self.host, &directory)
            .map_err(|_| Failure::new(format!("invalid source: '{text}': invalid hostname in {text:?}")))
    }
}

impl Connection {
    /// All that a source may mean as it was typed.
    pub(super) fn asked(&self, text: &str) -> Result<AskedSource, Failure> {
        let source = self.source(text)?;
        Ok(text.parse().unwrap_or_else(|_| source.into()))
    }
}

fn no_manifests(error: repository::Error) -> Failure {
    unreadable("unable to load manifests", error)
}

fn say_doubts(catalog: &Catalog) {
    for doubt in catalog.index().doubts() {
        super::say(&doubt.to_string());
    }
}

fn unreadable(what: &str, error: repository::Error) -> Failure {
    Failure::from(error).during(what)
}

/// Opens the storage of a repository.
pub(super) fn open_store(location: &Location) -> Result<Arc<dyn BlobStore>, Failure> {
    let said = |reason: &dyn std::fmt::Display| Failure::new(format!("cannot access storage path: {reason}"));
    let traffic = limits::traffic_of_environment().map_err(|InvalidLimit { name, value, expected }| {
        Failure::new(format!("invalid {name} {value:?}: it is {expected}"))
    })?;
    match location.open(&traffic) {
        Ok(store) => Ok(store),
        Err(blob::Error::NoSuchLocation { path }) => {
            Err(said(&format!("stat {}: no such file or directory", path.display())))
        }
        Err(error) => Err(said(&words::told(error))),
    }
}

/// How a connected repository is read. Where each request takes long, the index is kept in the cache directory of the
/// connection, unless that cannot be made or would be in the repository.
pub(super) fn options(config: &Config, store: &dyn BlobStore) -> Options {
    let mut options = Options::default();
    let directory = cache_directory(config).filter(|_| store.hints().asks_ahead());
    let Some(directory) = directory else { return options };
    if store.guard().writable(&directory).is_ok_and(|path| path.create_private_dir_all().is_ok()) {
        options.index.cache_directory = Some(directory);
        options.index.cache_limit = cache_limit(config).unwrap_or(options.index.cache_limit);
    }
    options
}

/// Bytes that the connection allows for metadata.
fn cache_limit(config: &Config) -> Option<u64> {
    let caching: Object = config.object.get("caching").ok().flatten()?;
    let limit = |key: &str| caching.get::<u64>(key).ok().flatten().filter(|limit| *limit > 0);
    limit("metadataCacheSizeLimitBytes").or_else(|| limit("maxMetadataCacheSize"))
}

/// Opens a repository in the words of Kopia where callers look for them.
pub(super) fn open_repository(
    store: Arc<dyn BlobStore>,
    password: &str,
    mut options: Options,
) -> Result<Repository, Failure> {
    options.index.spill_directory = Some(std::env::temp_dir());
    let (password, budget) = (Password::new(password.as_bytes()), Budget::new(MEMORY));
    let opening = Opening { password: &password, options, budget, access: Access::Snapshots };
    opening.open(store).map_err(|error| match error {
        repository::Error::Format(format::Error::WrongPassword) => {
            Failure::new("unable to create format manager: invalid repository password")
        }
        repository::Error::Format(format::Error::NotARepository { .. }) => {
            Failure::new("repository not initialized in the provided storage")
        }
        error => error.into(),
    })
}

/// Before a list is called empty: whether anything speaks against it. A list that damage has emptied looks like that of a
/// source which was never saved, and callers then make a new backup over the data that should have been restored.
pub(super) fn check_nothing(catalog: &Catalog, asked: Option<&AskedSource>) -> Result<(), Failure> {
    let reason = match catalog.absence(asked) {
        Ok(Absence::Certain) => return Ok(()),
        Ok(Absence::Doubtful(reason)) => reason.to_string(),
        Err(error) => error.to_string(),
    };
    Err(Failure::new(format!("no snapshots found, but that is not certain: {reason}")))
}

/// Says which snapshots a list of these sources lacks, because an index blob is lost.
pub(super) fn say_unlisted(catalog: &mut Catalog, asked: Option<&AskedSource>) {
    let unlisted = catalog.unlisted();
    let concerned = |suspect: &&Suspect| {
        asked.is_none_or(|asked| asked.with_parents().iter().any(|source| suspect.scope.concerns(source)))
    };
    let suspects = unlisted.snapshots().iter().filter(concerned).map(|suspect| &suspect.reason);
    for reason in suspects.chain(unlisted.doubts()).take(NAMED) {
        super::say(&format!("the list may be too short: {reason}"));
    }
}

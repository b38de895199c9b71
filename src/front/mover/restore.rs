//! Filling the volume: decide, then touch.

mod cache;
mod fill;
mod progress;

use std::path::{Path, PathBuf};
use std::time::Instant;

use self::cache::Cache;
use super::arguments::Arguments;
use super::environment::Environment;
use super::error::Error;
use super::identity::{self, Client};
use super::location::{self, Found, Location};
use super::selection::{Choice, Passed, Request};
use super::{discovery, log, memory};
use crate::blob::{BlobStore, Traffic};
use crate::content::Contents;
use crate::crypto::Password;
use crate::front::{limits, waiting};
use crate::index::{IndexOptions, Loading};
use crate::os::signals;
use crate::snapshot::{Snapshot, Snapshots};
use crate::text::counted;
use crate::{Absence, Access, Catalog, Opening, Options, Repository, Sandbox, SandboxStatus, Unlisted};

/// Bytes of the line that names a source without snapshots.
const LONGEST_MISSING: usize = 300;

/// Everything that the environment asks for, checked; nothing is opened yet.
struct Plan {
    target: PathBuf,
    password: Password,
    location: Location,
    traffic: Traffic,
    request: Request,
    arguments: Arguments,
    delete: bool,
    cache: Option<Cache>,
}

impl Plan {
    fn new(environment: &Environment) -> Result<Self, Error> {
        let target = environment.data_dir().ok_or(Error::Undefined("DATA_DIR"))?;
        if !target.is_dir() {
            return Err(Error::DataDirectory(target));
        }
        let password = environment.raw("KOPIA_PASSWORD").ok_or(Error::Undefined("KOPIA_PASSWORD"))?;
        let source = identity::source(environment, &Client::of_process())?;
        let mut arguments = Arguments::of(environment)?;
        let delete = environment.is_true("KOPIA_ENABLE_FILE_DELETION");
        if delete && arguments.force_exact_restore() {
            log::info("file deletion is enabled: what is in the volume neither stays nor hinders");
        }
        let plan = Self {
            password: Password::new(std::os::unix::ffi::OsStrExt::as_bytes(password)),
            location: Location::choose(environment)?,
            traffic: limits::traffic_of_environment().map_err(Error::Limit)?,
            request: Request::new(environment, source)?,
            delete: delete || arguments.delete_extra,
            target,
            arguments,
            cache: Cache::of(environment),
        };
        location::note_ignored(environment);
        Ok(plan)
    }
}

/// An opened repository and its list of snapshots.
struct Opened {
    repository: Repository,
    catalog: Catalog,
    contents: Option<Contents>,
    snapshots: Snapshots,
}

pub(super) fn run(environment: &Environment) -> Result<(), Error> {
    let started = Instant::now();
    let mut plan = Plan::new(environment)?;
    log::info(format_args!("repository: {}", plan.location));
    let store = match log::timed("finding the repository", || plan.location.open(&plan.traffic))? {
        Found::Store(store) => store,
        Found::NotYet(place) => {
            log::line(format_args!("There is no repository at {place} yet"));
            return nothing(&plan, &Snapshots::default(), None);
        }
    };
    plan.cache = plan.cache.take().filter(|cache| cache.serves(&store));
    confine(&plan);
    let done = open(&plan, store).and_then(|opened| restore_chosen(&plan, opened));
    if limits::wants_stats() {
        log::info(limits::told(&plan.traffic.counts()));
    }
    if done.is_ok() {
        log::line(format_args!(
            "TIMING: Total restore operation took {:.3} seconds",
            started.elapsed().as_secs_f64()
        ));
    }
    done
}

/// Gives up everything but the repository, the volume and the cache: a restore hands nothing on to other programs.
fn confine(plan: &Plan) {
    // What limits the memory is not readable afterwards.
    memory::budget();
    let sandbox = plan.location.allow(Sandbox::from_env()).writing(&plan.target);
    let sandbox = plan.cache.iter().fold(sandbox, |sandbox, cache| sandbox.writing(&cache.directory));
    match sandbox.enter() {
        SandboxStatus::Off => {}
        entered => log::info(entered),
    }
}

/// Opens the repository, lists its snapshots, and loads its index where that fits into memory.
fn open(plan: &Plan, store: impl BlobStore + 'static) -> Result<Opened, Error> {
    let options = options(plan);
    let loading = options.index.loading.clone();
    let opening =
        Opening { password: &plan.password, options, budget: memory::budget(), access: Access::Snapshots };
    let repository = log::timed("opening the repository", || opening.open(store))
        .map_err(|e| Error::repository("open the repository", e))?;
    for warning in repository.format().warnings() {
        log::warn(warning);
    }
    let list = || waiting(loading.as_ref(), || repository.catalog_and_contents());
    let (catalog, contents) = match log::timed("listing the snapshots", list) {
        Ok(read) => read,
        Err(source) => {
            let error = Error::repository("list the snapshots", source);
            // What can be read still tells the identities that there are.
            let index = IndexOptions { degraded: true, ..repository.options().index };
            return Err(match repository.with_index_options(index).catalog() {
                Ok(catalog) => tell(plan, &catalog.all_snapshots(), error),
                Err(_) => error,
            });
        }
    };
    let snapshots = catalog.all_snapshots();
    Ok(Opened { repository, catalog, contents, snapshots })
}

/// An index that needs more than its share goes to a nameless file in the volume: the only place where a
/// mover may write much.
fn options(plan: &Plan) -> Options {
    let mut options = memory::budget().bound(Options::default());
    options.index.degraded = plan.arguments.degraded;
    options.index.spill_directory = Some(plan.target.clone());
    options.index.loading = Some(Loading::default());
    if let Some(cache) = &plan.cache {
        options.index.cache_directory = Some(cache.directory.clone());
        options.index.cache_limit = cache.limit;
    }
    options
}

/// Does what reads the index, and logs now and then how far it has come.
fn waiting<T>(loading: Option<&Loading>, work: impl FnOnce() -> T) -> T {
    waiting::during(loading, waiting::LOG_INTERVAL, log::info, work)
}

fn restore_chosen(plan: &Plan, opened: Opened) -> Result<(), Error> {
    let Opened { repository, mut catalog, contents, snapshots } = opened;
    let unlisted = log::timed("looking for snapshots that are not listed", || catalog.unlisted());
    let (repository, catalog, snapshots) = (&repository, &catalog, &snapshots);
    let told = |error| tell(plan, snapshots, error);
    announce(plan);
    let choice =
        certain(plan, catalog).and_then(|()| plan.request.choose(snapshots, plan.arguments.degraded));
    let snapshot = match choice.map_err(told)? {
        Choice::Snapshot(snapshot) => snapshot,
        Choice::Nothing(passed) => {
            let source = &plan.request.source;
            let asked = source.clone().into();
            let absence = log::timed("looking for lost indexes", || catalog.absence(Some(&asked)));
            return match absence {
                Ok(Absence::Certain) => nothing(plan, snapshots, Some(passed)),
                Ok(Absence::Doubtful(reason)) => {
                    Err(told(Error::Uncertain { source_name: source.to_string(), reason }))
                }
                Err(e) => Err(told(Error::repository("look for lost indexes", e))),
            };
        }
    };
    newest_is_listed(plan, &unlisted, &snapshot).map_err(told)?;
    log::line(format_args!("Selected snapshot with id: {}", snapshot.id));
    log::info(format_args!("it began at {} and ended at {}", snapshot.start_time, snapshot.end_time));
    let contents = match contents {
        Some(contents) => Ok(contents),
        None => log::timed("loading the index", || {
            waiting(repository.options().index.loading.as_ref(), || repository.contents())
        }),
    };
    contents
        .map_err(|e| Error::repository("load the index", e))
        .and_then(|contents| fill::fill(plan, &contents, &snapshot))
        .map_err(told)
}

/// Refuses to call a snapshot the newest while an index that may hold a newer one is missing.
fn certain(plan: &Plan, catalog: &Catalog) -> Result<(), Error> {
    let Some(reason) = catalog.doubts().into_iter().next() else { return Ok(()) };
    if plan.arguments.degraded {
        log::warn(format_args!("a newer snapshot may exist: {reason}"));
        return Ok(());
    }
    let reason = reason.with_advice("additional argument --rokopia-degraded takes what can be read");
    Err(Error::Uncertain { source_name: plan.request.source.to_string(), reason })
}

/// Says that a newer snapshot is in packs which no index names; in strict mode nothing is restored then.
fn newest_is_listed(plan: &Plan, unlisted: &Unlisted, chosen: &Snapshot) -> Result<(), Error> {
    let Some(reason) = plan.request.newer(unlisted, chosen) else { return Ok(()) };
    if plan.arguments.strict {
        return Err(Error::Uncertain {
            source_name: plan.request.source.to_string(),
            reason: reason.clone(),
        });
    }
    log::warn(format_args!("a newer snapshot may exist: {reason}"));
    Ok(())
}

fn announce(plan: &Plan) {
    let source = &plan.request.source;
    log::line("Selecting snapshot to restore");
    if plan.target != Path::new(&source.path) {
        log::line(format_args!(
            "Note: Looking for snapshots with path {} (original path) even though restoring to {}",
            source.path,
            plan.target.display()
        ));
    }
    log::line(format_args!("Looking for snapshots with identity: {source}"));
}

/// There is nothing to restore, for certain: the volume of a new application.
fn nothing(plan: &Plan, snapshots: &Snapshots, passed: Option<Passed>) -> Result<(), Error> {
    if let Some(Passed { incomplete, later }) = passed {
        if incomplete > 0 {
            log::line(format_args!("passed over as incomplete: {}", counted(incomplete, "snapshot")));
        }
        if later > 0 {
            log::line(format_args!(
                "passed over as later than the time asked for: {}",
                counted(later, "snapshot")
            ));
        }
    }
    let source = &plan.request.source;
    // Of what is longer the operator would keep the end alone, but it looks for the beginning.
    let missing = log::cut(&format!("No snapshots found for {source}"), LONGEST_MISSING).to_owned();
    if plan.arguments.strict {
        let error = Error::NothingStrict(source.to_string());
        discovery::print(snapshots, source, &[missing, error.line()]);
        return Err(Error::AlreadyReported(Box::new(error)));
    }
    log::line("=== No data will be restored ===");
    discovery::print(snapshots, source, &[missing, "No eligible snapshots found".into()]);
    Ok(())
}

/// Ends the log with the identities that there are, and the error, unless a signal is behind it.
fn tell(plan: &Plan, snapshots: &Snapshots, error: Error) -> Error {
    if signals::exit_code().is_some() {
        return Error::Stopped;
    }
    discovery::print(snapshots, &plan.request.source, &[error.line()]);
    Error::AlreadyReported(Box::new(error))
}

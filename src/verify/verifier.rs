//! How callers start a verification.

use std::sync::atomic::AtomicBool;

use super::error::Error;
use super::job::{Asked, Job, Progress};
use super::ledger::{Ledger, MergedLedgers};
use super::options::Settings;
use super::report::model::Report;
use super::run;
use crate::repository::Repository;

/// A verification of a repository.
///
/// ```no_run
/// use rokopia::{FileSystem, Ledger, Password, Repository, Verifier, VerifySettings};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let store = FileSystem::open("/mnt/kopia")?;
/// let repository = Repository::open(store, &Password::from_env()?)?;
/// let ledger = Ledger::open("/var/lib/rokopia/ledger", &repository)?;
/// let mut settings = VerifySettings::default();
/// settings.budget = Some(200 << 30);
/// let report = Verifier::new(&repository, &settings).ledger(&ledger).run()?;
/// println!("{:?}: {:?}", report.result, report.newest_whole);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy)]
pub struct Verifier<'a>(Asked<'a>);

debug_of!(Verifier<'_>, "Verifier", "settings" = |verifier| verifier.0.settings);

static NEVER: AtomicBool = AtomicBool::new(false);

impl<'a> Verifier<'a> {
    /// A verification without a ledger.
    pub fn new(repository: &'a Repository, settings: &'a Settings) -> Self {
        let (ledger, history) = (None, None);
        Self(Asked { repository, settings, ledger, history, interrupted: &NEVER, progress: &|_| {} })
    }

    /// Uses the proofs in the ledger, and adds those of this run.
    #[must_use]
    pub fn ledger(self, ledger: &'a Ledger) -> Self {
        Self(Asked { ledger: Some(ledger), history: Some(ledger), ..self.0 })
    }

    /// Uses the proofs in several ledgers, and writes to none of them.
    #[must_use]
    pub fn merged(self, ledgers: &'a MergedLedgers) -> Self {
        Self(Asked { history: Some(ledgers), ..self.0 })
    }

    /// Ends early, between reads, when this flag is set.
    #[must_use]
    pub fn interrupted(self, flag: &'a AtomicBool) -> Self {
        Self(Asked { interrupted: flag, ..self.0 })
    }

    /// Calls `report` after each pack, on any thread.
    #[must_use]
    pub fn progress(self, report: &'a (dyn Fn(&Progress) + Sync)) -> Self {
        Self(Asked { progress: report, ..self.0 })
    }

    /// Runs the verification.
    ///
    /// # Errors
    /// [`Error`] if there is nothing to report, for example because the indexes cannot be listed. Damage is no error.
    pub fn run(self) -> Result<Report, Error> {
        run::verify(&Job::new(self.0))
    }
}

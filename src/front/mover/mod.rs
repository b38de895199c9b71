//! VolSync's mover: the container that the operator starts to fill a volume from a backup.
//!
//! The operator passes everything in environment variables and sees the exit code and the log, nothing else: see
//! `docs/volsync.md`. What is chosen is settled before anything in the volume is touched.

mod arguments;
mod bucket;
mod debug;
mod discovery;
mod environment;
mod error;
mod folders;
mod hand_over;
mod identity;
mod location;
mod log;
mod memory;
mod operation;
mod restore;
mod s3;
mod selection;

use std::ffi::OsString;
use std::time::Duration;

use crate::Sandbox;
use crate::os::signals;
use environment::Environment;
use error::Error;
use location::Location;
use operation::Operation;

/// The stock mover ignores the signal that ends its pod; we answer within two seconds, also where storage hangs.
const PATIENCE: Duration = Duration::from_millis(1300);
const _: () = assert!(PATIENCE.as_millis() + signals::ON_EXIT_LIMIT.as_millis() < 2000);

/// Kopia gets most of the 30 seconds that Kubernetes grants, to end a backup in good order.
const PATIENCE_WITH_KOPIA: Duration = Duration::from_secs(25);

/// Runs one operation as the operator's container does; returns the exit code.
pub(crate) fn main(arguments: &[OsString]) -> u8 {
    let environment = Environment::of_process();
    let operation = match Location::choose(&environment).map(|location| log::keep_out_of(|| location.guard()))
    {
        Ok(Err(refused)) => Err(refused.into()),
        _ => Operation::choose(&environment, arguments),
    };
    let patience = match operation {
        Ok(Operation::Backup | Operation::Maintenance) => PATIENCE_WITH_KOPIA,
        _ => PATIENCE,
    };
    signals::install(signals::SignalPolicy {
        grace_period: Some(patience),
        on_exit: Some(log::last_words),
        sandbox: Sandbox::from_env(),
    });
    let result = run(&environment, operation);
    if let Some(exit_code) = signals::exit_code() {
        log::last_words(exit_code);
        return exit_code;
    }
    if let Err(error) = &result
        && !matches!(error, Error::AlreadyReported(_))
    {
        log::line(error.line());
    }
    let exit_code = result.map_or_else(|e| e.exit_code(), |()| 0);
    log::summary(exit_code);
    exit_code
}

fn run(environment: &Environment, operation: Result<Operation, Error>) -> Result<(), Error> {
    log::line("Starting rokopia mover container");
    log::info(format_args!("rokopia version: {}", env!("CARGO_PKG_VERSION")));
    if environment.raw("DEBUG_MOVER").is_some_and(|value| value == "1") {
        return debug::wait();
    }
    let operation = operation?;
    log::info(format_args!("operation: {operation}"));
    if !environment.has("KOPIA_PASSWORD") {
        return Err(Error::Undefined("KOPIA_PASSWORD"));
    }
    match operation {
        Operation::Restore => restore::run(environment),
        Operation::Backup | Operation::Maintenance => hand_over::run(operation, environment),
    }
}

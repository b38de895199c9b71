//! Operations that write: handed to a kopia binary, where a derived image carries one.
//!
//! The sequences of commands are those of the stock mover, because later runs of it have to find the same identities,
//! the same configuration file and the same cache.

mod backend;
mod backup;
mod connect;
mod kopia;
mod maintenance;
mod policy;

use super::environment::Environment;
use super::error::Error;
use super::operation::Operation;
use kopia::Kopia;

pub(super) fn run(operation: Operation, environment: &Environment) -> Result<(), Error> {
    let kopia = Kopia::find(environment).ok_or(Error::NoKopia { operation })?;
    match operation {
        Operation::Maintenance => maintenance::run(&kopia, environment),
        _ => backup::run(&kopia, environment),
    }
}

//! What is not ours goes to a real Kopia, which takes our place in this process.

use std::env;
use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use super::failure::Failure;
use crate::os::executable::{is_this_program, next_kopia};

/// Names the real Kopia.
const VARIABLE: &str = "ROKOPIA_KOPIA";

/// Set for the program that is started: it must not be us again, by whatever name.
const GUARD: &str = "ROKOPIA_HANDED_OVER";

/// Becomes a real Kopia with the same arguments. Comes back only if there is none.
pub(super) fn hand_over(arguments: &[OsString], what: &str) -> Failure {
    let program = match find() {
        Ok(program) => program,
        Err(reason) => return Failure::new(format!("rokopia only reads and does not do {what}: {reason}")),
    };
    let error = Command::new(&program).args(arguments).env(GUARD, "1").exec();
    Failure::new(format!("rokopia only reads, and {} does not start for {what}: {error}", program.display()))
}

fn find() -> Result<PathBuf, String> {
    if env::var_os(GUARD).is_some() {
        return Err(format!("{VARIABLE} leads back to this program"));
    }
    if let Some(path) = env::var_os(VARIABLE).filter(|path| !path.is_empty()).map(PathBuf::from) {
        if is_this_program(&path) {
            return Err(format!("{VARIABLE} leads back to this program"));
        }
        return Ok(path);
    }
    next_kopia(&env::var_os("PATH").unwrap_or_default())
        .ok_or_else(|| format!("set {VARIABLE} to the path of a real kopia to have it done by that"))
}

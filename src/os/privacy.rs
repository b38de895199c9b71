//! Keeping what the process knows to itself.

/// Keeps the memory of this process out of core dumps and away from debuggers of the same user: passwords and keys are
/// in it. What it executes later is not concerned. Where the system refuses, nothing changes.
pub fn keep_memory_private() {
    if let Err(error) = nix::sys::prctl::set_dumpable(false) {
        tracing::debug!(%error, "core dumps stay possible");
    }
}

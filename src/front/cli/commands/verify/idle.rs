//! Making way for everybody else on the machine.

use std::process::{Command, Stdio};

/// Reads only when nobody else does: asks `ionice`, for want of a safe way to the system call. Threads begun from here
/// on do as well. Where that is not possible, the verification is just as right.
pub(super) fn give_way() {
    let own = std::process::id().to_string();
    let mut ionice = Command::new("ionice");
    ionice.args(["-c", "3", "-p", &own]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    match ionice.status() {
        Ok(status) if status.success() => {}
        Ok(status) => tracing::warn!("ionice does not grant idle I/O priority: {status}"),
        Err(e) => tracing::warn!("no idle I/O priority, because ionice cannot be run: {e}"),
    }
}

//! Whether the storage answers, and what may be done to it.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use nix::unistd::{AccessFlags, access};

use super::{Report, State};
use crate::Error;
use crate::blob::{self, BlobKind, BlobStore, RetryPolicy, Traffic, list_kinds};
use crate::front::cli::failure::Failure;
use crate::front::cli::units::human_span;
use crate::front::location::Location;
use crate::os::mounts::Mount;
use crate::snapshot::CLOCK_TOLERANCE;

/// Who runs a check waits for it.
const POLICY: RetryPolicy = RetryPolicy {
    attempts: 2,
    first_pause: Duration::from_millis(200),
    longest_pause: Duration::from_secs(1),
};

/// Opens the storage and asks it for something. `None` where nothing more can be asked.
pub(super) fn check(
    location: &Location,
    traffic: &Traffic,
    report: &mut Report,
) -> Option<Arc<dyn BlobStore>> {
    if let Some(directory) = location.directory() {
        mount(directory, report);
    }
    let failed = |error: blob::Error| match error {
        // It says by itself what was being opened.
        blob::Error::Remote(_) => Failure::from(Error::from(error)),
        error => Failure::from(Error::from(error)).during(&format!("opening {location}")),
    };
    let begun = Instant::now();
    let listed = location.open_with(traffic, POLICY).and_then(|store| {
        let kinds = [BlobKind::Index, BlobKind::EpochIndex, BlobKind::EpochCompaction];
        let blobs = list_kinds(&store, &kinds)?;
        Ok((store, blobs))
    });
    let (store, blobs) = match listed {
        Ok(listed) => listed,
        Err(error) => {
            report.failure("storage", &failed(error));
            return None;
        }
    };
    let took = human_span(begun.elapsed());
    report.ok("storage", format!("{} can be listed ({took})", store.describe()));
    let newest = blobs.iter().filter_map(|blob| blob.modified).max();
    clock(newest, report);
    match location.directory() {
        Some(directory) => writing(directory, report),
        None => report.add(
            "writing",
            State::NotChecked,
            "whether the credentials allow writing shows only when something is written",
            &["give rokopia credentials that may list and read alone: docs/storage.md has the policy"],
        ),
    }
    Some(store)
}

/// How a file server is mounted.
fn mount(directory: &Path, report: &mut Report) {
    let real = std::fs::canonicalize(directory);
    let Some(mount) = real.ok().and_then(|real| Mount::of(&real)) else { return };
    let shown = format!("{} ({}, {})", mount.source, mount.kind, mount.options.join(","));
    if !mount.is_nfs() {
        return report.ok("mount", shown);
    }
    let soft = mount.has("soft") || mount.has("softerr");
    match (soft, mount.has("ro")) {
        (true, true) => report.ok("mount", format!("{shown}: a hung server gives errors after its time")),
        (false, true) => report.ok("mount", format!("{shown}: a hung server is waited for")),
        (soft, false) => report.add(
            "mount",
            State::Warning,
            match soft {
                true => format!("{shown}: mounted soft and writable"),
                false => format!("{shown}: mounted writable"),
            },
            &["mount it with ro,nfsvers=4.2,hard,nconnect=4,noatime: see docs/nfs.md"],
        ),
    }
}

/// A blob from the future means that a clock is wrong. Ages of backups, and signatures of requests, depend on clocks.
fn clock(newest: Option<SystemTime>, report: &mut Report) {
    let Some(newest) = newest else {
        return report.add(
            "clock",
            State::NotChecked,
            "there is no index blob whose time could be compared",
            &[],
        );
    };
    match newest.duration_since(SystemTime::now()) {
        Ok(ahead) if ahead > CLOCK_TOLERANCE => report.add(
            "clock",
            State::Warning,
            format!(
                "the newest index blob is from {} in the future: this clock or that of the storage is wrong",
                human_span(ahead)
            ),
            &["set the clock of this machine"],
        ),
        _ => report.ok("clock", "no blob is from the future"),
    }
}

/// Whether this user could write to a directory. Nothing is written.
fn writing(directory: &Path, report: &mut Report) {
    match access(directory, AccessFlags::W_OK) {
        Err(_) => report.ok("writing", "this user cannot write to the repository, as it should be"),
        Ok(()) => report.add(
            "writing",
            State::Warning,
            "this user could write to the repository; rokopia does not, but others could in its place",
            &["mount it read-only, or run rokopia as a user that may only read it"],
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blob_from_the_future_is_a_warning() {
        let state = |newest| {
            let mut report = Report::default();
            clock(newest, &mut report);
            report.worst().unwrap()
        };
        let now = SystemTime::now();
        assert_eq!(state(Some(now + Duration::from_secs(3600))), State::Warning);
        assert_eq!(state(Some(now + Duration::from_secs(60))), State::Ok);
        assert_eq!(state(Some(SystemTime::UNIX_EPOCH)), State::Ok);
        assert_eq!(state(None), State::NotChecked);
    }
}

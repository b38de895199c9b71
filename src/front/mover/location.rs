//! Where the repository is.

use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use nix::sys::statvfs::{FsFlags, statvfs};
use rustix::fs::{AtFlags, CWD, StatxFlags, statx};
use serde::de::IgnoredAny;

use super::environment::Environment;
use super::error::Error;
use super::log;
use crate::blob::{self, FileSystem, Interruptible, Retry, RetryPolicy};
use crate::gojson::go_object;
use crate::os::signals;

/// What a new file system holds before anything was put there.
const LOST_AND_FOUND: &str = "lost+found";

/// Other settings that name a storage, before and after the file system in the operator's order of preference.
const BEFORE: [(&str, &str); 3] =
    [("KOPIA_S3_BUCKET", "S3"), ("KOPIA_AZURE_CONTAINER", "Azure"), ("KOPIA_GCS_BUCKET", "Google Cloud")];
const AFTER: [(&str, &str); 5] = [
    ("KOPIA_B2_BUCKET", "Backblaze B2"),
    ("WEBDAV_URL", "WebDAV"),
    ("SFTP_HOST", "SFTP"),
    ("RCLONE_REMOTE_PATH", "rclone"),
    ("GOOGLE_DRIVE_FOLDER_ID", "Google Drive"),
];

/// A repository in a directory: the only kind that this mover opens.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Location(PathBuf);

/// What is at a location.
pub(super) enum Found {
    Store(Interruptible<Retry<FileSystem>>),
    /// Nothing, on a volume where a first backup can come to be.
    NotYet(PathBuf),
}

#[derive(Default)]
struct Structured {
    storage: Option<Storage>,
    server: Option<IgnoredAny>,
}
go_object!(Structured { "storage" => storage, "apiServer" => server });

#[derive(Default)]
struct Storage {
    kind: String,
    config: StorageConfig,
}
go_object!(Storage { "type" => kind, "config" => config });

#[derive(Default)]
struct StorageConfig {
    path: PathBuf,
}
go_object!(StorageConfig { "path" => path });

impl Location {
    /// The location that the environment names; the first setting that names one counts.
    pub(super) fn choose(environment: &Environment) -> Result<Self, Error> {
        if let Some(json) = environment.text("KOPIA_STRUCTURED_REPOSITORY_CONFIG")
            && let Some(location) = Self::structured(&json)?
        {
            return Ok(location);
        }
        let refuse = |settings: &[(&str, &'static str)]| {
            let set = settings.iter().find(|(variable, _)| environment.has(variable));
            set.map_or(Ok(()), |(_, name)| Err(Error::Backend(name)))
        };
        let url = environment.text("KOPIA_REPOSITORY").unwrap_or_default();
        if url.starts_with("s3://") {
            return Err(Error::Backend("S3"));
        }
        refuse(&BEFORE)?;
        if let Some(path) = url_path(&url)? {
            return Ok(Self(path));
        }
        refuse(&AFTER)?;
        Err(Error::NoLocation)
    }

    /// `None` when the configuration has other purposes than to name a storage.
    fn structured(json: &str) -> Result<Option<Self>, Error> {
        let config: Structured = serde_json::from_str(json).map_err(|e| invalid_json(&e))?;
        if config.server.is_some() {
            return Err(Error::Backend("repository server"));
        }
        let Some(storage) = config.storage else { return Ok(None) };
        if storage.kind != "filesystem" {
            return Err(Error::Structured(format!(
                "this mover opens storage of type \"filesystem\" alone, not {:?}",
                storage.kind
            )));
        }
        let path = storage.config.path;
        if !path.is_absolute() {
            return Err(Error::Structured("it has no absolute storage path".into()));
        }
        Ok(Some(Self(path)))
    }

    /// Opens the storage; what a network file system fails to do is tried again.
    pub(super) fn open(&self) -> Result<Found, Error> {
        let path = &self.0;
        let policy = retry_policy();
        match policy.run(|| FileSystem::open(path)) {
            Ok(store) if is_new(path) => {
                drop(store);
                self.absent("it is empty")
            }
            Ok(store) => Ok(Found::Store(Interruptible::new(Retry::new(store, policy), signals::raised()))),
            Err(blob::Error::EmptyLocation { .. }) => self.absent("it is an empty directory"),
            Err(blob::Error::NoSuchLocation { .. }) => self.absent("it does not exist"),
            Err(source) => Err(Error::repository("open the repository", source)),
        }
    }

    /// Nothing is there. That is where every repository begins, but also what a volume that is not mounted looks like.
    fn absent(&self, reason: &'static str) -> Result<Found, Error> {
        let path = self.0.clone();
        if path.as_os_str().as_bytes().last().is_some_and(|byte| byte.is_ascii_whitespace()) {
            let reason =
                "nothing is there, and the path ends with a blank or a line break: look into the Secret";
            return Err(Error::NotMounted { path, reason });
        }
        let Some(existing) = path.ancestors().find(|ancestor| ancestor.exists()) else {
            return Err(Error::NotMounted { path, reason });
        };
        if !is_mounted(existing) {
            let reason = match reason {
                "it does not exist" => "it does not exist, and no volume is mounted there",
                _ => "it is empty, and no volume is mounted there",
            };
            return Err(Error::NotMounted { path, reason });
        }
        let read_only = statvfs(existing).map_or(true, |stat| stat.flags().contains(FsFlags::ST_RDONLY));
        if read_only {
            let reason =
                "nothing is there, and the volume is read-only, so that no backup can have been made there";
            return Err(Error::NotMounted { path, reason });
        }
        Ok(Found::NotYet(path))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

/// The directory that a URL names, if it is one that names directories.
pub(super) fn url_path(url: &str) -> Result<Option<PathBuf>, Error> {
    match url.strip_prefix("filesystem://") {
        None => Ok(None),
        Some(path) if !path.starts_with('/') => Err(Error::LocationFormat),
        Some(path) if path.contains("../") => Err(Error::LocationPath),
        Some(path) => Ok(Some(path.into())),
    }
}

/// What is wrong with a structured configuration. The parser's own words would quote what it found, which may be a
/// credential.
pub(super) fn invalid_json(error: &serde_json::Error) -> Error {
    Error::Structured(format!("it is not valid at line {}, column {}", error.line(), error.column()))
}

/// Patient: after a power cut all movers of a cluster start at once on one server.
fn retry_policy() -> RetryPolicy {
    use std::time::Duration;
    RetryPolicy {
        attempts: 8,
        first_pause: Duration::from_millis(200),
        longest_pause: Duration::from_secs(10),
    }
}

/// Whether a volume holds nothing but what was made with its file system.
pub(super) fn is_new(path: &Path) -> bool {
    let Ok(mut entries) = path.read_dir() else { return false };
    entries.all(|entry| entry.is_ok_and(|entry| entry.file_name() == LOST_AND_FOUND))
}

/// Whether `path` is on another mount than the container's own file system. `/proc`, which would list them, may be absent.
fn is_mounted(path: &Path) -> bool {
    let root: &Path = Component::RootDir.as_ref();
    match (mount_number(path), mount_number(root)) {
        (Some(there), Some(own)) => there != own,
        // Kernels before 5.8 number no mounts; volumes are devices of their own nearly always.
        _ => device(path) != device(root),
    }
}

fn mount_number(path: &Path) -> Option<u64> {
    let stat = statx(CWD, path, AtFlags::empty(), StatxFlags::MNT_ID).ok()?;
    StatxFlags::from_bits_retain(stat.stx_mask).contains(StatxFlags::MNT_ID).then_some(stat.stx_mnt_id)
}

fn device(path: &Path) -> Option<u64> {
    path.metadata().map(|metadata| metadata.dev()).ok()
}

/// Says which settings of a policy have no effect on a restore.
pub(super) fn note_ignored(environment: &Environment) {
    let policy = ["KOPIA_CONFIG_PATH", "KOPIA_GLOBAL_POLICY_FILE", "KOPIA_REPOSITORY_CONFIG_FILE"];
    if policy.iter().any(|name| environment.has(name)) {
        log::info("policy and repository configuration files have no effect on a restore");
    }
    if let Some(json) = environment.text("KOPIA_MANUAL_CONFIG")
        && serde_json::from_str::<IgnoredAny>(&json).is_err()
    {
        log::warn("KOPIA_MANUAL_CONFIG is not valid JSON; it has no effect on a restore");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choose(pairs: &[(&str, &str)]) -> Result<Location, Error> {
        Location::choose(&pairs.iter().copied().collect())
    }

    fn url(url: &str) -> Result<Location, Error> {
        choose(&[("KOPIA_REPOSITORY", url)])
    }

    #[test]
    fn paths_of_urls_are_taken_as_they_are() {
        for path in ["/mnt/repo", "/mnt/repo/", "//mnt/repo", "/mnt/re po", "/mnt/..", "/mnt/a%20b"] {
            assert_eq!(url(&format!("filesystem://{path}")).unwrap().path(), Path::new(path));
        }
    }

    #[test]
    fn urls_that_name_no_directory() {
        for text in ["filesystem://mnt/repo", "filesystem://"] {
            assert!(matches!(url(text), Err(Error::LocationFormat)), "{text}");
        }
        assert!(matches!(url("filesystem:///mnt/../etc"), Err(Error::LocationPath)));
        for text in ["", "filesystem:", "/mnt/repo", "file:///mnt/repo", "gcs://x"] {
            assert!(matches!(url(text), Err(Error::NoLocation)), "{text}");
        }
    }

    #[test]
    fn other_storages_are_never_mistaken_for_a_directory() {
        assert!(matches!(url("s3://bucket/x"), Err(Error::Backend("S3"))));
        for (variable, _) in BEFORE {
            let both = [("KOPIA_REPOSITORY", "filesystem:///mnt/repo"), (variable, "x")];
            assert!(matches!(choose(&both), Err(Error::Backend(_))), "{variable}");
        }
        for (variable, _) in AFTER {
            let both = [("KOPIA_REPOSITORY", "filesystem:///mnt/repo"), (variable, "x")];
            assert!(choose(&both).is_ok(), "{variable}");
            assert!(matches!(choose(&[(variable, "x")]), Err(Error::Backend(_))), "{variable}");
        }
    }

    #[test]
    fn structured_configuration() {
        let structured = |json| {
            let url = ("KOPIA_REPOSITORY", "filesystem:///url");
            choose(&[("KOPIA_STRUCTURED_REPOSITORY_CONFIG", json), url])
        };
        let path = |json| structured(json).unwrap().path().to_str().unwrap().to_owned();
        assert_eq!(
            path(r#"{"storage":{"type":"filesystem","config":{"path":"/json"}},"hostname":"h"}"#),
            "/json"
        );
        // Kopia's own parser takes keys of any case for the same.
        assert_eq!(path(r#"{"Storage":{"TYPE":"filesystem","Config":{"Path":"/json"}}}"#), "/json");
        assert_eq!(path(r#"{"enableActions":true}"#), "/url");
        assert_eq!(path(r#"{"storage":null}"#), "/url");
        for json in [
            "{",
            "[]",
            r#"{"storage":{"type":"s3","config":{"bucket":"b"}}}"#,
            r#"{"storage":{"type":"filesystem","config":{"path":"relative"}}}"#,
            r#"{"storage":{"type":"filesystem"}}"#,
            r#"{"storage":{}}"#,
        ] {
            assert!(matches!(structured(json), Err(Error::Structured(_))), "{json}");
        }
        assert!(matches!(structured(r#"{"apiServer":{}}"#), Err(Error::Backend(_))));
    }

    #[test]
    fn nothing_on_the_containers_own_file_system_is_an_unmounted_volume() {
        let dir = tempfile::tempdir().unwrap();
        if is_mounted(dir.path()) {
            println!("skipped: temporary files are on another file system than /");
            return;
        }
        std::fs::create_dir(dir.path().join(LOST_AND_FOUND)).unwrap();
        for path in [dir.path().to_owned(), dir.path().join("no/such")] {
            assert!(matches!(Location(path).open(), Err(Error::NotMounted { .. })));
        }
    }
}

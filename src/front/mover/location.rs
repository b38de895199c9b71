//! Where the repository is.

use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use nix::sys::statvfs::{FsFlags, statvfs};
use rustix::fs::{AtFlags, CWD, StatxFlags, statx};
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::environment::Environment;
use super::error::Error;
use super::{bucket, folders, log};
use crate::Sandbox;
use crate::blob::{self, BlobId, BlobStore, Guard, Interruptible, RetryPolicy, Traffic};
use crate::front::location as front;
use crate::gojson::go_object;
use crate::os::signals;

/// The blob that every repository has.
const FORMAT_BLOB: &str = "kopia.repository";

/// What a new file system holds before anything was put there.
const LOST_AND_FOUND: &str = "lost+found";

/// Settings that name a storage, after the file system in the operator's order of preference.
const AFTER: [(&str, &str); 5] = [
    ("KOPIA_B2_BUCKET", "Backblaze B2"),
    ("WEBDAV_URL", "WebDAV"),
    ("SFTP_HOST", "SFTP"),
    ("RCLONE_REMOTE_PATH", "rclone"),
    ("GOOGLE_DRIVE_FOLDER_ID", "Google Drive"),
];

/// Where the repository is.
#[derive(Debug)]
pub(super) struct Location(front::Location);

/// What is at a location.
pub(super) enum Found {
    Store(Interruptible<Arc<dyn BlobStore>>),
    /// Nothing, where a first backup can come to be.
    NotYet(String),
}

#[derive(Default)]
struct Structured {
    storage: Option<Box<RawValue>>,
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
        const MOMENT: &str = "ROKOPIA_POINT_IN_TIME";
        let chosen = Self::of_now(environment)?;
        let Some(text) = environment.text(MOMENT) else { return Ok(chosen) };
        let expected = "a time such as 2026-11-21T08:00:00Z";
        let moment = front::moment(&text);
        let moment = moment.ok_or(Error::Setting { name: MOMENT, value: text.into_owned(), expected })?;
        Ok(Self(chosen.0.at_moment(moment)))
    }

    fn of_now(environment: &Environment) -> Result<Self, Error> {
        if let Some(json) = environment.text("KOPIA_STRUCTURED_REPOSITORY_CONFIG")
            && let Some(location) = Self::structured(&json)?
        {
            return Ok(location);
        }
        let url = environment.text("KOPIA_REPOSITORY").unwrap_or_default();
        if let Some(location) = bucket::of(environment, &url)? {
            return Ok(Self(location));
        }
        if let Some(path) = url_path(&url)? {
            return Ok(Self(front::Location::Directory(path)));
        }
        match AFTER.iter().find(|(variable, _)| environment.has(variable)) {
            Some(("KOPIA_B2_BUCKET", _)) => bucket::b2(environment).map(Self),
            Some((variable, name)) => folders::of(environment, variable, name).map(Self),
            None => Err(Error::NoLocation),
        }
    }

    /// `None` when the configuration has other purposes than to name a storage.
    fn structured(json: &str) -> Result<Option<Self>, Error> {
        let config: Structured = serde_json::from_str(json).map_err(|e| invalid_json(&e))?;
        if config.server.is_some() {
            return Err(Error::Backend("repository server"));
        }
        let Some(json) = config.storage.filter(|json| json.get() != "null") else { return Ok(None) };
        let storage: Storage = serde_json::from_str(json.get()).map_err(|e| invalid_json(&e))?;
        if matches!(storage.kind.as_str(), "s3" | "b2" | "gcs" | "azureBlob" | "webdav" | "sftp" | "rclone") {
            return front::storage(json.get()).map(Self).map(Some).map_err(Error::Structured);
        }
        if storage.kind != "filesystem" {
            return Err(Error::Structured(format!(
                "this mover does not open storage of type {:?}",
                storage.kind
            )));
        }
        let path = storage.config.path;
        if !path.is_absolute() {
            return Err(Error::Structured("it has no absolute storage path".into()));
        }
        Ok(Some(Self(front::Location::Directory(path))))
    }

    /// Opens the storage; what a network fails to do is tried again.
    pub(super) fn open(&self, traffic: &Traffic) -> Result<Found, Error> {
        let policy = retry_policy();
        let opened = policy.run(|| self.0.open_with(traffic, policy));
        let Some(path) = self.0.directory() else {
            let failed = |source| Error::repository("open the repository", source);
            return look_into(Interruptible::new(opened.map_err(failed)?, signals::raised())).map_err(failed);
        };
        match opened {
            Ok(store) if is_new(path) => {
                drop(store);
                absent(path, "it is empty")
            }
            Ok(store) => Ok(Found::Store(Interruptible::new(store, signals::raised()))),
            Err(blob::Error::EmptyLocation { .. }) => absent(path, "it is an empty directory"),
            Err(blob::Error::NoSuchLocation { .. }) => absent(path, "it does not exist"),
            Err(source) => Err(Error::repository("open the repository", source)),
        }
    }

    /// What must not be written to.
    pub(super) fn guard(&self) -> Guard {
        self.0.directory().and_then(|path| Guard::new(path).ok()).unwrap_or_default()
    }

    /// Adds what the storage needs when it is read.
    pub(super) fn allow(&self, sandbox: Sandbox) -> Sandbox {
        self.0.allow(sandbox)
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What is in a bucket: nothing at all is where every repository begins. A bucket that is not there is an error.
fn look_into(store: Interruptible<Arc<dyn BlobStore>>) -> Result<Found, blob::Error> {
    let missing = match BlobId::new(FORMAT_BLOB).map(|id| store.size(&id)) {
        Ok(Err(e)) if e.is_not_found() => true,
        Ok(Err(e)) => return Err(e),
        _ => false,
    };
    match missing && store.is_empty()? {
        true => Ok(Found::NotYet(store.describe())),
        false => Ok(Found::Store(store)),
    }
}

/// Nothing is there. That is where every repository begins, but also what a volume that is not mounted looks like.
fn absent(path: &Path, reason: &'static str) -> Result<Found, Error> {
    let path = path.to_owned();
    if path.as_os_str().as_bytes().last().is_some_and(|byte| byte.is_ascii_whitespace()) {
        let reason = "nothing is there, and the path ends with a blank or a line break: look into the Secret";
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
    Ok(Found::NotYet(path.display().to_string()))
}

/// The directory that a URL names, if it is one that names directories.
pub(super) fn url_path(url: &str) -> Result<Option<PathBuf>, Error> {
    let path: PathBuf = if let Some(path) = url.strip_prefix("filesystem://") {
        // The operator's own form: as it is, whatever is in it.
        path.into()
    } else if url.starts_with("file://") || url.starts_with('/') {
        // As on the command line.
        let location = front::Location::parse(url.as_ref());
        location.directory().ok_or(Error::LocationFormat)?.to_path_buf()
    } else {
        return Ok(None);
    };
    match path.to_str() {
        _ if !path.is_absolute() => Err(Error::LocationFormat),
        Some(text) if text.contains("../") => Err(Error::LocationPath),
        _ => Ok(Some(path)),
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

/// Whether a volume holds only what was made with its file system.
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
            assert_eq!(url(&format!("filesystem://{path}")).unwrap().0.directory(), Some(Path::new(path)));
        }
    }

    #[test]
    fn a_path_and_a_file_url_name_directories_as_on_the_command_line() {
        for (text, path) in [
            ("/mnt/repo", "/mnt/repo"),
            ("/mnt/a%20b", "/mnt/a%20b"),
            ("file:///mnt/repo", "/mnt/repo"),
            ("file:///mnt/a%20b", "/mnt/a b"),
            ("file://localhost/mnt/repo", "/mnt/repo"),
        ] {
            assert_eq!(url(text).unwrap().0.directory(), Some(Path::new(path)), "{text}");
        }
    }

    #[test]
    fn urls_that_name_no_directory() {
        for text in ["filesystem://mnt/repo", "filesystem://"] {
            assert!(matches!(url(text), Err(Error::LocationFormat)), "{text}");
        }
        assert!(matches!(url("file://host/repo"), Err(Error::LocationFormat)));
        for text in ["filesystem:///mnt/../etc", "/mnt/../etc", "file:///mnt/%2e%2e/etc"] {
            assert!(matches!(url(text), Err(Error::LocationPath)), "{text}");
        }
        for text in ["", "filesystem:", "mnt/repo", "gcs://x"] {
            assert!(matches!(url(text), Err(Error::NoLocation)), "{text}");
        }
    }

    #[test]
    fn other_storages_are_never_mistaken_for_a_directory() {
        assert_eq!(url("s3://bucket/x").unwrap().to_string(), "s3://bucket/x/");
        for variable in ["KOPIA_S3_BUCKET", "KOPIA_AZURE_CONTAINER", "KOPIA_GCS_BUCKET"] {
            let both = [("KOPIA_REPOSITORY", "filesystem:///mnt/repo"), (variable, "x")];
            assert_eq!(choose(&both).unwrap().0.directory(), None, "{variable}");
        }
        for (variable, _) in AFTER {
            let both = [("KOPIA_REPOSITORY", "filesystem:///mnt/repo"), (variable, "x")];
            assert!(choose(&both).is_ok(), "{variable}");
            assert!(choose(&[(variable, "x")]).is_err(), "{variable}");
        }
        let b2 = [("KOPIA_B2_BUCKET", "b"), ("B2_ACCOUNT_ID", "id"), ("B2_APPLICATION_KEY", "key")];
        assert_eq!(choose(&b2).unwrap().to_string(), "b2://b");
    }

    #[test]
    fn only_a_bucket_is_read_as_it_was() {
        let moment = ("ROKOPIA_POINT_IN_TIME", "2026-11-21T08:00:00Z");
        let bucket = choose(&[("KOPIA_REPOSITORY", "s3://bucket/x"), moment]).unwrap();
        assert_eq!(bucket.to_string(), "s3://bucket/x/?at=2026-11-21T08:00:00Z");
        let directory = choose(&[("KOPIA_REPOSITORY", "/mnt/repo"), moment]).unwrap();
        assert!(matches!(directory.0, front::Location::Unsupported { .. }));
        let wrong = [("KOPIA_REPOSITORY", "s3://bucket/x"), ("ROKOPIA_POINT_IN_TIME", "soon")];
        assert!(matches!(choose(&wrong), Err(Error::Setting { .. })));
    }

    #[test]
    fn structured_configuration() {
        let structured = |json| {
            let url = ("KOPIA_REPOSITORY", "filesystem:///url");
            choose(&[("KOPIA_STRUCTURED_REPOSITORY_CONFIG", json), url])
        };
        let path = |json| structured(json).unwrap().0.directory().unwrap().to_str().unwrap().to_owned();
        assert_eq!(
            path(r#"{"storage":{"type":"filesystem","config":{"path":"/json"}},"hostname":"h"}"#),
            "/json"
        );
        // Kopia's own parser takes keys of any case for the same.
        assert_eq!(path(r#"{"Storage":{"TYPE":"filesystem","Config":{"Path":"/json"}}}"#), "/json");
        assert_eq!(path(r#"{"enableActions":true}"#), "/url");
        let bucket = structured(r#"{"storage":{"type":"s3","config":{"bucket":"b","prefix":"p/"}}}"#);
        assert_eq!(bucket.unwrap().to_string(), "s3://b/p/");
        assert_eq!(path(r#"{"storage":null}"#), "/url");
        for json in [
            "{",
            "[]",
            r#"{"storage":{"type":"gdrive","config":{"host":"h"}}}"#,
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
            assert!(matches!(
                Location(front::Location::Directory(path)).open(&Traffic::default()),
                Err(Error::NotMounted { .. })
            ));
        }
    }
}

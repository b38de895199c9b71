//! Where a repository is: the forms of `--repo`, connection files, and what else names a storage.
//!
//! A location never holds a secret. Credentials come from where Kopia finds them.

#[cfg(feature = "remote")]
mod cloud;
mod connection;
mod path;
#[cfg(feature = "rclone")]
mod rclone;
#[cfg(feature = "sftp")]
mod sftp;
#[cfg(feature = "remote")]
mod url;
#[cfg(feature = "webdav")]
mod webdav;

#[cfg(feature = "remote")]
pub(crate) use cloud::roots_in;
#[cfg(feature = "s3")]
pub(crate) use cloud::{B2Settings, b2_bucket};
pub(crate) use connection::storage;
#[cfg(all(feature = "rclone", feature = "mover"))]
pub(crate) use rclone::at as rclone_at;
#[cfg(all(feature = "sftp", feature = "mover"))]
pub(crate) use sftp::{Settings as SftpSettings, of_settings as sftp_at};
#[cfg(all(feature = "webdav", feature = "mover"))]
pub(crate) use webdav::of_address as webdav_at;

use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::{Timestamp, Zoned};

use crate::Sandbox;
#[cfg(feature = "azure")]
use crate::blob::object::AzureOptions;
#[cfg(feature = "gcs")]
use crate::blob::object::GcsOptions;
#[cfg(feature = "s3")]
use crate::blob::object::S3Options;
#[cfg(feature = "rclone")]
use crate::blob::rclone::RcloneOptions;
#[cfg(feature = "sftp")]
use crate::blob::sftp::SftpOptions;
#[cfg(feature = "webdav")]
use crate::blob::webdav::WebDavOptions;
use crate::blob::{BlobStore, Error, FileSystem, Retry, RetryPolicy, Throttle, Traffic};
use crate::snapshot::Period;

/// A place that this build can open, or knows that it cannot.
#[derive(Debug, Clone)]
pub(crate) enum Location {
    /// A directory.
    Directory(PathBuf),
    /// A bucket of S3.
    #[cfg(feature = "s3")]
    S3(Box<S3Options>),
    /// A bucket of Google Cloud Storage.
    #[cfg(feature = "gcs")]
    Gcs(Box<GcsOptions>),
    /// A container of Azure.
    #[cfg(feature = "azure")]
    Azure(Box<AzureOptions>),
    /// A repository of restic in a directory. No blobs of Kopia are in it.
    Restic(PathBuf),
    /// A folder of a WebDAV server.
    #[cfg(feature = "webdav")]
    WebDav(Box<WebDavOptions>),
    /// A folder of an SFTP server.
    #[cfg(feature = "sftp")]
    Sftp(Box<SftpOptions>),
    /// A remote of rclone.
    #[cfg(feature = "rclone")]
    Rclone(Box<RcloneOptions>),
    /// A kind of storage that is not in this build.
    Unsupported { location: String, reason: &'static str },
    /// A location that does not make sense; what is shown of it has no secrets.
    Invalid { location: String, reason: String },
}

/// Why a storage is only read as it is now.
const AS_IT_WAS: &str = "only buckets of S3 (and B2) that keep versions can be read as they were";

/// Reads a moment: a full time as it is, as in Kopia; of a day or an hour its end, but never one that is still to come.
pub(crate) fn moment(text: &str) -> Option<Timestamp> {
    text.parse().ok().or_else(|| at_most_now(Period::parse(text, &Zoned::now())?))
}

/// The end of a period, or now where that is earlier.
pub(crate) fn at_most_now(period: Period) -> Option<Timestamp> {
    let end = Timestamp::from_nanosecond(period.last().as_nanos().into()).ok()?;
    Some(end.min(Timestamp::now()))
}

/// What comes before the location of a repository of restic.
const RESTIC: &[u8] = b"restic:";

const RESTIC_ANSWERS: &str = "of a repository of restic, `exists`, `sources`, `snapshots` and `audit` can be asked; \
                              `restic restore` gives its data back";

/// Where a repository of restic is.
fn restic(whole: &OsStr, rest: &OsStr) -> Location {
    let (is_path, is_empty) = (!rest.as_bytes().contains(&b':'), rest.is_empty());
    if is_path && !is_empty {
        return Location::Restic(rest.into());
    }
    let reason = "repositories of restic are read in directories: after restic: a path is needed. Mount other storage, or \
                  copy config, keys and snapshots of it";
    Location::Unsupported { location: shown(whole), reason }
}

impl Location {
    /// Reads a location. Only `scheme://`, and `@` before the file of a connection, makes it anything else than a path.
    pub(crate) fn parse(text: &OsStr) -> Self {
        if let Some(file) = text.as_bytes().strip_prefix(b"@").filter(|file| !file.is_empty()) {
            return connection::in_file(Path::new(OsStr::from_bytes(file)));
        }
        if let Some(rest) = text.as_bytes().strip_prefix(RESTIC) {
            return restic(text, OsStr::from_bytes(rest));
        }
        #[cfg(feature = "rclone")]
        if let Some(rest) = text.as_bytes().strip_prefix(rclone::BEFORE) {
            return rclone::of_text(text, rest);
        }
        let Some((scheme, rest)) = path::split_scheme(text) else { return Self::Directory(text.into()) };
        let reason = match scheme.as_str() {
            "file" | "filesystem" => match path::directory(rest) {
                Some(path) => return Self::Directory(path),
                None => "after the scheme an absolute path is needed, as in file:///mnt/kopia",
            },
            #[cfg(feature = "s3")]
            "s3" => return Self::of_url(&scheme, rest, cloud::s3),
            #[cfg(feature = "s3")]
            "b2" => return Self::of_url(&scheme, rest, cloud::b2),
            #[cfg(feature = "gcs")]
            "gs" | "gcs" => return Self::of_url(&scheme, rest, cloud::gcs),
            #[cfg(feature = "azure")]
            "az" | "azure" | "azblob" => return Self::of_url(&scheme, rest, cloud::azure),
            #[cfg(feature = "webdav")]
            "webdav" | "webdavs" | "webdav+https" => return Self::of_url(&scheme, rest, webdav::encrypted),
            #[cfg(feature = "webdav")]
            "webdav+http" => return Self::of_url(&scheme, rest, webdav::plain),
            #[cfg(feature = "sftp")]
            "sftp" | "ssh" => {
                return match url::Url::parse_with_user(rest).and_then(sftp::of_url) {
                    Ok(location) => location,
                    Err(reason) => Self::Invalid { location: url::masked(&scheme, rest), reason },
                };
            }
            "http" | "https" => {
                "for a WebDAV server, write webdav://host/folder, or webdav+http:// without TLS"
            }
            "gdrive" => {
                "Google Drive is not supported: copy the folder to a directory or a bucket, or mount it with rclone, and \
                 give that"
            }
            #[cfg(not(all(feature = "s3", feature = "gcs", feature = "azure")))]
            "s3" | "b2" | "gs" | "gcs" | "az" | "azure" | "azblob" => {
                "this build was made without this storage: take one with it, mount the bucket, or copy it to a directory"
            }
            #[cfg(not(feature = "webdav"))]
            "webdav" | "webdavs" | "webdav+http" | "webdav+https" => {
                "this build was made without this storage: take one with it, or mount the folder"
            }
            #[cfg(not(feature = "sftp"))]
            "sftp" | "ssh" => {
                "this build was made without this storage: take one with it, or mount the folder"
            }
            #[cfg(not(feature = "rclone"))]
            "rclone" => {
                "a remote of rclone is read while it is served: rclone serve webdav --read-only --addr 127.0.0.1:8080 \
                 REMOTE:PATH, and then webdav+http://127.0.0.1:8080"
            }
            _ => "it begins with a scheme that is not known: give a path, file:///path or s3://bucket/prefix",
        };
        Self::Unsupported { location: shown(text), reason }
    }

    #[cfg(feature = "remote")]
    fn of_url(scheme: &str, rest: &[u8], read: fn(url::Url) -> Result<Self, String>) -> Self {
        match url::Url::parse(rest).and_then(read) {
            Ok(location) => location,
            Err(reason) => Self::Invalid { location: url::masked(scheme, rest), reason },
        }
    }

    /// Opens the storage. What a network fails to do is tried again. Of storage over a network, nothing is asked yet.
    /// What is asked of it counts in `traffic`, and keeps to its limits.
    pub(crate) fn open(&self, traffic: &Traffic) -> Result<Arc<dyn BlobStore>, Error> {
        self.open_with(traffic, RetryPolicy::default())
    }

    /// The same with another patience.
    pub(crate) fn open_with(
        &self,
        traffic: &Traffic,
        policy: RetryPolicy,
    ) -> Result<Arc<dyn BlobStore>, Error> {
        let store: Arc<dyn BlobStore> = match self {
            Self::Directory(path) => Arc::new(Throttle::counted(FileSystem::open(path)?, traffic.clone())),
            #[cfg(feature = "s3")]
            Self::S3(options) => Arc::new(options.as_ref().clone().open(traffic)?),
            #[cfg(feature = "gcs")]
            Self::Gcs(options) => Arc::new(options.as_ref().clone().open(traffic)?),
            #[cfg(feature = "azure")]
            Self::Azure(options) => Arc::new(options.as_ref().clone().open(traffic)?),
            Self::Restic(path) => {
                let (location, reason) = (format!("restic:{}", path.display()), RESTIC_ANSWERS);
                return Err(Error::UnsupportedLocation { location, reason });
            }
            #[cfg(feature = "webdav")]
            Self::WebDav(options) => Arc::new(options.as_ref().clone().open(traffic)?),
            #[cfg(feature = "sftp")]
            Self::Sftp(options) => Arc::new(options.as_ref().clone().open(traffic)?),
            #[cfg(feature = "rclone")]
            Self::Rclone(options) => Arc::new(options.open(traffic)?),
            Self::Unsupported { location, reason } => {
                return Err(Error::UnsupportedLocation { location: location.clone(), reason });
            }
            Self::Invalid { location, reason } => {
                return Err(Error::InvalidLocation { location: location.clone(), reason: reason.clone() });
            }
        };
        #[cfg(feature = "testkit")]
        let store = crate::testkit::gate_from_env(store);
        Ok(Arc::new(Retry::new(store, policy).counted(traffic.clone())))
    }

    /// The same as it was at a moment. Where that cannot be, it cannot be opened.
    #[cfg_attr(not(feature = "s3"), expect(unused_variables, reason = "only buckets keep what was"))]
    pub(crate) fn at_moment(self, moment: Timestamp) -> Self {
        match self {
            #[cfg(feature = "s3")]
            Self::S3(mut options) => {
                options.moment = Some(moment);
                Self::S3(options)
            }
            unusable @ (Self::Unsupported { .. } | Self::Invalid { .. }) => unusable,
            other => Self::Unsupported { location: other.to_string(), reason: AS_IT_WAS },
        }
    }

    /// The directory, where it is one.
    pub(crate) fn directory(&self) -> Option<&Path> {
        match self {
            Self::Directory(path) => Some(path),
            _ => None,
        }
    }

    /// The directory of a repository of restic, where it is one.
    pub(crate) fn restic(&self) -> Option<&Path> {
        match self {
            Self::Restic(path) => Some(path),
            _ => None,
        }
    }

    /// Adds what the storage needs when it is read. What must be started for it is, because later it cannot be.
    pub(crate) fn allow(&self, sandbox: Sandbox) -> Sandbox {
        match self {
            Self::Directory(path) | Self::Restic(path) => sandbox.repository(path),
            Self::Unsupported { .. } | Self::Invalid { .. } => sandbox,
            #[cfg(feature = "rclone")]
            Self::Rclone(options) => {
                options.prepare();
                sandbox.connecting()
            }
            #[cfg(feature = "remote")]
            _ => cloud::token_files().fold(sandbox.connecting(), Sandbox::reading),
        }
    }
}

impl fmt::Display for Location {
    /// Without secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory(path) => path.display().fmt(f),
            Self::Restic(path) => write!(f, "restic:{}", path.display()),
            #[cfg(feature = "s3")]
            Self::S3(options) => options.fmt(f),
            #[cfg(feature = "gcs")]
            Self::Gcs(options) => options.fmt(f),
            #[cfg(feature = "azure")]
            Self::Azure(options) => options.fmt(f),
            #[cfg(feature = "webdav")]
            Self::WebDav(options) => options.fmt(f),
            #[cfg(feature = "sftp")]
            Self::Sftp(options) => options.fmt(f),
            #[cfg(feature = "rclone")]
            Self::Rclone(options) => options.fmt(f),
            Self::Unsupported { location, .. } | Self::Invalid { location, .. } => f.write_str(location),
        }
    }
}

/// A location for messages. Those that cannot be opened may hold what should not be in them.
fn shown(text: &OsStr) -> String {
    let text = text.to_string_lossy();
    match (text.split_once("://"), text.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, rest))) => {
            format!("{scheme}://…@{}", rest.split('?').next().unwrap_or_default())
        }
        _ => text.split('?').next().unwrap_or_default().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> Option<String> {
        Some(Location::parse(text.as_ref()).directory()?.to_str().unwrap().into())
    }

    #[test]
    fn forms_of_a_path() {
        for (text, expected) in [
            ("/mnt/kopia", "/mnt/kopia"),
            ("backup", "backup"),
            ("file:///mnt/kopia", "/mnt/kopia"),
            ("FILE:///mnt/a%20b%2", "/mnt/a b%2"),
            ("file://localhost/mnt", "/mnt"),
            ("filesystem:///mnt/kopia", "/mnt/kopia"),
            ("/odd/a://b", "/odd/a://b"),
            ("c:/x", "c:/x"),
            ("./s3://x", "./s3://x"),
        ] {
            assert_eq!(path(text).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_opened_says_why() {
        for (text, hint, code) in [
            #[cfg(feature = "rclone")]
            ("rclone://remote/path", "rclone:REMOTE:PATH", "location-invalid"),
            #[cfg(feature = "s3")]
            ("b2://bucket/prefix", "B2_KEY_ID", "location-invalid"),
            #[cfg(feature = "gcs")]
            ("gs://bucket?at=2026-11-21", "buckets of S3", "location-invalid"),
            ("gdrive://folder", "Google Drive", "location-unsupported"),
            ("restic:s3:host/bucket", "directories", "location-unsupported"),
            ("restic:", "path", "location-unsupported"),
            ("restic:/srv/restic", "restic restore", "location-unsupported"),
            ("file://host/path", "absolute path", "location-unsupported"),
            ("filesystem://", "absolute path", "location-unsupported"),
            ("gopher://x", "not known", "location-unsupported"),
            #[cfg(feature = "s3")]
            ("s3://", "bucket", "location-invalid"),
            #[cfg(feature = "s3")]
            ("s3://b/p?colour=red", "colour", "location-invalid"),
        ] {
            let Err(error) = Location::parse(text.as_ref()).open(&Traffic::default()) else {
                panic!("{text} opens")
            };
            assert_eq!(error.code(), code);
            assert!(error.to_string().contains(hint), "{error}");
        }
    }

    #[cfg(feature = "s3")]
    #[test]
    fn secrets_in_a_location_are_refused_and_not_shown() {
        for text in [
            "s3://key:hunter2@bucket/prefix",
            "s3://bucket/prefix?secret-access-key=hunter2",
            "s3://bucket/prefix?endpoint=https://key:hunter2@host",
            "s3://bucket?access_key=hunter2&region=x",
            "sftp://user:hunter2@host/path",
        ] {
            let Err(error) = Location::parse(text.as_ref()).open(&Traffic::default()) else {
                panic!("{text} opens")
            };
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
    }
}

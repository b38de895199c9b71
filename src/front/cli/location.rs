//! Where a repository is: the forms of `--repo`.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::failure::Failure;
use crate::blob::{self, BlobStore, FileSystem, Retry, RetryPolicy};

/// A place that this build can open, or knows that it cannot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Location {
    /// A directory.
    Directory(PathBuf),
    /// A kind of storage that is not in this build.
    Unsupported { location: String, reason: &'static str },
}

impl Location {
    /// Reads a location. Only `scheme://` makes it anything else than a path.
    pub(super) fn parse(text: &OsStr) -> Self {
        let Some((scheme, rest)) = split_scheme(text) else { return Self::Directory(text.into()) };
        let reason = match scheme.as_str() {
            "file" | "filesystem" => match directory(rest) {
                Some(path) => return Self::Directory(path),
                None => "after the scheme an absolute path is needed, as in file:///mnt/kopia",
            },
            "s3" => "this build has no S3 storage: mount the bucket, or copy it to a directory",
            "sftp" | "webdav" | "webdavs" | "http" | "https" | "rclone" | "b2" | "gs" | "gcs" | "azblob"
            | "azure" => "this storage is not supported: mount it, or copy it to a directory",
            _ => "it begins with a scheme that is not known: give a path, file:///path or filesystem:///path",
        };
        Self::Unsupported { location: text.to_string_lossy().into_owned(), reason }
    }

    /// Opens the storage. What a network file system fails to do is tried again.
    pub(super) fn open(&self) -> Result<Arc<dyn BlobStore>, Failure> {
        self.connect().map_err(|e| crate::Error::from(e).into())
    }

    /// [`Location::open`] with the error of the storage itself.
    pub(super) fn connect(&self) -> Result<Arc<dyn BlobStore>, blob::Error> {
        match self {
            Self::Directory(path) => {
                let store: Arc<dyn BlobStore> = Arc::new(FileSystem::open(path)?);
                #[cfg(feature = "testkit")]
                let store = crate::testkit::gate_from_env(store);
                Ok(Arc::new(Retry::new(store, RetryPolicy::default())))
            }
            Self::Unsupported { location, reason } => {
                Err(blob::Error::UnsupportedLocation { location: location.clone(), reason })
            }
        }
    }

    /// The directory, where it is one.
    pub(super) fn directory(&self) -> Option<&Path> {
        match self {
            Self::Directory(path) => Some(path),
            Self::Unsupported { .. } => None,
        }
    }
}

fn split_scheme(text: &OsStr) -> Option<(String, &[u8])> {
    let bytes = text.as_bytes();
    let at = bytes.windows(3).position(|window| window == b"://")?;
    let (scheme, rest) = bytes.split_at_checked(at)?;
    let valid = scheme.first().is_some_and(u8::is_ascii_alphabetic)
        && scheme.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'));
    let scheme = std::str::from_utf8(scheme).ok().filter(|_| valid)?;
    Some((scheme.to_ascii_lowercase(), rest.get(3..)?))
}

/// The path of a file URL: no host or this one, percent signs decoded.
fn directory(rest: &[u8]) -> Option<PathBuf> {
    let path = rest.strip_prefix(b"localhost").filter(|path| path.starts_with(b"/")).unwrap_or(rest);
    path.starts_with(b"/").then(|| PathBuf::from(OsString::from_vec(percent_decoded(path))))
}

fn percent_decoded(bytes: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((&first, tail)) = rest.split_first() {
        let escaped = tail.split_at_checked(2).filter(|_| first == b'%').and_then(|(digits, after)| {
            let byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
            digits.iter().all(u8::is_ascii_hexdigit).then_some((byte, after))
        });
        let (byte, after) = escaped.unwrap_or((first, tail));
        decoded.push(byte);
        rest = after;
    }
    decoded
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> Option<String> {
        match Location::parse(text.as_ref()) {
            Location::Directory(path) => Some(path.to_str().unwrap().into()),
            Location::Unsupported { .. } => None,
        }
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
        for (text, hint) in [
            ("s3://bucket/prefix", "S3"),
            ("sftp://host/path", "not supported"),
            ("file://host/path", "absolute path"),
            ("filesystem://", "absolute path"),
            ("gopher://x", "not known"),
        ] {
            let Err(failure) = Location::parse(text.as_ref()).open() else { panic!("{text} opens") };
            assert_eq!(failure.code, "location-unsupported");
            assert!(failure.message.contains(hint), "{}", failure.message);
        }
    }
}

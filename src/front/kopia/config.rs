//! The file that remembers a connection. A real Kopia goes on with what is written here, and this with what it wrote:
//! members that are not known stay as they are.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::failure::Failure;
use super::json::{self, Object};
use super::paths;
use crate::blob::{Guard, WritablePath};
use crate::front::location::{self, Location};
use crate::gojson::write;

/// The members of the file in the order in which Kopia writes them.
pub(super) const ORDER: &[&str] = &[
    "apiServer",
    "storage",
    "caching",
    "hostname",
    "username",
    "readonly",
    "permissiveCacheLoading",
    "description",
    "enableActions",
    "formatBlobCacheDuration",
    "throttlingLimits",
];

/// Those that `repository status --json` shows: all that tell of the client.
pub(super) const CLIENT_OPTIONS: &[&str] = ORDER.split_at(3).1;

/// The members of `caching` in Kopia's order.
pub(super) const CACHING_ORDER: &[&str] = &[
    "cacheDirectory",
    "maxCacheSize",
    "contentCacheSizeLimitBytes",
    "maxMetadataCacheSize",
    "metadataCacheSizeLimitBytes",
    "maxListCacheDuration",
    "minMetadataSweepAge",
    "minContentSweepAge",
    "minIndexSweepAge",
];

/// Members of configurations of storages that are shown to nobody.
const SECRETS: [&str; 11] = [
    "secretAccessKey",
    "sessionToken",
    "webIdentityToken",
    "storageKey",
    "sasToken",
    "ClientSecret",
    "clientCertificate",
    "credentials",
    "key",
    "password",
    "keyData",
];

/// A connection: the file and what is in it.
#[derive(Debug, Clone)]
pub(super) struct Config {
    pub(super) path: PathBuf,
    pub(super) object: Object,
}

/// Where the repository is.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Storage {
    #[serde(rename = "type", default)]
    pub(super) kind: String,
    pub(super) config: Object,
}

impl Storage {
    /// Where it is; what we do not read needs a real Kopia.
    pub(super) fn location(&self) -> Result<Location, Failure> {
        if self.kind == "filesystem" {
            return self.directory().map(Location::Directory);
        }
        let invalid = |e: serde_json::Error| Failure::new(format!("error decoding config json: {e}"));
        let (kind, config) = (quoted(&self.kind)?, Zeroizing::new(self.config.to_json().map_err(invalid)?));
        let json = Zeroizing::new(format!("{{\"type\":{kind},\"config\":{}}}", *config));
        location::storage(&json).map_err(|reason| {
            Failure::Foreign(format!("a repository in storage of type {:?} ({reason})", self.kind))
        })
    }

    /// What Kopia calls it.
    pub(super) fn description(&self) -> String {
        let text = |key: &str| self.config.get::<String>(key).ok().flatten().unwrap_or_default();
        match self.kind.as_str() {
            "filesystem" => format!("Filesystem: {}", text("path")),
            "s3" => format!("S3: {} {}", text("endpoint"), text("bucket")),
            "b2" => format!("B2: {}", text("bucket")),
            "gcs" => format!("GCS: {}", text("bucket")),
            "azureBlob" => format!("Azure: {}", text("container")),
            "sftp" => format!("SFTP {}@{}", text("username"), text("host")),
            "webdav" => format!("WebDAV: {}", text("url")),
            "rclone" => format!("RClone {}", text("remotePath")),
            kind => kind.to_owned(),
        }
    }

    /// Its configuration as it is shown: secrets are stars, as many as they have characters.
    pub(super) fn shown(&self) -> Result<Object, Failure> {
        let mut shown = self.config.clone();
        for key in SECRETS {
            match self.config.raw(key) {
                Some(json) if json.starts_with('"') => {
                    let length = self.config.get::<String>(key).ok().flatten().map_or(0, |text| text.len());
                    shown.set(&[], key, quoted(&"*".repeat(length))?);
                }
                Some(json) => {
                    let stars = quoted(&"*".repeat(json.len()))?;
                    shown.set(&[], key, stars);
                }
                None => {}
            }
        }
        Ok(shown)
    }

    /// The directory of a repository in a file system.
    fn directory(&self) -> Result<PathBuf, Failure> {
        if self.kind != "filesystem" {
            return Err(Failure::Foreign(format!("a repository in storage of type {:?}", self.kind)));
        }
        let path = self.config.get::<String>("path").ok().flatten();
        path.map(PathBuf::from)
            .ok_or_else(|| Failure::new("cannot open storage: the configuration names no path"))
    }
}

impl Config {
    /// Reads the file; `None` when there is none.
    pub(super) fn load(path: &Path) -> Result<Option<Self>, Failure> {
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => {
                let text = os_text(&e);
                return Err(Failure::new(format!(
                    "error loading config file: open {}: {text}",
                    path.display()
                )));
            }
        };
        // Bytes behind the object are ignored, as in Kopia.
        let mut json = serde_json::Deserializer::from_str(&text);
        let object = Object::deserialize(&mut json)
            .map_err(|e| Failure::new(format!("error decoding config json: {}: {e}", path.display())))?;
        Ok(Some(Self { path: path.to_owned(), object }))
    }

    /// Where the repository is.
    pub(super) fn storage(&self) -> Result<Storage, Failure> {
        match self.member("storage")? {
            Some(storage) => Ok(storage),
            None if self.object.raw("apiServer").is_some() => {
                Err(Failure::Foreign("a connection to a Kopia server".to_owned()))
            }
            None => Err(Failure::new("error decoding config json: storage is missing")),
        }
    }

    /// A member of a given type.
    pub(super) fn member<T: for<'de> Deserialize<'de>>(&self, key: &str) -> Result<Option<T>, Failure> {
        self.object.get(key).map_err(|e| {
            Failure::new(format!("error decoding config json: {key} in {}: {e}", self.path.display()))
        })
    }

    /// Text that may be missing.
    pub(super) fn text(&self, key: &str) -> Result<String, Failure> {
        Ok(self.member(key)?.unwrap_or_default())
    }

    /// A switch that may be missing.
    pub(super) fn on(&self, key: &str) -> Result<bool, Failure> {
        Ok(self.member(key)?.unwrap_or_default())
    }

    /// Sets a member.
    pub(super) fn set(&mut self, key: &str, json: impl Into<String>) {
        self.object.set(ORDER, key, json.into());
    }

    /// Sets a member to text.
    pub(super) fn set_text(&mut self, key: &str, text: &str) -> Result<(), Failure> {
        self.set(key, quoted(text)?);
        Ok(())
    }

    /// Writes the file: whole or not at all, and for its owner alone unless it had another mode before.
    pub(super) fn save(&self) -> Result<(), Failure> {
        let text = self.object.to_json().map_err(|e| Failure::new(e.to_string()))?;
        let failed = |e: io::Error| Failure::new(format!("unable to write config file: {}", os_text(&e)));
        let path = self.writable(&self.path)?;
        path.create_private_parent().map_err(failed)?;
        let mode = fs::metadata(&self.path).map_or(0o600, |found| found.permissions().mode() & 0o777);
        path.replace(json::indent(&text, "").as_bytes(), Some(mode)).map_err(failed)
    }

    /// What keeps the repository of this connection from being written to.
    pub(super) fn guard(&self) -> Guard {
        let directory = self.storage().and_then(|storage| storage.directory());
        directory.ok().and_then(|directory| Guard::new(&directory).ok()).unwrap_or_default()
    }

    /// A file that belongs to the connection and is to be written.
    pub(super) fn writable(&self, path: &Path) -> Result<WritablePath, Failure> {
        self.guard().writable(path).map_err(|e| Failure::new(e.to_string()))
    }

    /// A file beside this one.
    pub(super) fn companion(path: &Path, extension: &str) -> PathBuf {
        let mut name = path.as_os_str().to_owned();
        name.push(extension);
        PathBuf::from(name)
    }
}

/// Text as JSON.
pub(super) fn quoted(text: &str) -> Result<String, Failure> {
    write::to_string(text).map_err(|e| Failure::new(e.to_string()))
}

/// The cache directory that Kopia would use for a repository.
pub(super) fn default_cache(unique_id: &[u8], config: &Path) -> Option<PathBuf> {
    let mut hash = Sha256::new();
    hash.update(unique_id);
    hash.update(config.as_os_str().as_encoded_bytes());
    let name: String = hex::encode(hash.finalize()).chars().take(16).collect();
    Some(paths::user_cache()?.join("kopia").join(name))
}

/// What Go says of an error of the system.
pub(super) fn os_text(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(number) => nix::errno::Errno::from_raw(number).desc().to_lowercase(),
        None => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_members_and_the_mode_survive() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("sub/r.config");
        let mut config = Config { path: path.clone(), object: Object::default() };
        config.set("storage", r#"{"type":"filesystem","config":{"path":"/r","new":1}}"#);
        config.set("unheardOf", "[1]");
        config.set_text("hostname", "h&").unwrap();
        config.save().unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let mut config = Config::load(&path).unwrap().unwrap();
        assert_eq!(config.storage().unwrap().directory().unwrap(), Path::new("/r"));
        config.set("throttlingLimits", "{}");
        config.save().unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
        assert_eq!(
            fs::read_to_string(&path).unwrap(),
            "{\n  \"storage\": {\n    \"type\": \"filesystem\",\n    \"config\": {\n      \"path\": \"/r\",\n      \"new\": 1\n    }\n  },\n  \"unheardOf\": [\n    1\n  ],\n  \"hostname\": \"h\\u0026\",\n  \"throttlingLimits\": {}\n}"
        );
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "nothing is left behind");
    }

    #[test]
    fn other_storage_and_nonsense() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("r.config");
        assert!(Config::load(&path).unwrap().is_none());
        for (text, foreign) in [
            (r#"{"storage":{"type":"gdrive","config":{}}}"#, true),
            (r#"{"apiServer":{"url":"x"}}"#, true),
            (r#"{"storage":{"type":"filesystem","config":{}}}"#, false),
            ("{}", false),
        ] {
            fs::write(&path, text).unwrap();
            let found =
                Config::load(&path).unwrap().unwrap().storage().and_then(|storage| storage.location());
            assert_eq!(matches!(found, Err(Failure::Foreign(_))), foreign, "{text}");
            assert!(found.is_err());
        }
        fs::write(&path, "not json").unwrap();
        assert!(Config::load(&path).unwrap_err().to_string().starts_with("error decoding config json"));
    }
}

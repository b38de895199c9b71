//! `kopia repository connect`: remembers where a repository is.

use std::fs;
use std::io::{Read, stdin};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use zeroize::Zeroizing;

use super::connect_cloud as cloud;
use super::connect_folders as folders;
use crate::format;
use crate::front::kopia::config::{CACHING_ORDER, Config, Storage, default_cache, os_text, quoted};
use crate::front::kopia::connection::{open_repository, open_store, options};
use crate::front::kopia::failure::Failure;
use crate::front::kopia::grammar::{Command, Flag, Kind, Then, Typed};
use crate::front::kopia::json::Object;
use crate::front::kopia::{password, paths, say};

const OPTIONS: &[Flag] = &[
    Flag::new("cache-directory", Kind::Text).variable("KOPIA_CACHE_DIRECTORY"),
    Flag::new("override-hostname", Kind::Text),
    Flag::new("override-username", Kind::Text),
    Flag::new("check-for-updates", Kind::Switch(true)),
    Flag::switch("readonly"),
    Flag::switch("permissive-cache-loading"),
    Flag::new("description", Kind::Text),
    Flag::switch("enable-actions"),
    Flag::new("repository-format-cache-duration", Kind::Duration),
    Flag::switch("disable-repository-format-cache"),
];

/// How much a cache may hold; `cache set` takes the same.
pub(super) const CACHE_LIMITS: &[Flag] = &[
    Flag::new("content-cache-size-mb", Kind::Int),
    Flag::new("content-cache-size-limit-mb", Kind::Int),
    Flag::new("content-min-sweep-age", Kind::Duration),
    Flag::new("metadata-cache-size-mb", Kind::Int),
    Flag::new("metadata-cache-size-limit-mb", Kind::Int),
    Flag::new("metadata-min-sweep-age", Kind::Duration),
    Flag::new("index-min-sweep-age", Kind::Duration),
    Flag::new("max-list-cache-duration", Kind::Duration),
];

const FILESYSTEM: &[Flag] = &[
    Flag::new("path", Kind::Text).required(),
    Flag::new("owner-uid", Kind::Text),
    Flag::new("owner-gid", Kind::Text),
    Flag::new("file-mode", Kind::Text),
    Flag::new("dir-mode", Kind::Text),
    Flag::switch("flat"),
    Flag::new("list-parallelism", Kind::Int),
    Flag::new("max-download-speed", Kind::Float),
    Flag::new("max-upload-speed", Kind::Float),
];

const FROM_CONFIG: &[Flag] = &[
    Flag::new("file", Kind::Text),
    Flag::new("token", Kind::Text),
    Flag::new("token-file", Kind::Text),
    Flag::switch("token-stdin"),
];

pub(super) const COMMAND: Command = Command {
    names: &["connect"],
    flags: &[OPTIONS, CACHE_LIMITS],
    arguments: &[],
    then: Then::Choose(&[
        Command::new(&["filesystem"], &[FILESYSTEM], &[], filesystem),
        Command::new(&["from-config"], &[FROM_CONFIG], &[], from_config),
        Command::new(&["azure"], &[cloud::AZURE], &[], cloud::azure),
        Command::new(&["b2"], &[cloud::B2], &[], cloud::b2),
        Command::new(&["gcs"], &[cloud::GCS], &[], cloud::gcs),
        Command::foreign(&["gdrive"]),
        Command::new(&["rclone"], &[folders::RCLONE], &[], folders::rclone),
        Command::new(&["s3"], &[cloud::S3], &[], cloud::s3),
        Command::foreign(&["server"]),
        Command::new(&["sftp"], &[folders::SFTP], &[], folders::sftp),
        Command::new(&["webdav"], &[folders::WEBDAV], &[], folders::webdav),
    ]),
};

/// Kopia keeps what it read of the format for this long.
const FORMAT_CACHE: i64 = 900_000_000_000;
const DEFAULT_CACHE_MB: i64 = 5000;
const DEFAULT_LIST_CACHE: i64 = 30_000_000_000;

pub(super) fn no_storage(failure: Failure) -> Failure {
    failure.during("can't connect to storage")
}

fn filesystem(typed: &Typed) -> Result<(), Failure> {
    let path = expand(typed.text("path").unwrap_or_default());
    if !path.is_absolute() {
        return Err(no_storage(Failure::new("filesystem repository path must be absolute")));
    }
    let octal = |name: &str, default: u32| {
        typed.text(name).and_then(|text| u32::from_str_radix(text, 8).ok()).unwrap_or(default)
    };
    let mut members = vec![
        format!("\"path\":{}", quoted(&path.to_string_lossy())?),
        format!("\"fileMode\":{}", octal("file-mode", 0o600)),
        format!("\"dirMode\":{}", octal("dir-mode", 0o700)),
    ];
    for (flag, key) in [("owner-uid", "uid"), ("owner-gid", "gid")] {
        if let Some(id) = typed.text(flag).and_then(|text| text.parse::<i32>().ok()) {
            members.push(format!("\"{key}\":{id}"));
        }
    }
    members.push(format!("\"dirShards\":{}", if typed.on("flat") { "[]" } else { "null" }));
    if let Some(number) = typed.int("list-parallelism").filter(|number| *number != 0) {
        members.push(format!("\"listParallelism\":{number}"));
    }
    for (flag, key) in [
        ("max-upload-speed", "maxUploadSpeedBytesPerSecond"),
        ("max-download-speed", "maxDownloadSpeedBytesPerSecond"),
    ] {
        if let Some(speed) = typed.float(flag).filter(|speed| *speed != 0.0) {
            members.push(format!("\"{key}\":{speed}"));
        }
    }
    let storage = format!("{{\"type\":\"filesystem\",\"config\":{{{}}}}}", members.join(","));
    connect(typed, &storage, &format!("Filesystem: {}", path.display()), None)
}

/// `~` is the user's home.
fn expand(path: &str) -> PathBuf {
    let home = || std::env::var_os("HOME").map(PathBuf::from);
    match path.strip_prefix('~').map(|rest| (rest, home())) {
        Some(("", Some(home))) => home,
        Some((rest, Some(home))) if rest.starts_with('/') => home.join(rest.trim_start_matches('/')),
        _ => paths::clean(Path::new(path)),
    }
}

/// What a token holds.
#[derive(Deserialize)]
struct Token {
    #[serde(default)]
    version: String,
    storage: Object,
    #[serde(default)]
    password: String,
}

fn from_config(typed: &Typed) -> Result<(), Failure> {
    if let Some(file) = typed.text("file").filter(|file| !file.is_empty()) {
        let config = Config::load(Path::new(file))
            .and_then(|config| {
                config.ok_or_else(|| {
                    Failure::new(format!("error loading config file: open {file}: no such file or directory"))
                })
            })
            .map_err(|failure| no_storage(failure.during("unable to open config")))?;
        let storage = config.object.raw("storage").ok_or_else(|| {
            no_storage(Failure::new(format!(
                "{file} names no storage, and Kopia servers are not supported here"
            )))
        })?;
        return connect(typed, storage, "", None);
    }
    let read = |what: &str, result: std::io::Result<String>| {
        result.map_err(|e| no_storage(Failure::new(format!("unable to {what}: {}", os_text(&e)))))
    };
    let token = if let Some(token) = typed.text("token").filter(|token| !token.is_empty()) {
        Zeroizing::new(token.to_owned())
    } else if let Some(file) = typed.text("token-file").filter(|file| !file.is_empty()) {
        Zeroizing::new(read("open token file", fs::read_to_string(file))?)
    } else if typed.on("token-stdin") {
        let mut token = Zeroizing::new(String::new());
        read("read token from stdin", stdin().read_to_string(&mut token).map(|_| String::new()))?;
        token
    } else {
        let wanted = "one of --file, --token-file, --token-stdin or --token must be provided";
        return Err(no_storage(Failure::new(wanted)));
    };
    let invalid = |reason: &str| no_storage(Failure::new(format!("invalid token: {reason}")));
    let json = URL_SAFE_NO_PAD.decode(token.trim_end()).map_err(|_| invalid("unable to decode token"))?;
    let json = Zeroizing::new(json);
    let token: Token = serde_json::from_slice(&json).map_err(|_| invalid("unable to decode token"))?;
    if token.version != "1" {
        return Err(invalid("unsupported token version"));
    }
    let storage = token.storage.to_json().map_err(|e| invalid(&e.to_string()))?;
    let password = Some(Zeroizing::new(token.password)).filter(|password| !password.is_empty());
    connect(typed, &storage, "", password)
}

/// Makes a connection: the storage first, then the password, then the file. Once the storage is known to be there, what
/// fails takes an older connection with it, as in Kopia: going on would read another repository.
///
/// `described` is what the storage is called unless it was given a description.
pub(super) fn connect(
    typed: &Typed,
    storage: &str,
    described: &str,
    from_token: Option<password::Text>,
) -> Result<(), Failure> {
    let parsed: Storage = serde_json::from_str(storage)
        .map_err(|e| no_storage(Failure::new(format!("error decoding config json: {e}"))))?;
    let location = parsed.location().map_err(no_storage)?;
    let description = match described {
        "" => parsed.description(),
        described => described.to_owned(),
    };
    let path = paths::config_file(typed);
    let store = open_store(&location);
    // A directory with nothing in it has no repository, and that is the first thing Kopia says about it.
    let store = store.map_err(|failure| {
        let lists = |directory: &Path| fs::read_dir(directory).is_ok_and(|mut all| all.next().is_none());
        match location.directory().is_some_and(lists) {
            true => not_connected(Failure::new("repository not initialized in the provided storage")),
            false => no_storage(failure),
        }
    })?;
    let password = match from_token {
        Some(password) => password,
        None => password::get(typed, None)?,
    };
    let unique_id = format::RepositoryFormat::read_blob(&store)
        .and_then(|blob| format::RepositoryFormat::unique_id_in(&blob))
        .map_err(|error| {
            not_connected(match error {
                format::Error::NotARepository { .. } => {
                    Failure::new("repository not initialized in the provided storage")
                }
                error => error.into(),
            })
        })?;
    let config = Config { object: members(typed, storage, &description, &unique_id, &path)?, path };
    let options = options(&config, &store);
    let opened = open_repository(store, &password, options).and_then(|repository| {
        // Kopia reads the indexes, too: what cannot be read later should fail now.
        repository.catalog().map_err(Failure::from)
    });
    if let Err(failure) = opened {
        super::disconnect::forget(&config.path);
        return Err(not_connected(failure));
    }
    config.save().map_err(not_connected)?;
    password::remember(typed, &config, &password).map_err(not_connected)?;
    say("Connected to repository.");
    Ok(())
}

fn not_connected(failure: Failure) -> Failure {
    failure.during("error connecting to repository")
}

/// The members of the connection file.
fn members(
    typed: &Typed,
    storage: &str,
    description: &str,
    unique_id: &[u8],
    path: &Path,
) -> Result<Object, Failure> {
    let mut config = Config { path: path.to_owned(), object: Object::default() };
    config.set("storage", storage);
    let caching = caching(typed, unique_id, path)?;
    config.set("caching", caching.to_json().map_err(|e| Failure::new(e.to_string()))?);
    let given = |flag: &str| typed.text(flag).filter(|text| !text.is_empty()).map(str::to_owned);
    config.set_text("hostname", &given("override-hostname").unwrap_or_else(paths::host_name))?;
    config.set_text("username", &given("override-username").unwrap_or_else(paths::user_name))?;
    for (flag, key) in [("readonly", "readonly"), ("permissive-cache-loading", "permissiveCacheLoading")] {
        if typed.on(flag) {
            config.set(key, "true");
        }
    }
    let default = || format!("Repository in {description}");
    config.set_text("description", &given("description").unwrap_or_else(default))?;
    config.set("enableActions", typed.on("enable-actions").to_string());
    let duration = match typed.nanos("repository-format-cache-duration") {
        _ if typed.on("disable-repository-format-cache") => -1,
        Some(nanos) if nanos != 0 => nanos,
        _ => FORMAT_CACHE,
    };
    config.set("formatBlobCacheDuration", duration.to_string());
    Ok(config.object)
}

fn caching(typed: &Typed, unique_id: &[u8], config: &Path) -> Result<Object, Failure> {
    let mut caching = Object::default();
    if typed.int("content-cache-size-mb") == Some(0) {
        return Ok(caching);
    }
    let directory = match typed.text("cache-directory").filter(|text| !text.is_empty()) {
        Some(text) => std::path::absolute(text).ok(),
        None => default_cache(unique_id, config),
    };
    if let Some(directory) = directory {
        set_cache_directory(&mut caching, &directory, config)?;
    }
    set_cache_limits(&mut caching, typed, true);
    Ok(caching)
}

/// Sets the cache directory, relative to the connection file where that can be.
pub(super) fn set_cache_directory(
    caching: &mut Object,
    directory: &Path,
    config: &Path,
) -> Result<(), Failure> {
    let base = config.parent().unwrap_or(Path::new("/"));
    let shown = paths::relative(base, directory).unwrap_or_else(|| directory.to_owned());
    caching.set(CACHING_ORDER, "cacheDirectory", quoted(&shown.to_string_lossy())?);
    Ok(())
}

/// Applies the given options, and when connecting also the defaults; returns what it set.
pub(super) fn set_cache_limits(caching: &mut Object, typed: &Typed, defaults: bool) -> Vec<&'static str> {
    let mut changed = Vec::new();
    let mut set = |flag: &'static str, key: &'static str, value: Option<String>, default: Option<String>| {
        if let Some(value) = value {
            caching.set(CACHING_ORDER, key, value);
            changed.push(flag);
        } else if let Some(default) = default.filter(|_| defaults) {
            caching.set(CACHING_ORDER, key, default);
        }
    };
    // Kopia counts in other megabytes when it changes a limit later.
    let megabyte = if defaults { 1 << 20 } else { 1_000_000 };
    let megabytes = |number: i64| number.saturating_mul(megabyte).to_string();
    for (flag, key, default) in [
        ("content-cache-size-mb", "maxCacheSize", Some(DEFAULT_CACHE_MB)),
        ("content-cache-size-limit-mb", "contentCacheSizeLimitBytes", None),
        ("metadata-cache-size-mb", "maxMetadataCacheSize", Some(DEFAULT_CACHE_MB)),
        ("metadata-cache-size-limit-mb", "metadataCacheSizeLimitBytes", None),
    ] {
        let given = typed.int(flag).filter(|number| !defaults || *number != 0);
        set(flag, key, given.map(megabytes), default.map(megabytes));
    }
    #[expect(clippy::cast_precision_loss, reason = "Go keeps seconds in a float, too")]
    let seconds = |nanos: i64| (nanos as f64 / 1e9).to_string();
    for (flag, key, default) in [
        ("max-list-cache-duration", "maxListCacheDuration", Some(DEFAULT_LIST_CACHE)),
        ("metadata-min-sweep-age", "minMetadataSweepAge", None),
        ("content-min-sweep-age", "minContentSweepAge", None),
        ("index-min-sweep-age", "minIndexSweepAge", None),
    ] {
        set(flag, key, typed.nanos(flag).map(seconds), default.map(seconds));
    }
    changed
}

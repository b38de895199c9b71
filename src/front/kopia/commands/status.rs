//! `kopia repository status`: the connection and the parameters of the repository.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use nix::sys::statvfs::statvfs;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::Error;
use crate::blob::BlobId;
use crate::format::RepositoryFormat;
use crate::front::kopia::config::{CLIENT_OPTIONS, quoted};
use crate::front::kopia::connection::Connection;
use crate::front::kopia::failure::Failure;
use crate::front::kopia::grammar::{Command, Flag, Typed};
use crate::front::kopia::json::{self, Object};
use crate::front::kopia::output::{JSON, Output};
use crate::front::kopia::password;
use crate::front::kopia::text::{bytes, duration};
use crate::gojson::write;

const FLAGS: &[Flag] =
    &[Flag::switch("reconnect-token").letter('t'), Flag::switch("reconnect-token-with-password").letter('s')];

pub(super) const COMMAND: Command = Command::new(&["status"], &[FLAGS, JSON], &[], run);

/// Where the values of the text begin.
const COLUMN: usize = 21;

/// Holds the retention of blobs where the storage can keep them from being deleted.
const BLOB_CONFIG: &str = "kopia.blobcfg";
const MAX_BLOB_CONFIG: u64 = 1 << 20;

/// Markers of epochs are named so, followed by the epoch (`format-spec/09-index-sets.md`).
const EPOCH_MARKER: &str = "xe";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Status<'a> {
    config_file: String,
    #[serde(rename = "uniqueIDHex")]
    unique_id: String,
    client_options: &'a RawValue,
    storage: &'a RawValue,
    #[serde(skip_serializing_if = "Option::is_none")]
    volume: Option<Volume>,
    content_format: ContentFormat<'a>,
    object_format: ObjectFormat<'a>,
    blob_retention: BlobRetention,
}

#[derive(Serialize, Clone, Copy)]
struct Volume {
    #[serde(skip_serializing_if = "is_zero")]
    capacity: u64,
    available: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ContentFormat<'a> {
    hash: &'a str,
    encryption: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    ecc: &'a str,
    #[serde(skip_serializing_if = "is_zero")]
    ecc_overhead_percent: u8,
    #[serde(skip_serializing_if = "is_zero")]
    version: u8,
    #[serde(skip_serializing_if = "is_zero")]
    max_pack_size: u64,
    #[serde(skip_serializing_if = "is_zero")]
    index_version: u8,
    epoch_parameters: Epochs,
    enable_password_change: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Epochs {
    enabled: bool,
    epoch_refresh_frequency: i64,
    full_checkpoint_frequency: i64,
    cleanup_safety_margin: i64,
    min_epoch_duration: i64,
    epoch_advance_on_count_threshold: i64,
    epoch_advance_on_total_size_bytes_threshold: i64,
    delete_parallelism: i64,
}

#[derive(Serialize)]
struct ObjectFormat<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    splitter: &'a str,
}

#[derive(Serialize, Default)]
#[serde(rename_all = "camelCase")]
struct BlobRetention {
    #[serde(skip_serializing_if = "String::is_empty")]
    retention_mode: String,
    #[serde(skip_serializing_if = "is_zero")]
    retention_period: i64,
}
crate::gojson::go_object!(BlobRetention {
    "retentionMode" => retention_mode,
    "retentionPeriod" => retention_period,
});

fn is_zero<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

fn run(typed: &Typed) -> Result<(), Failure> {
    let connection = Connection::open(typed)?;
    let mut out = Output::new();
    if typed.on("json") {
        out.json(typed, &as_json(&connection)?)?;
    } else {
        print(typed, &connection, &mut out)?;
    }
    out.finish()
}

fn not_json(error: &serde_json::Error) -> Failure {
    Failure::new(error.to_string())
}

fn as_json(connection: &Connection) -> Result<String, Failure> {
    let mut options = Object::default();
    for key in CLIENT_OPTIONS {
        if let Some(value) = connection.config.object.raw(key) {
            options.set(CLIENT_OPTIONS, key, value.to_owned());
        }
    }
    let raw = |json: String| RawValue::from_string(json).map_err(|e| not_json(&e));
    let options = raw(options.to_json().map_err(|e| not_json(&e))?)?;
    let storage = connection.config.storage()?;
    let shown = storage.shown()?.to_json().map_err(|e| not_json(&e))?;
    let storage = raw(format!("{{\"type\":{},\"config\":{shown}}}", quoted(&storage.kind)?))?;
    let format = connection.repository.format();
    let status = Status {
        config_file: connection.config.path.to_string_lossy().into_owned(),
        unique_id: hex::encode(format.unique_id()),
        client_options: &options,
        storage: &storage,
        volume: volume(connection)?,
        content_format: content_format(format),
        object_format: ObjectFormat { splitter: format.splitter() },
        blob_retention: blob_retention(connection)?,
    };
    write::to_string(&status).map_err(|e| not_json(&e))
}

fn content_format(format: &RepositoryFormat) -> ContentFormat<'_> {
    let epochs = format.epochs();
    ContentFormat {
        hash: format.hash_algorithm().name(),
        encryption: format.encryption().name(),
        ecc: if format.ecc_overhead_percent() > 0 { "REED-SOLOMON-CRC32" } else { "" },
        ecc_overhead_percent: format.ecc_overhead_percent(),
        version: format.version(),
        max_pack_size: format.max_pack_size(),
        index_version: format.index_version(),
        epoch_parameters: Epochs {
            enabled: epochs.enabled,
            epoch_refresh_frequency: epochs.refresh_frequency,
            full_checkpoint_frequency: epochs.full_checkpoint_frequency,
            cleanup_safety_margin: epochs.cleanup_safety_margin,
            min_epoch_duration: epochs.min_duration,
            epoch_advance_on_count_threshold: epochs.advance_on_count,
            epoch_advance_on_total_size_bytes_threshold: epochs.advance_on_size,
            delete_parallelism: epochs.delete_parallelism,
        },
        enable_password_change: format.enable_password_change(),
    }
}

fn volume(connection: &Connection) -> Result<Option<Volume>, Failure> {
    let location = connection.config.storage()?.location()?;
    let Some(directory) = location.directory() else { return Ok(None) };
    let found = statvfs(directory)
        .map_err(|e| Failure::new(format!("unable to get storage volume capacity: {}", e.desc())))?;
    let size = |units: u64| units.saturating_mul(found.fragment_size());
    Ok(Some(Volume { capacity: size(found.blocks()), available: size(found.blocks_available()) }))
}

fn blob_retention(connection: &Connection) -> Result<BlobRetention, Failure> {
    let Ok(id) = BlobId::new(BLOB_CONFIG) else { return Ok(BlobRetention::default()) };
    let stored = match connection.repository.store().read(&id, MAX_BLOB_CONFIG) {
        Ok(stored) => stored,
        Err(e) if e.is_not_found() => return Ok(BlobRetention::default()),
        Err(e) => return Err(Error::from(e).into()),
    };
    let unreadable = || Failure::new(format!("unable to read {BLOB_CONFIG}: it does not decrypt"));
    let plain = connection.repository.format().open_blob_config(&stored).map_err(|_| unreadable())?;
    serde_json::from_slice(&plain).map_err(|e| Failure::new(format!("unable to read {BLOB_CONFIG}: {e}")))
}

fn print(typed: &Typed, connection: &Connection, out: &mut Output) -> Result<(), Failure> {
    let config = &connection.config;
    row(out, "Config file", &config.path.to_string_lossy())?;
    out.line("")?;
    row(out, "Description", &config.text("description")?)?;
    row(out, "Hostname", &connection.host)?;
    row(out, "Username", &connection.user)?;
    row(out, "Read-only", &config.on("readonly")?.to_string())?;
    let cache: i64 = config.member("formatBlobCacheDuration")?.unwrap_or_default();
    row(out, "Format blob cache", &if cache > 0 { duration(cache) } else { "disabled".to_owned() })?;
    out.line("")?;
    print_storage(connection, out)?;
    out.line("")?;
    print_format(connection, out)?;
    let retention = blob_retention(connection)?;
    if !retention.retention_mode.is_empty() {
        out.line("")?;
        out.line(format!("Blob retention mode:     {}", retention.retention_mode))?;
        out.line(format!("Blob retention period:   {}", duration(retention.retention_period)))?;
    }
    if typed.on("reconnect-token") {
        print_token(typed, connection, out)?;
    }
    Ok(())
}

fn print_storage(connection: &Connection, out: &mut Output) -> Result<(), Failure> {
    let storage = connection.config.storage()?;
    row(out, "Storage type", &storage.kind)?;
    match volume(connection)? {
        Some(Volume { capacity, available }) => {
            let size = |count: u64| bytes(i64::try_from(count).unwrap_or(i64::MAX));
            row(out, "Storage capacity", &size(capacity))?;
            row(out, "Storage available", &size(available))?;
        }
        None => row(out, "Storage capacity", "unbounded")?,
    }
    let shown = storage.shown()?.to_json().map_err(|e| not_json(&e))?;
    row(out, "Storage config", &json::indent(&shown, &" ".repeat(COLUMN)))
}

fn print_format(connection: &Connection, out: &mut Output) -> Result<(), Failure> {
    let format = connection.repository.format();
    row(out, "Unique ID", &hex::encode(format.unique_id()))?;
    row(out, "Hash", format.hash_algorithm().name())?;
    row(out, "Encryption", format.encryption().name())?;
    row(out, "Splitter", format.splitter())?;
    row(out, "Format version", &format.version().to_string())?;
    row(out, "Content compression", &(format.index_version() >= 2).to_string())?;
    row(out, "Password changes", &format.enable_password_change().to_string())?;
    let features = format.required_features();
    if !features.is_empty() {
        row(out, "Required Features", &features.join(" "))?;
    }
    row(out, "Max pack length", &bytes(i64::try_from(format.max_pack_size()).unwrap_or(i64::MAX)))?;
    row(out, "Index Format", &format!("v{}", format.index_version()))?;
    let epochs = format.epochs();
    if !epochs.enabled {
        return row(out, "Epoch Manager", "disabled");
    }
    out.line("")?;
    out.line("Epoch Manager:       enabled")?;
    out.line(format!("Current Epoch: {}", current_epoch(connection)?))?;
    out.line("")?;
    out.line(format!("Epoch refresh frequency: {}", duration(epochs.refresh_frequency)))?;
    out.line(format!(
        "Epoch advance on:        {} blobs or {}, minimum {}",
        epochs.advance_on_count,
        bytes(epochs.advance_on_size),
        duration(epochs.min_duration)
    ))?;
    out.line(format!("Epoch cleanup margin:    {}", duration(epochs.cleanup_safety_margin)))?;
    out.line(format!("Epoch range-compaction every: {} epochs", epochs.full_checkpoint_frequency))
}

fn row(out: &mut Output, name: &str, value: &str) -> Result<(), Failure> {
    out.line(format!("{:<COLUMN$}{value}", format!("{name}:")))
}

/// The epoch that is written to: the one whose marker has the highest number.
fn current_epoch(connection: &Connection) -> Result<u64, Failure> {
    let markers = connection.repository.store().list(EPOCH_MARKER).map_err(Error::from)?;
    let number = |id: &BlobId| id.as_str().strip_prefix(EPOCH_MARKER)?.parse().ok();
    Ok(markers.iter().filter_map(|blob| number(&blob.id)).max().unwrap_or(0))
}

fn print_token(typed: &Typed, connection: &Connection, out: &mut Output) -> Result<(), Failure> {
    let storage = connection.config.object.raw("storage").unwrap_or("null");
    let mut token = format!("{{\"version\":\"1\",\"storage\":{storage}");
    let with_password = typed.on("reconnect-token-with-password");
    if with_password {
        let password = password::get(typed, Some(&connection.config.path))?;
        token.push_str(&format!(",\"password\":{}", quoted(&password)?));
    }
    token.push('}');
    let token = URL_SAFE_NO_PAD.encode(token);
    out.line(format!(
        "\nTo reconnect to the repository use:\n\n$ kopia repository connect from-config --token {token}\n"
    ))?;
    if with_password {
        out.line("NOTICE: the password can be read from this token by anybody.")?;
    }
    Ok(())
}

//! Commands that change the connection file alone: `repository set-client`, `repository throttle`, `cache set`.

use std::path::Path;

use super::connect::{CACHE_LIMITS, set_cache_directory, set_cache_limits};
use crate::front::kopia::config::Config;
use crate::front::kopia::connection::connection;
use crate::front::kopia::failure::Failure;
use crate::front::kopia::grammar::{Command, Flag, Kind, Typed};
use crate::front::kopia::json::Object;
use crate::front::kopia::output::{JSON, Output};
use crate::front::kopia::say;
use crate::front::kopia::text::bytes;

const CLIENT: &[Flag] = &[
    Flag::switch("read-only"),
    Flag::switch("read-write"),
    Flag::switch("permissive-cache-loading"),
    Flag::new("description", Kind::Texts),
    Flag::new("username", Kind::Texts),
    Flag::new("hostname", Kind::Texts),
    Flag::new("repository-format-cache-duration", Kind::Duration),
    Flag::switch("disable-repository-format-cache"),
];

pub(super) const SET_CLIENT: Command = Command::new(&["set-client"], &[CLIENT], &[], set_client);

fn set_client(typed: &Typed) -> Result<(), Failure> {
    let mut config = connection(typed)?;
    let mut changed = false;
    for (flag, wanted, name) in [("read-only", true, "read-only"), ("read-write", false, "read-write")] {
        if !typed.on(flag) {
            continue;
        }
        if config.on("readonly")? == wanted {
            say(&format!("Repository is already in {name} mode."));
            continue;
        }
        if wanted {
            config.set("readonly", "true")
        } else {
            config.object.remove("readonly")
        }
        say(&format!("Setting repository to {name} mode."));
        changed = true;
    }
    for (key, shown) in
        [("description", "description"), ("username", "local username"), ("hostname", "local hostname")]
    {
        if let Some(value) = typed.texts(key).first() {
            config.set_text(key, value)?;
            say(&format!("Setting {shown} to {value}"));
            changed = true;
        }
    }
    let duration = typed.nanos("repository-format-cache-duration").filter(|nanos| *nanos != 0);
    let duration = if typed.on("disable-repository-format-cache") { Some(-1) } else { duration };
    if let Some(nanos) = duration {
        config.set("formatBlobCacheDuration", nanos.to_string());
        changed = true;
    }
    if !changed {
        return Err(Failure::new("no changes"));
    }
    config.save()
}

/// A limit: its flag, its key, its name, and whether it counts bytes.
struct Limit(&'static str, &'static str, &'static str, bool);

const LIMITS: &[Limit] = &[
    Limit("download-bytes-per-second", "maxDownloadSpeedBytesPerSecond", "Max Download Speed", true),
    Limit("upload-bytes-per-second", "maxUploadSpeedBytesPerSecond", "Max Upload Speed", true),
    Limit("read-requests-per-second", "readsPerSecond", "Max Read Requests Per Second", false),
    Limit("write-requests-per-second", "writesPerSecond", "Max Write Requests Per Second", false),
    Limit("list-requests-per-second", "listsPerSecond", "Max List Requests Per Second", false),
    Limit("concurrent-reads", "concurrentReads", "Max Concurrent Reads", false),
    Limit("concurrent-writes", "concurrentWrites", "Max Concurrent Writes", false),
];

const LIMIT_ORDER: &[&str] = &[
    "readsPerSecond",
    "writesPerSecond",
    "listsPerSecond",
    "maxUploadSpeedBytesPerSecond",
    "maxDownloadSpeedBytesPerSecond",
    "concurrentReads",
    "concurrentWrites",
];

const THROTTLE: &[Flag] = &[
    Flag::new("download-bytes-per-second", Kind::Text),
    Flag::new("upload-bytes-per-second", Kind::Text),
    Flag::new("read-requests-per-second", Kind::Text),
    Flag::new("write-requests-per-second", Kind::Text),
    Flag::new("list-requests-per-second", Kind::Text),
    Flag::new("concurrent-reads", Kind::Text),
    Flag::new("concurrent-writes", Kind::Text),
];

pub(super) const THROTTLE_SET: Command = Command::new(&["set"], &[THROTTLE], &[], throttle_set);
pub(super) const THROTTLE_GET: Command = Command::new(&["get"], &[JSON], &[], throttle_get);

/// The limits of the connection. A limit given on connecting is part of the storage, until another is set.
fn limits(config: &Config) -> Result<Object, Failure> {
    if let Some(limits) = config.member::<Object>("throttlingLimits")? {
        return Ok(limits);
    }
    let mut limits = Object::default();
    let storage = config.storage()?;
    for key in LIMIT_ORDER {
        if let Some(value) = storage.config.raw(key) {
            limits.set(LIMIT_ORDER, key, value.to_owned());
        }
    }
    Ok(limits)
}

fn shown(limit: &Limit, value: f64) -> String {
    match value {
        0.0 => "(unlimited)".to_owned(),
        #[expect(clippy::cast_possible_truncation, reason = "saturating is what is wanted")]
        value if limit.3 => format!("{}/s", bytes(value as i64)),
        value => value.to_string(),
    }
}

fn throttle_set(typed: &Typed) -> Result<(), Failure> {
    let mut config = connection(typed)?;
    let mut limits = limits(&config)?;
    let mut changed = false;
    for limit @ Limit(flag, key, name, _) in LIMITS {
        let Some(text) = typed.text(flag).filter(|text| !text.is_empty()) else { continue };
        let value = match text {
            "unlimited" | "-" => 0.0,
            text => {
                text.parse::<f64>().ok().filter(|value| *value >= 0.0 && value.is_finite()).ok_or_else(
                    || Failure::new(format!("can't parse the {} {text:?}", name.to_lowercase())),
                )?
            }
        };
        if value == 0.0 {
            limits.remove(key);
        } else {
            limits.set(LIMIT_ORDER, key, value.to_string());
        }
        say(&format!("Setting {} to {}.", name.to_lowercase(), shown(limit, value)));
        changed = true;
    }
    if !changed {
        say("No changes made.");
        return Ok(());
    }
    config.set("throttlingLimits", limits.to_json().map_err(|e| Failure::new(e.to_string()))?);
    config.save()
}

fn throttle_get(typed: &Typed) -> Result<(), Failure> {
    let limits = limits(&connection(typed)?)?;
    let mut out = Output::new();
    if typed.on("json") {
        out.json(typed, &limits.to_json().map_err(|e| Failure::new(e.to_string()))?)?;
    } else {
        for limit @ Limit(_, key, name, _) in LIMITS {
            let value: f64 = limits.get(key).ok().flatten().unwrap_or_default();
            out.line(format!("{:<30} {}", format!("{name}:"), shown(limit, value)))?;
        }
    }
    out.finish()
}

const CACHE: &[Flag] = &[Flag::new("cache-directory", Kind::Text)];

pub(super) const CACHE_SET: Command = Command::new(&["set"], &[CACHE, CACHE_LIMITS], &[], cache_set);

fn cache_set(typed: &Typed) -> Result<(), Failure> {
    let mut config = connection(typed)?;
    let mut caching: Object = config.member("caching")?.unwrap_or_default();
    let mut changed = set_cache_limits(&mut caching, typed, false);
    if let Some(text) = typed.text("cache-directory").filter(|text| !text.is_empty()) {
        let directory = std::path::absolute(text).map_err(|e| Failure::new(e.to_string()))?;
        set_cache_directory(&mut caching, Path::new(&directory), &config.path)?;
        changed.push("cache-directory");
    }
    if changed.is_empty() {
        return Err(Failure::new("no changes"));
    }
    for flag in changed {
        say(&format!("setting {} to {}", flag.replace('-', " "), typed.text(flag).unwrap_or_default()));
    }
    config.set("caching", caching.to_json().map_err(|e| Failure::new(e.to_string()))?);
    config.save()
}

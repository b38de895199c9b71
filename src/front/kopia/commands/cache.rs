//! `kopia cache info`: what a real Kopia has left in its cache directory. This program keeps no cache.

use std::path::Path;

use walkdir::WalkDir;

use super::disconnect::cache_directory;
use crate::front::kopia::config::os_text;
use crate::front::kopia::connection::Connection;
use crate::front::kopia::failure::Failure;
use crate::front::kopia::grammar::{Command, Flag, Typed};
use crate::front::kopia::json::Object;
use crate::front::kopia::output::Output;
use crate::front::kopia::say;
use crate::front::kopia::text::{bytes, duration};

const FLAGS: &[Flag] = &[Flag::switch("path")];

pub(super) const INFO: Command = Command::new(&["info"], &[FLAGS], &[], info);

const SECOND: i64 = 1_000_000_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;

/// A part of a cache with limits: its directory, and the settings of its size, of its hard limit, and of the least age
/// at which something is deleted, with the default of that.
const LIMITED: [(&str, &str, &str, &str, i64); 3] = [
    ("contents", "maxCacheSize", "contentCacheSizeLimitBytes", "minContentSweepAge", 10 * MINUTE),
    ("metadata", "maxMetadataCacheSize", "metadataCacheSizeLimitBytes", "minMetadataSweepAge", 24 * HOUR),
    ("server-contents", "maxCacheSize", "contentCacheSizeLimitBytes", "minContentSweepAge", 10 * MINUTE),
];

fn info(typed: &Typed) -> Result<(), Failure> {
    let connection = Connection::open(typed)?;
    let settings: Object = connection.config.member("caching")?.unwrap_or_default();
    let directory = cache_directory(&connection.config);
    let mut out = Output::new();
    if typed.on("path") {
        out.line(directory.as_deref().unwrap_or(Path::new("")).to_string_lossy())?;
        return out.finish();
    }
    for (name, path) in directory.as_deref().map(parts).transpose()?.unwrap_or_default() {
        let (mut files, mut size) = (0_u64, 0_i64);
        // What is deleted meanwhile is not counted.
        for file in WalkDir::new(&path).into_iter().flatten().filter(|entry| !entry.file_type().is_dir()) {
            let Ok(found) = file.metadata() else { continue };
            files += 1;
            size = size.saturating_add(i64::try_from(found.len()).unwrap_or(i64::MAX));
        }
        let limits = limits(&name, &settings);
        out.line(format!("{}: {files} files {}{limits}", path.display(), bytes(size)))?;
    }
    out.finish()?;
    say("To adjust cache sizes use 'kopia cache set'.");
    say("To clear caches use 'kopia cache clear'.");
    Ok(())
}

/// The directories in a cache directory, by name. It need not exist: nothing is cached then.
fn parts(directory: &Path) -> Result<Vec<(String, std::path::PathBuf)>, Failure> {
    let failed = |e: std::io::Error| {
        let path = directory.display();
        Failure::new(format!("unable to scan cache directory: open {path}: {}", os_text(&e)))
    };
    let entries = match std::fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(failed(e)),
    };
    let mut parts = Vec::new();
    for entry in entries {
        let entry = entry.map_err(failed)?;
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            parts.push((entry.file_name().to_string_lossy().into_owned(), entry.path()));
        }
    }
    parts.sort();
    Ok(parts)
}

fn limits(name: &str, settings: &Object) -> String {
    let setting = |key: &str| settings.get::<i64>(key).ok().flatten().unwrap_or(0);
    let seconds = |key: &str| setting(key).saturating_mul(SECOND);
    if name == "blob-list" {
        return format!(" (duration: {})", duration(seconds("maxListCacheDuration")));
    }
    let Some((_, soft, hard, age, default)) = LIMITED.iter().find(|(part, ..)| *part == name) else {
        return String::new();
    };
    let hard = match setting(hard) {
        limit @ 1.. => bytes(limit),
        _ => "none".to_owned(),
    };
    let age = match seconds(age) {
        0 => *default,
        age => age,
    };
    format!(" (soft limit: {}, hard limit: {hard}, min sweep age: {})", bytes(setting(soft)), duration(age))
}

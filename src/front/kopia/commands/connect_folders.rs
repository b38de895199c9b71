//! `kopia repository connect webdav|sftp|rclone`: folders of a server, from flags and variables.

use std::path::Path;

use super::connect::no_storage;
use super::connect_cloud::{Members, read};
use crate::front::kopia::config::quoted;
use crate::front::kopia::failure::Failure;
use crate::front::kopia::grammar::{Flag, Kind, Typed};

pub(super) const WEBDAV: &[Flag] = &[
    Flag::new("url", Kind::Text).required(),
    Flag::switch("flat"),
    Flag::new("webdav-username", Kind::Text).variable("KOPIA_WEBDAV_USERNAME"),
    Flag::new("webdav-password", Kind::Text).variable("KOPIA_WEBDAV_PASSWORD"),
    Flag::new("list-parallelism", Kind::Int),
    Flag::switch("atomic-writes"),
    Flag::new("max-download-speed", Kind::Float),
    Flag::new("max-upload-speed", Kind::Float),
];

pub(super) const SFTP: &[Flag] = &[
    Flag::new("path", Kind::Text).required(),
    Flag::new("host", Kind::Text).required(),
    Flag::new("port", Kind::Int),
    Flag::new("username", Kind::Text).required(),
    Flag::new("sftp-password", Kind::Text),
    Flag::new("keyfile", Kind::Text),
    Flag::new("key-data", Kind::Text),
    Flag::new("known-hosts", Kind::Text),
    Flag::new("known-hosts-data", Kind::Text),
    Flag::switch("embed-credentials"),
    Flag::switch("external"),
    Flag::new("ssh-command", Kind::Text),
    Flag::new("ssh-args", Kind::Text),
    Flag::switch("flat"),
    Flag::new("list-parallelism", Kind::Int),
    Flag::new("max-download-speed", Kind::Float),
    Flag::new("max-upload-speed", Kind::Float),
];

pub(super) const RCLONE: &[Flag] = &[
    Flag::new("remote-path", Kind::Text).required(),
    Flag::switch("flat"),
    Flag::new("rclone-exe", Kind::Text),
    Flag::new("rclone-args", Kind::Text),
    Flag::new("rclone-env", Kind::Text),
    Flag::new("embed-rclone-config", Kind::Text),
    Flag::switch("rclone-debug"),
    Flag::switch("rclone-nowait-for-transfers"),
    Flag::new("rclone-startup-timeout", Kind::Duration),
    Flag::new("list-parallelism", Kind::Int),
    Flag::new("atomic-writes", Kind::Switch(true)),
    Flag::new("max-download-speed", Kind::Float),
    Flag::new("max-upload-speed", Kind::Float),
];

/// What all storage has that spreads blobs over folders.
fn shards(members: &mut Members<'_>, typed: &Typed) {
    members.raw("dirShards", if typed.on("flat") { "[]" } else { "null" });
    if let Some(number) = typed.int("list-parallelism").filter(|number| *number != 0) {
        members.raw("listParallelism", &number.to_string());
    }
    members.limits();
}

pub(super) fn webdav(typed: &Typed) -> Result<(), Failure> {
    let url = typed.text("url").unwrap_or_default();
    let mut members = Members::new(typed);
    members.text("url", url)?;
    members.given("webdav-username", "username")?;
    members.given("webdav-password", "password")?;
    members.raw("atomicWrites", if typed.on("atomic-writes") { "true" } else { "false" });
    shards(&mut members, typed);
    members.connect("webdav", &format!("WebDAV: {url}"))
}

pub(super) fn sftp(typed: &Typed) -> Result<(), Failure> {
    let (user, host) = (typed.text("username").unwrap_or_default(), typed.text("host").unwrap_or_default());
    let mut members = Members::new(typed);
    members.flag("path", "path")?;
    members.text("host", host)?;
    members.raw("port", &typed.int("port").unwrap_or(22).to_string());
    members.text("username", user)?;
    if typed.on("external") {
        return Err(no_storage(Failure::new(
            "an external ssh is not supported here: give --keyfile and --known-hosts",
        )));
    }
    members.flag("sftp-password", "password")?;
    for (file, file_key, data, data_key) in [
        ("keyfile", "keyfile", "key-data", "keyData"),
        ("known-hosts", "knownHostsFile", "known-hosts-data", "knownHostsData"),
    ] {
        match typed.text(file).filter(|path| !path.is_empty()) {
            Some(path) if typed.on("embed-credentials") => {
                members.text(data_key, &String::from_utf8_lossy(&read(path)?))?;
            }
            Some(path) => {
                let absolute = std::path::absolute(Path::new(path)).unwrap_or_else(|_| path.into());
                members.text(file_key, &absolute.to_string_lossy())?;
            }
            None => members.given(data, data_key)?,
        }
    }
    members.raw("externalSSH", "false");
    shards(&mut members, typed);
    members.connect("sftp", &format!("SFTP {user}@{host}"))
}

/// Kopia waits so long for rclone unless told otherwise.
const RCLONE_STARTUP: &str = "15s";

pub(super) fn rclone(typed: &Typed) -> Result<(), Failure> {
    let remote = typed.text("remote-path").unwrap_or_default();
    let mut members = Members::new(typed);
    members.text("remotePath", remote)?;
    members.given("rclone-exe", "rcloneExe")?;
    for (flag, key) in [("rclone-args", "rcloneArgs"), ("rclone-env", "rcloneEnv")] {
        let texts: Vec<String> =
            typed.texts(flag).iter().map(|text| quoted(text)).collect::<Result<_, _>>()?;
        if !texts.is_empty() {
            members.raw(key, &format!("[{}]", texts.join(",")));
        }
    }
    members.text("startupTimeout", typed.text("rclone-startup-timeout").unwrap_or(RCLONE_STARTUP))?;
    if let Some(path) = typed.text("embed-rclone-config").filter(|path| !path.is_empty()) {
        members.text("embeddedConfig", &String::from_utf8_lossy(&read(path)?))?;
    }
    members.raw("atomicWrites", if typed.on("atomic-writes") { "true" } else { "false" });
    shards(&mut members, typed);
    members.connect("rclone", &format!("RClone {remote}"))
}

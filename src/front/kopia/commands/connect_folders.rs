//! `kopia repository connect webdav`: folders of a server, from flags and variables.

use super::connect_cloud::Members;
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

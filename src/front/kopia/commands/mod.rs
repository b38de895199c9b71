//! The commands of Kopia: those that are answered here, one file each, and those that are not.

mod blob;
mod cache;
mod client;
mod connect;
mod connect_cloud;
mod connect_folders;
mod content;
mod content_verify;
mod disconnect;
mod histogram;
mod index;
mod ls;
mod maintenance;
mod maintenance_runs;
mod manifest;
mod policy;
mod policy_rows;
mod resolve;
mod restore;
mod show;
mod snapshot_list;
mod snapshot_rows;
mod snapshot_verify;
mod status;
mod storage_stats;

use super::grammar::Command;
pub(in crate::front::kopia) use disconnect::cache_directory;

/// All commands of Kopia v0.23.1. One that is missing here would be a usage error, as it is for Kopia.
pub(super) const ALL: &[Command] = &[
    Command::group(
        &["repository", "repo"],
        &[
            connect::COMMAND,
            status::COMMAND,
            disconnect::COMMAND,
            client::SET_CLIENT,
            Command::group(&["throttle"], &[client::THROTTLE_SET, client::THROTTLE_GET]),
            Command::foreign(&["create"]),
            Command::foreign(&["repair"]),
            Command::foreign(&["set-parameters"]),
            Command::foreign(&["change-password"]),
            Command::foreign(&["sync-to"]),
            Command::foreign(&["upgrade"]),
            Command::foreign(&["validate-provider"]),
        ],
    ),
    Command::group(
        &["snapshot", "snap"],
        &[
            snapshot_list::COMMAND,
            snapshot_verify::COMMAND,
            restore::COMMAND,
            Command::foreign(&["create"]),
            Command::foreign(&["delete"]),
            Command::foreign(&["estimate"]),
            Command::foreign(&["expire"]),
            Command::foreign(&["fix"]),
            Command::foreign(&["migrate"]),
            Command::foreign(&["pin"]),
            Command::foreign(&["copy-history"]),
            Command::foreign(&["move-history"]),
        ],
    ),
    ls::COMMAND,
    show::COMMAND,
    restore::COMMAND,
    Command::group(
        &["policy", "policies"],
        &[
            policy::LIST,
            policy::SHOW,
            Command::foreign(&["set"]),
            Command::foreign(&["edit"]),
            Command::foreign(&["delete", "remove", "rm"]),
            Command::foreign(&["export"]),
            Command::foreign(&["import"]),
        ],
    ),
    Command::group(
        &["manifest"],
        &[manifest::LIST, manifest::SHOW, Command::foreign(&["delete", "remove", "rm"])],
    ),
    Command::group(
        &["content", "contents"],
        &[
            content::LIST,
            content::STATS,
            Command::foreign(&["show", "cat"]),
            content_verify::COMMAND,
            Command::foreign(&["rewrite"]),
            Command::foreign(&["delete", "remove", "rm"]),
        ],
    ),
    Command::group(
        &["blob"],
        &[
            blob::LIST,
            blob::STATS,
            Command::foreign(&["show", "cat"]),
            Command::foreign(&["gc"]),
            Command::foreign(&["delete", "remove", "rm"]),
            Command::foreign(&["shards"]),
        ],
    ),
    Command::group(
        &["index"],
        &[
            index::LIST,
            Command::foreign(&["inspect"]),
            Command::foreign(&["epoch"]),
            Command::foreign(&["optimize"]),
            Command::foreign(&["recover"]),
        ],
    ),
    Command::group(
        &["maintenance", "gc"],
        &[maintenance::INFO, Command::foreign(&["run"]), Command::foreign(&["set"])],
    ),
    Command::group(
        &["cache"],
        &[
            client::CACHE_SET,
            cache::INFO,
            Command::foreign(&["clear"]),
            Command::foreign(&["sync"]),
            Command::foreign(&["prefetch"]),
        ],
    ),
    Command::foreign(&["benchmark"]),
    Command::foreign(&["diff", "compare"]),
    Command::foreign(&["help"]),
    Command::foreign(&["logs", "log"]),
    Command::foreign(&["mount"]),
    Command::foreign(&["notification"]),
    Command::foreign(&["server"]),
    Command::foreign(&["session"]),
];

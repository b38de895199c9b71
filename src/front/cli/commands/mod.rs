//! The commands. To add one: its file with an `Args` that has a method `run`, and a line in each of the two lists.

mod audit;
mod blobs;
mod cat;
mod completions;
mod contents;
mod diff;
mod doctor;
mod du;
mod exists;
#[cfg(feature = "nfs")]
mod export;
mod find;
mod history;
mod index;
mod ls;
mod man;
mod manifests;
#[cfg(feature = "mount")]
mod mount;
#[cfg(feature = "mover")]
mod mover;
mod restore;
#[cfg(feature = "service")]
mod serve;
mod show;
mod snapshots;
mod sources;
mod status;
mod tar;
#[cfg(feature = "verify")]
mod verify;

use super::context::Context;
use super::failure::{Exit, Failure};

/// Makes the enum of commands and its dispatch. What a command is about stands at its `Args`.
macro_rules! commands {
    ($($(#[$condition:meta])? $module:ident => $name:ident,)*) => {
        #[derive(Debug, clap::Subcommand)]
        #[allow(clippy::large_enum_variant, reason = "there is one command in a process")]
        pub(super) enum Command {
            $($(#[$condition])? $name($module::Args),)*
        }

        impl Command {
            /// Whether the command has a log of its own in place of talk on stderr.
            pub(super) fn logs_itself(&self) -> bool {
                #[cfg(feature = "service")]
                if matches!(self, Self::Serve(_)) {
                    return true;
                }
                false
            }

            pub(super) fn run(self, context: &Context) -> Result<Exit, Failure> {
                match self {
                    $($(#[$condition])? Self::$name(args) => args.run(context),)*
                }
            }
        }
    };
}

commands! {
    status => Status,
    snapshots => Snapshots,
    sources => Sources,
    ls => Ls,
    cat => Cat,
    find => Find,
    diff => Diff,
    history => History,
    du => Du,
    restore => Restore,
    tar => Tar,
    #[cfg(feature = "mount")]
    mount => Mount,
    #[cfg(feature = "nfs")]
    export => Export,
    exists => Exists,
    audit => Audit,
    doctor => Doctor,
    #[cfg(feature = "service")]
    serve => Serve,
    blobs => Blobs,
    contents => Contents,
    manifests => Manifests,
    index => Index,
    show => Show,
    #[cfg(feature = "mover")]
    mover => Mover,
    #[cfg(feature = "verify")]
    verify => Verify,
    completions => Completions,
    man => Man,
}

//! Which files can be opened: Landlock.

use std::fs::File;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, LandlockStatus, PathBeneath, PathFd,
    Ruleset, RulesetAttr, RulesetCreated, RulesetCreatedAttr, RulesetError, RulesetStatus, Scope,
    make_bitflags,
};
use nix::libc;

use super::{Enforcement, Sandbox, existing_directory};
use crate::os::links;

/// The newest rules asked for. Older kernels enforce those that they know.
const RULES: ABI = ABI::V6;

/// What time zones are made of, for times that people see.
const ZONES: [&str; 5] =
    ["/etc/localtime", "/etc/timezone", "/etc/zoneinfo", "/usr/share/zoneinfo", "/usr/share/lib/zoneinfo"];

/// What names of servers are looked up with. Libraries are among it: those of glibc load more of them to look up a name.
const NAMES: [&str; 12] = [
    "/etc/resolv.conf",
    "/etc/hosts",
    "/etc/nsswitch.conf",
    "/etc/host.conf",
    "/etc/gai.conf",
    "/etc/services",
    "/etc/ld.so.cache",
    "/run/systemd/resolve",
    "/lib",
    "/lib64",
    "/usr/lib",
    "/usr/lib64",
];

/// Everything but device files, pipes, sockets and programs.
const WRITE: BitFlags<AccessFs> = make_bitflags!(AccessFs::{
    ReadFile | ReadDir | WriteFile | Truncate | MakeReg | MakeDir | MakeSym | RemoveFile | RemoveDir | Refer
});

/// What there is to a file.
const FILE: BitFlags<AccessFs> = make_bitflags!(AccessFs::{ ReadFile | WriteFile | Truncate });

const READ: BitFlags<AccessFs> = make_bitflags!(AccessFs::{ ReadFile | ReadDir });

/// Restricts this thread and those that it starts from here on.
pub(super) fn restrict(sandbox: &Sandbox) -> Result<Enforcement, String> {
    let status = enforce(sandbox).map_err(|e| e.to_string())?;
    match (status.ruleset, status.landlock) {
        (RulesetStatus::FullyEnforced, _) => Ok(Enforcement::Full),
        (RulesetStatus::PartiallyEnforced, _) => Ok(Enforcement::Partial),
        (RulesetStatus::NotEnforced, LandlockStatus::NotEnabled) => {
            Err("this kernel was started without Landlock".into())
        }
        (RulesetStatus::NotEnforced, _) => {
            Err("this kernel has no Landlock, or too old rules, or the container forbids it".into())
        }
    }
}

/// Whether the kernel takes rules at all.
#[cfg(feature = "cli")]
pub(super) fn is_available() -> Result<(), String> {
    let ruleset = Ruleset::default().set_compatibility(CompatLevel::HardRequirement);
    let made = ruleset.handle_access(AccessFs::from_all(ABI::V1)).and_then(Ruleset::create);
    made.map(drop).map_err(|_| "this kernel has no Landlock, or the container forbids it".to_owned())
}

fn enforce(sandbox: &Sandbox) -> Result<landlock::RestrictionStatus, RulesetError> {
    let mut handled = AccessFs::from_all(RULES);
    if sandbox.reads_anywhere {
        handled.remove(READ);
    }
    let mut network = AccessNet::from_all(RULES);
    if sandbox.listens {
        network.remove(AccessNet::BindTcp);
    }
    if sandbox.connects {
        network.remove(AccessNet::ConnectTcp);
    }
    // The first rules that a kernel had forbid to move and to link files between any two directories: none at all are better.
    let mut rules = Ruleset::default()
        .set_compatibility(CompatLevel::SoftRequirement)
        .handle_access(AccessFs::Refer)?
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(handled)?;
    if !network.is_empty() {
        rules = rules.handle_access(network)?;
    }
    let mut rules = rules.scope(Scope::from_all(RULES))?.create()?;
    for path in &sandbox.writable {
        if let Some(directory) = existing_directory(path) {
            rules = allow(rules, &directory, WRITE & handled)?;
        }
        // It may be a link to a file elsewhere.
        rules = allow(rules, path, WRITE & handled)?;
    }
    if sandbox.reads_anywhere {
        return rules.restrict_self();
    }
    let linked = sandbox.repositories.iter().flat_map(|repository| links::targets(repository, true));
    let readable = sandbox.repositories.iter().chain(&sandbox.readable).cloned().chain(linked);
    let names = NAMES.iter().filter(|_| sandbox.connects).map(PathBuf::from);
    for path in readable.chain(named_zones()).chain(ZONES.map(PathBuf::from)).chain(names) {
        rules = allow(rules, &path, READ)?;
    }
    for directory in &sandbox.listable {
        rules = allow(rules, directory, AccessFs::ReadDir.into())?;
    }
    rules.restrict_self()
}

/// Where the environment says that time zones are.
fn named_zones() -> impl Iterator<Item = PathBuf> {
    let file = std::env::var("TZ").ok().map(|zone| PathBuf::from(zone.strip_prefix(':').unwrap_or(&zone)));
    let directory = std::env::var_os("TZDIR").map(PathBuf::from);
    file.into_iter().chain(directory).filter(|path| path.is_absolute())
}

/// What cannot be opened now need not be allowed.
fn allow(
    rules: RulesetCreated,
    path: &Path,
    access: BitFlags<AccessFs>,
) -> Result<RulesetCreated, RulesetError> {
    // Opened as for reading where that is possible: only then is a file system mounted that waits for its first use, and
    // it is that which has to be allowed, not the place where it will be.
    let mounted = File::options().read(true).custom_flags(libc::O_DIRECTORY).open(path);
    match mounted {
        Ok(directory) => rules.add_rule(PathBeneath::new(directory, access)),
        Err(_) => match PathFd::new(path) {
            Ok(directory) if path.is_dir() => rules.add_rule(PathBeneath::new(directory, access)),
            Ok(file) if access.intersects(FILE) => rules.add_rule(PathBeneath::new(file, access & FILE)),
            Ok(_) | Err(_) => Ok(rules),
        },
    }
}

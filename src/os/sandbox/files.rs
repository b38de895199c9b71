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

use super::{Given, Sandbox, existing_directory};

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

/// Directories of a repository in which links are looked for; with more of them only its own is.
const MAX_LISTED: usize = 16;

/// Everything but device files, pipes, sockets and programs.
const WRITE: BitFlags<AccessFs> = make_bitflags!(AccessFs::{
    ReadFile | ReadDir | WriteFile | Truncate | MakeReg | MakeDir | MakeSym | RemoveFile | RemoveDir | Refer
});

/// What there is to a file.
const FILE: BitFlags<AccessFs> = make_bitflags!(AccessFs::{ ReadFile | WriteFile | Truncate });

const READ: BitFlags<AccessFs> = make_bitflags!(AccessFs::{ ReadFile | ReadDir });

/// Restricts this thread and those that it starts from here on.
pub(super) fn restrict(sandbox: &Sandbox) -> Result<Given, String> {
    let status = enforce(sandbox).map_err(|e| e.to_string())?;
    match (status.ruleset, status.landlock) {
        (RulesetStatus::FullyEnforced, _) => Ok(Given::Up),
        (RulesetStatus::PartiallyEnforced, _) => Ok(Given::InPart),
        (RulesetStatus::NotEnforced, LandlockStatus::NotEnabled) => {
            Err("this kernel was started without Landlock".into())
        }
        (RulesetStatus::NotEnforced, _) => {
            Err("this kernel has no Landlock, or too old rules, or the container forbids it".into())
        }
    }
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
    let linked = sandbox.repositories.iter().flat_map(|repository| linked(repository));
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

/// What links in a repository lead to, as far as that can be seen with few listings.
fn linked(repository: &Path) -> Vec<PathBuf> {
    let (mut directories, mut found) = (Vec::new(), Vec::new());
    let mut list = |directory: &Path, below: &mut Vec<PathBuf>| {
        for entry in directory.read_dir().into_iter().flatten().flatten() {
            match entry.file_type() {
                Ok(kind) if kind.is_symlink() => found.extend(entry.path().canonicalize()),
                Ok(kind) if kind.is_dir() => below.push(entry.path()),
                Ok(_) | Err(_) => {}
            }
        }
    };
    list(repository, &mut directories);
    if directories.len() <= MAX_LISTED {
        directories.iter().for_each(|directory| list(directory, &mut Vec::new()));
    }
    found
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn links_of_two_levels_are_found() {
        let place = tempfile::tempdir().unwrap();
        let at = |name: &str| place.path().join(name);
        for name in ["repository/p/0", "disk/q", "disk/p1", "disk/deep"] {
            std::fs::create_dir_all(at(name)).unwrap();
        }
        symlink(at("disk/q"), at("repository/q")).unwrap();
        symlink("../../disk/p1", at("repository/p/1")).unwrap();
        symlink(at("disk/deep"), at("repository/p/0/pack")).unwrap();
        symlink("nowhere", at("repository/dangling")).unwrap();
        let mut found = linked(&at("repository"));
        found.sort();
        assert_eq!(found, [at("disk/p1"), at("disk/q")].map(|path| path.canonicalize().unwrap()));
        for number in 0..MAX_LISTED {
            std::fs::create_dir(at("repository").join(number.to_string())).unwrap();
        }
        assert_eq!(linked(&at("repository")), [at("disk/q").canonicalize().unwrap()]);
        assert!(linked(&at("missing")).is_empty());
    }
}

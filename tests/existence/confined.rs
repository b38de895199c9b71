//! Case 54 as a container sees it: a limit on memory that kills, and a root file system that cannot be written.

use std::fs;
use std::path::{Path, PathBuf};

use crate::common::say;
use crate::process::{Server, until};
use crate::world::World;

/// The directory of a group of processes that may only use so much memory.
struct Limited {
    path: PathBuf,
    peak: &'static str,
}

impl Limited {
    /// A group with a limit of so many MiB, under either version of control groups; `None` where none can be made.
    fn new(name: &str, mebibytes: u64) -> Option<Self> {
        let name = format!("rokopia-{name}-{}", std::process::id());
        for (parent, limit, peak) in [
            ("/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.max_usage_in_bytes"),
            ("/sys/fs/cgroup", "memory.max", "memory.peak"),
        ] {
            let group = Self { path: Path::new(parent).join(&name), peak };
            if fs::create_dir(&group.path).is_ok()
                && group.path.join("cgroup.procs").exists()
                && fs::write(group.path.join(limit), (mebibytes << 20).to_string()).is_ok()
            {
                return Some(group);
            }
        }
        say("case 54: no control group can be made here, so that the limit on memory was not tested");
        None
    }

    /// The service in this group, with a root file system that cannot be written.
    fn serve(&self, repository: &Path) -> Server {
        const ENTER: &str =
            "echo $$ > \"$1/cgroup.procs\" && mount -o remount,bind,ro / && shift && exec \"$@\"";
        let group = self.path.to_str().unwrap();
        Server::start_inside(&["unshare", "--mount", "sh", "-c", ENTER, "sh", group], repository)
    }

    fn peak(&self) -> u64 {
        fs::read_to_string(self.path.join(self.peak)).unwrap().trim().parse().unwrap()
    }
}

impl Drop for Limited {
    fn drop(&mut self) {
        let gone = || fs::remove_dir(&self.path).is_ok() || !self.path.exists();
        // Processes leave a group a moment after they have ended.
        for _ in 0..100 {
            if gone() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }
}

#[test]
fn case_54_within_128_mib_and_a_root_that_cannot_be_written() {
    let world = World::fixture();
    let Some(group) = Limited::new("128", 128) else { return };
    let server = group.serve(&world.repo());
    let mounts = fs::read_to_string(format!("/proc/{}/mountinfo", server.pid())).unwrap();
    let root = mounts.lines().rfind(|line| line.split(' ').nth(4) == Some("/")).unwrap();
    assert!(root.split(' ').nth(5).unwrap().split(',').any(|option| option == "ro"), "{root}");
    until("ready", || server.get("/readyz").status == 200);
    assert_eq!(server.ask("media/web"), (200, "restore".into()));
    assert_eq!(server.ask("media/none"), (200, "fresh".into()));
    say(&format!("case 54: {} MiB at most, of 128", group.peak() >> 20));
    drop(server);
}

/// The limit is one: with less than the key derivation alone takes, the process ends.
#[test]
fn too_little_memory_is_the_end() {
    let world = World::fixture();
    let Some(group) = Limited::new("48", 48) else { return };
    let mut server = group.serve(&world.repo());
    assert_eq!(server.exit_code(), None, "ended by a signal");
}

//! A mount whose server is gone: whoever touches it waits, and the kernel never tells why.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, MsFlags, mount, umount2};

use crate::common::say;
use crate::process::{Server, until};
use crate::world::World;

/// A FUSE file system that nobody serves, mounted over a directory.
struct Hung {
    over: PathBuf,
    device: Option<File>,
}

impl Hung {
    fn over(directory: &Path) -> Option<Self> {
        let mounted = File::options().read(true).write(true).open("/dev/fuse").and_then(|device| {
            let options =
                format!("fd={},rootmode=40000,user_id=0,group_id=0,allow_other", device.as_raw_fd());
            let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
            mount(Some("hung"), directory, Some("fuse"), flags, Some(options.as_str()))?;
            Ok(device)
        });
        match mounted {
            Ok(device) => Some(Self { over: directory.to_owned(), device: Some(device) }),
            Err(e) => {
                say(&format!("a mount that hangs was not tested, it cannot be made here: {e}"));
                None
            }
        }
    }
}

impl Drop for Hung {
    fn drop(&mut self) {
        // Without its device the mount fails instead of hanging.
        drop(self.device.take());
        let _ = umount2(&self.over, MntFlags::MNT_DETACH);
    }
}

fn unknown() -> (u16, String) {
    (503, "unknown".into())
}

/// What never waits for the storage.
fn probe(server: &Server, ready: u16) {
    assert_eq!(server.get("/healthz").status, 200);
    assert_eq!(server.get("/readyz").status, ready);
    assert_eq!(server.get("/metrics").status, 200);
    assert_eq!(server.get("/").status, 200);
    assert_eq!(server.get("/v1/repository").status, 200);
}

#[test]
fn a_mount_that_hangs_stops_nobody() {
    let world = World::fixture();
    let settings = [("HTTP_TIMEOUT", "2s"), ("CACHE_TTL", "1h"), ("RE_WARM_INTERVAL", "1s")];
    let mut server = Server::ready(&world.repo(), &settings);
    let Some(hung) = Hung::over(&world.repo()) else { return };
    let response = server.get("/exists/media/none");
    assert_eq!(response.decision(), unknown());
    assert_eq!(response.headers["rokopia-reason"], "storage-timeout");
    assert_eq!(server.ask("media/web"), (200, "restore".into()), "what is known needs no storage");
    probe(&server, 200);
    drop(hung);
    until("mounted again", || server.ask("media/none") == (200, "fresh".into()));
    let Some(_hung) = Hung::over(&world.repo()) else { return };
    assert_eq!(server.ask("media/none"), unknown());
    server.signal();
    assert_eq!(server.exit_code(), Some(0));
}

#[test]
fn a_mount_that_hangs_from_the_beginning() {
    let world = World::fixture();
    let Some(hung) = Hung::over(&world.repo()) else { return };
    let server = Server::start(&world.repo(), &[("HTTP_TIMEOUT", "2s")]);
    assert_eq!(server.ask("media/web"), unknown());
    assert_eq!(server.ask("media/none"), unknown());
    assert_eq!((server.get("/healthz").status, server.get("/readyz").status), (200, 503));
    drop(hung);
    until("ready by itself", || server.get("/readyz").status == 200);
    assert_eq!(server.ask("media/none"), (200, "fresh".into()));
    drop(server);
    let Some(_hung) = Hung::over(&world.repo()) else { return };
    let mut server = Server::start(&world.repo(), &[]);
    server.signal();
    assert_eq!(server.exit_code(), Some(0));
}

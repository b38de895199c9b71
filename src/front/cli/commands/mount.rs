//! `rokopia mount`: snapshots as a file system.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::front::cli::context::{Context, wrong_value};
use crate::front::cli::failure::{Exit, Failure};
use crate::front::cli::follow::Follow;
use crate::front::cli::session::Session;
use crate::front::cli::tree::locate;
use crate::front::cli::units;
use crate::front::mount::{self, Options};
use crate::os::signals::CleanUp;
use crate::vfs::Vfs;

/// How often the end of the mount and signals are looked for.
const TICK: Duration = Duration::from_millis(50);

/// Questions of the kernel that are answered at the same time.
const THREADS: usize = 16;

/// Show snapshots as a read-only file system (FUSE) until it is unmounted or Ctrl-C is pressed
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Without REF, DIR has USER@HOST/PATH/TIME/… and `latest` beside the times; new snapshots appear. With REF, its tree is \
the root. A damaged file gives an input/output error by itself, and the reason is logged. End with Ctrl-C, SIGTERM, or \
`umount DIR`.

Needs /dev/fuse and root, or fusermount3 (Debian: fuse3). Without them, `rokopia ls`, `cat`, `find`, `tar` and `restore` \
read the same trees.

Examples:
  rokopia mount /mnt/backups
  rokopia mount /mnt/backups data-demo@apps:/data@2026-11-20
  rokopia mount --owner 1000:1000 --allow-other /mnt/backups")]
pub(in crate::front::cli) struct Args {
    /// An existing directory
    #[arg(value_name = "DIR")]
    directory: PathBuf,

    /// Show only this: a snapshot, source or object, and a path in it that leads to a directory
    #[arg(value_name = "REF")]
    reference: Option<String>,

    /// Who everything belongs to, instead of the owners in the snapshots
    #[arg(long, value_name = "UID:GID")]
    owner: Option<String>,

    /// Let other users in; the kernel then checks owners and modes
    #[arg(long)]
    allow_other: bool,

    /// How often to look for new snapshots; 0 never
    #[arg(long, value_name = "DURATION", default_value = "1m")]
    refresh: String,
}

impl Args {
    pub(in crate::front::cli) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let owner = self.owner.as_deref().map(units::owner).transpose()?;
        let refresh = units::duration(&self.refresh)
            .ok_or_else(|| wrong_value("--refresh", &self.refresh, "a duration such as 5m"))?;
        if !self.directory.is_dir() {
            let message = format!("{} is not a directory", self.directory.display());
            return Err(Failure::new(Exit::Unknown, "mount-failed", message)
                .with_help(format!("create it: mkdir -p {}", self.directory.display())));
        }
        let options = Options {
            allow_other: self.allow_other,
            owner,
            threads: THREADS,
            name: format!("rokopia:{}", self.reference.as_deref().unwrap_or("all")),
        };
        // Mounting and unmounting are among the calls that the sandbox takes away.
        let context = context.unconfined();
        let mut session = Session::open_for_contents(&context)?;
        let contents = session.contents()?;
        let memory = context.memory_for_data(&contents)?;
        let reads = context.reads.unwrap_or(contents.store().hints().reads);
        let cleanup = CleanUp::new();
        let Some(reference) = &self.reference else {
            let (vfs, mut follow) = Follow::new(session, contents, memory, reads, refresh);
            return self.serve(vfs, &options, &cleanup.flag(), || follow.tick());
        };
        let found = session.find(reference)?;
        let (_, entry) = locate(&mut session, &contents, reference, &found)?;
        if !entry.is_directory() {
            let message = format!("{reference} is not a directory, and only a directory can be mounted");
            return Err(
                Failure::new(Exit::Unknown, "mount-failed", message).with_help("`rokopia cat` prints a file")
            );
        }
        let vfs = Arc::new(Vfs::of_directory(Arc::new(contents), entry, memory, reads));
        self.serve(vfs, &options, &cleanup.flag(), || ())
    }

    /// Mounts the tree, and calls `tick` often until it is unmounted or a signal has arrived.
    fn serve(
        &self,
        vfs: Arc<Vfs>,
        options: &Options,
        stop: &AtomicBool,
        mut tick: impl FnMut(),
    ) -> Result<Exit, Failure> {
        let failed = |what: &str, error: &std::io::Error| {
            let message = format!("{what} {}: {error}", self.directory.display());
            Failure::new(Exit::Unknown, "mount-failed", message).with_help(
                "mounting needs /dev/fuse and root, or fusermount3; `rokopia ls`, `cat`, `tar` and `restore` read the same without",
            )
        };
        let session = mount::mount(vfs, &self.directory, options).map_err(|e| failed("mounting on", &e))?;
        tracing::info!("mounted on {}; Ctrl-C or umount ends it", self.directory.display());
        while !session.guard.is_finished() && !stop.load(Ordering::SeqCst) {
            tick();
            std::thread::sleep(TICK);
        }
        let ended = if session.guard.is_finished() { session.join() } else { session.umount_and_join() };
        ended.map_err(|e| failed("unmounting", &e))?;
        Ok(Exit::Done)
    }
}

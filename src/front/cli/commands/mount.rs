//! `rokopia mount`: snapshots as a file system.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::front::cli::context::Context;
use crate::front::cli::failure::{Exit, Failure};
use crate::front::cli::follow::Shown;
use crate::front::cli::open_repository::OpenRepository;
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
Without REF, each snapshot is a directory DIR/USER@HOST/PATH/TIME, `latest` beside the times is the newest one, and new \
snapshots appear by themselves. With REF, DIR shows that tree. Reading a damaged file fails with an input/output error, \
and the reason is logged; other files stay readable. End with Ctrl-C, SIGTERM, or \
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

    #[command(flatten)]
    shown: Shown,

    /// Let other users read the file system; the kernel then checks owners and modes
    #[arg(long)]
    allow_other: bool,
}

impl Args {
    pub(in crate::front::cli) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let (owner, _) = self.shown.owner_and_refresh()?;
        if !self.directory.is_dir() {
            let message = format!("{} is not a directory", self.directory.display());
            return Err(Failure::new(Exit::Unknown, "mount-failed", message)
                .with_help(format!("create it: mkdir -p {}", self.directory.display())));
        }
        let options = Options {
            allow_other: self.allow_other,
            owner,
            threads: THREADS,
            name: format!("rokopia:{}", self.shown.name()),
        };
        // Mounting and unmounting are among the calls that the sandbox takes away.
        let context = context.unconfined();
        let mut repo = OpenRepository::open_for_contents(&context)?;
        let contents = repo.contents()?;
        let memory = context.memory_for_data(&contents)?;
        let cleanup = CleanUp::new();
        let mut tree = self.shown.tree(&context, repo, contents, memory, "mount-failed")?;
        self.serve(Arc::clone(&tree.vfs), &options, &cleanup.flag(), || tree.tick())
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

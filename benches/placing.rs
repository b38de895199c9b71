//! Ways to make small files that are whole when they appear under their names, on the file systems that are given.
//!
//! ```text
//! cargo bench --bench placing -- /mnt/ext4 /mnt/xfs /dev/shm
//! ```
//!
//! Without a directory it takes that for temporary files. Each way makes 20,000 files of 4 KiB in 200 directories; the
//! medians of five rounds in alternation are printed, in microseconds a file, `syncfs` at the end included.

#![allow(clippy::print_stdout, reason = "the figures go there")]

use std::error::Error;
use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, open, openat, renameat};
use nix::sys::stat::{Mode, mkdirat};
use nix::unistd::{linkat, syncfs};

const DIRECTORIES: usize = 200;
const FILES: usize = 100;
const SIZE: usize = 4096;
const ROUNDS: usize = 5;

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

#[derive(Clone, Copy)]
enum Way {
    /// A file without a name that gets one when it is whole.
    Nameless,
    /// A file under another name, which is renamed when it is whole.
    Renamed,
    /// Files under their own names in a directory under another name, which is renamed when all of them are whole.
    StagedDirectory,
}

impl Way {
    const ALL: [Self; 3] = [Self::Nameless, Self::Renamed, Self::StagedDirectory];

    fn name(self) -> &'static str {
        match self {
            Self::Nameless => "O_TMPFILE and linkat",
            Self::Renamed => "staged name and renameat",
            Self::StagedDirectory => "staged directory",
        }
    }

    fn fill(self, root: &OwnedFd, number: usize) -> Outcome<()> {
        let name = format!("d{number}");
        let staged = format!(".staged-{name}");
        let made = if matches!(self, Self::StagedDirectory) { &staged } else { &name };
        mkdirat(root, made.as_str(), Mode::S_IRWXU)?;
        let directory = openat(
            root,
            made.as_str(),
            OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC,
            Mode::empty(),
        )?;
        let bytes = [7; SIZE];
        for file in 0..FILES {
            self.place(&directory, &format!("f{file}"), &bytes)?;
        }
        if made == &staged {
            renameat(root, staged.as_str(), root, name.as_str())?;
        }
        Ok(())
    }

    fn place(self, directory: &OwnedFd, name: &str, bytes: &[u8]) -> Outcome<()> {
        let mode = Mode::S_IRUSR | Mode::S_IWUSR;
        let new = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let write = |fd: OwnedFd| File::from(fd).write_all(bytes);
        match self {
            Self::Nameless => {
                let flags = OFlag::O_WRONLY | OFlag::O_TMPFILE | OFlag::O_CLOEXEC;
                let mut file = File::from(openat(directory, ".", flags, mode)?);
                file.write_all(bytes)?;
                let link = format!("/proc/self/fd/{}", file.as_raw_fd());
                linkat(AT_FDCWD, link.as_str(), directory, name, AtFlags::AT_SYMLINK_FOLLOW)?;
            }
            Self::Renamed => {
                let staged = format!(".staged-{name}");
                write(openat(directory, staged.as_str(), new, mode)?)?;
                renameat(directory, staged.as_str(), directory, name)?;
            }
            Self::StagedDirectory => write(openat(directory, name, new, mode)?)?,
        }
        Ok(())
    }
}

/// Microseconds for each file.
fn time(way: Way, threads: usize, below: &Path) -> Outcome<f64> {
    let directory = tempfile::tempdir_in(below)?;
    let root =
        open(directory.path(), OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())?;
    syncfs(root.as_fd())?;
    let next = AtomicUsize::new(0);
    let work = || -> Outcome<()> {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= DIRECTORIES {
                return Ok(());
            }
            way.fill(&root, number)?;
        }
    };
    let began = Instant::now();
    std::thread::scope(|scope| -> Outcome<()> {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(|worker| worker.join().map_err(|_| "a thread panicked")?)
    })?;
    syncfs(root.as_fd())?;
    Ok(began.elapsed().as_secs_f64() * 1e6 / (DIRECTORIES * FILES) as f64)
}

fn main() -> Outcome<()> {
    let mut places: Vec<PathBuf> =
        std::env::args_os().skip(1).filter(|argument| argument != "--bench").map(PathBuf::from).collect();
    if places.is_empty() {
        places.push(std::env::temp_dir());
    }
    println!("{:<24} {:>7} {:>10}  where", "way", "threads", "us a file");
    for place in places {
        let cases = Way::ALL.into_iter().flat_map(|way| [1, 2, 8].map(|threads| (way, threads)));
        let mut cases: Vec<_> = cases.map(|case| (case, Vec::new())).collect();
        for _ in 0..ROUNDS {
            for ((way, threads), times) in &mut cases {
                times.push(time(*way, *threads, &place)?);
            }
        }
        for ((way, threads), mut times) in cases {
            times.sort_by(f64::total_cmp);
            let median = times.get(ROUNDS / 2).copied().unwrap_or_default();
            println!("{:<24} {threads:>7} {median:>10.1}  {}", way.name(), place.display());
        }
    }
    Ok(())
}

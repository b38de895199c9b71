//! The table of mounts: what is mounted where, and which mounts show the same directories at several places.

use std::fs::File;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, StatxFlags, statx};

/// A table of mounts beyond this is not read.
const MAX_TABLE: usize = 16 << 20;

/// The mounts of this process. Opened early: a sandbox lets nothing more be opened.
#[derive(Debug)]
pub(crate) struct Mounts(Option<File>);

/// How the file system of a path is mounted.
#[cfg(feature = "cli")]
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Mount {
    /// The kind of file system, such as `nfs4`.
    pub(crate) kind: String,
    /// What is mounted, such as `nas:/export`.
    pub(crate) source: String,
    /// The options of the mount and those of the file system.
    pub(crate) options: Vec<String>,
}

#[cfg(feature = "cli")]
impl Mount {
    /// The mount that a path lies in.
    pub(crate) fn of(path: &Path) -> Option<Self> {
        let table = Mounts::open().read()?;
        Self::on_line(line(&table, mount_of(path)?)?)
    }

    fn on_line(line: &str) -> Option<Self> {
        let (mounted, volume) = line.split_once(" - ")?;
        let mut volume = volume.split(' ');
        let (kind, source) = (volume.next()?, volume.next()?);
        let own = mounted.split(' ').nth(5)?.split(',');
        let options = own.chain(volume.next().unwrap_or_default().split(','));
        let source = unescaped(source).to_string_lossy().into_owned();
        Some(Self { kind: kind.to_owned(), source, options: options.map(str::to_owned).collect() })
    }

    /// Whether it has this option.
    pub(crate) fn has(&self, option: &str) -> bool {
        self.options.iter().any(|known| known == option)
    }

    /// Whether a server is asked for its files.
    pub(crate) fn is_nfs(&self) -> bool {
        self.kind.starts_with("nfs")
    }
}

/// Where a path lies in its file system, whatever it is mounted at.
#[derive(Debug, PartialEq, Eq)]
struct Place {
    volume: String,
    path: PathBuf,
}

impl Mounts {
    pub(crate) fn open() -> Self {
        Self(File::open("/proc/self/mountinfo").ok())
    }

    /// The path below `above` at which `below` seems to lie by the table of mounts. Whether it does is for the caller to
    /// see: another mount may cover it. Both paths are canonical.
    pub(crate) fn below(&self, above: &Path, below: &Path) -> Option<PathBuf> {
        let table = self.read()?;
        let (high, low) = (place(&table, above)?, place(&table, below)?);
        let rest = low.path.strip_prefix(&high.path).ok()?;
        (high.volume == low.volume).then(|| above.join(rest))
    }

    fn read(&self) -> Option<String> {
        let file = self.0.as_ref()?;
        let (mut bytes, mut buffer) = (Vec::new(), vec![0; 64 << 10]);
        loop {
            let got = file.read_at(&mut buffer, bytes.len() as u64).ok()?;
            if got == 0 || bytes.len() > MAX_TABLE {
                return Some(String::from_utf8_lossy(&bytes).into_owned());
            }
            bytes.extend_from_slice(buffer.get(..got)?);
        }
    }
}

fn place(table: &str, path: &Path) -> Option<Place> {
    place_of(table, mount_of(path)?, path)
}

/// The number of the mount that a path lies in.
fn mount_of(path: &Path) -> Option<u64> {
    let stat = statx(CWD, path, AtFlags::NO_AUTOMOUNT, StatxFlags::MNT_ID).ok()?;
    let known = StatxFlags::from_bits_retain(stat.stx_mask).contains(StatxFlags::MNT_ID);
    known.then_some(stat.stx_mnt_id)
}

/// The line of a mount in the table.
fn line(table: &str, mount: u64) -> Option<&str> {
    let mount = mount.to_string();
    table.lines().find(|line| line.split(' ').next() == Some(mount.as_str()))
}

fn place_of(table: &str, mount: u64, path: &Path) -> Option<Place> {
    let (mounted, volume) = line(table, mount)?.split_once(" - ")?;
    let mut mounted = mounted.split(' ').skip(2);
    let (device, root, point) = (mounted.next()?, mounted.next()?, mounted.next()?);
    let rest = path.strip_prefix(unescaped(point)).ok()?;
    let mut volume = volume.split(' ');
    let (kind, source) = (volume.next()?, volume.next()?);
    // NFS shows no root: what it mounts is in the source.
    let (volume, root) = match source.split_once(':').filter(|_| kind.starts_with("nfs")) {
        Some((host, export)) => (host, export),
        None => (device, root),
    };
    Some(Place { volume: volume.to_owned(), path: unescaped(root).join(rest) })
}

/// The table writes blanks and backslashes as three octal digits.
fn unescaped(field: &str) -> PathBuf {
    let (mut bytes, mut rest) = (Vec::new(), field.as_bytes());
    while let Some((&first, tail)) = rest.split_first() {
        let octal = tail.split_at_checked(3).filter(|_| first == b'\\').and_then(|(digits, after)| {
            u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok().map(|byte| (byte, after))
        });
        let (byte, after) = octal.unwrap_or((first, tail));
        bytes.push(byte);
        rest = after;
    }
    PathBuf::from(std::ffi::OsString::from_vec(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "\
30 1 8:2 / / rw,relatime shared:1 - ext4 /dev/sda2 rw
41 30 8:2 /srv/backup/my\\040repo /repo rw - ext4 /dev/sda2 rw
42 30 0:52 / /data rw - nfs4 nas:/export/apps rw,vers=4.2
43 30 0:53 / /mnt/kopia rw - nfs nas:/export rw
";

    #[test]
    fn places_are_those_in_the_file_system() {
        let at = |mount, path: &str| place_of(TABLE, mount, Path::new(path)).unwrap();
        let in_root = at(30, "/srv/backup/my repo/p");
        assert_eq!(at(41, "/repo/p"), in_root);
        assert_eq!(at(42, "/data/x").path, Path::new("/export/apps/x"));
        assert_eq!(at(42, "/data/x"), at(43, "/mnt/kopia/apps/x"));
        assert_eq!(place_of(TABLE, 99, Path::new("/x")), None);
        assert_eq!(place_of(TABLE, 41, Path::new("/elsewhere")), None);
    }

    #[cfg(feature = "cli")]
    #[test]
    fn options_are_those_of_the_mount_and_of_the_file_system() {
        let mount = Mount::on_line(line(TABLE, 42).unwrap()).unwrap();
        assert_eq!((mount.kind.as_str(), mount.source.as_str()), ("nfs4", "nas:/export/apps"));
        assert!(mount.is_nfs() && mount.has("rw") && mount.has("vers=4.2") && !mount.has("soft"));
        let with_tags = Mount::on_line(line(TABLE, 30).unwrap()).unwrap();
        assert_eq!(with_tags.options, ["rw", "relatime", "rw"]);
    }
}

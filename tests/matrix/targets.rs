//! Targets, mounted one by one.

use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::cell::User;

/// How a target is made.
pub(crate) enum Kind {
    Tmpfs,
    /// A file system in a file: the program that makes it with its options, the type, its size, options of the mount.
    Image {
        make: &'static [&'static str],
        kind: &'static str,
        mib: u64,
        options: &'static str,
    },
    /// An ext4 directory that ignores case.
    Casefold,
    Overlay,
    Bind,
    /// `odd.c` with these options.
    Odd(&'static [&'static str]),
}

pub(crate) struct Target {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
}

const fn target(name: &'static str, kind: Kind) -> Target {
    Target { name, kind }
}

const fn ext4(make: &'static [&'static str]) -> Kind {
    Kind::Image { make, kind: "ext4", mib: 16, options: "loop" }
}

pub(crate) const TARGETS: [Target; 20] = [
    target("tmpfs", Kind::Tmpfs),
    target("ext4-256", ext4(&["mkfs.ext4", "-q", "-F", "-I", "256"])),
    target("ext4-128", ext4(&["mkfs.ext4", "-q", "-F", "-I", "128"])),
    target("xfs", Kind::Image { make: &["mkfs.xfs", "-q", "-f"], kind: "xfs", mib: 320, options: "loop" }),
    target(
        "btrfs",
        Kind::Image { make: &["mkfs.btrfs", "-q", "-f"], kind: "btrfs", mib: 128, options: "loop" },
    ),
    target(
        "vfat",
        Kind::Image { make: &["mkfs.vfat", "-F", "32"], kind: "vfat", mib: 40, options: "loop,utf8" },
    ),
    target("exfat", Kind::Image { make: &["mkfs.exfat"], kind: "exfat", mib: 16, options: "loop" }),
    target("casefold", Kind::Casefold),
    target("overlay", Kind::Overlay),
    target("bind", Kind::Bind),
    target("odd-plain", Kind::Odd(&[])),
    target("odd-chown", Kind::Odd(&["chown=EACCES"])),
    target("odd-chmod", Kind::Odd(&["chmod=EOPNOTSUPP"])),
    target("odd-times", Kind::Odd(&["utimens=EACCES"])),
    target(
        "odd-nothing",
        Kind::Odd(&["chown=ENOSYS", "chmod=ENOSYS", "utimens=ENOSYS", "truncate=EOPNOTSUPP"]),
    ),
    target("odd-silent", Kind::Odd(&["ignore-chown", "ignore-chmod"])),
    target("odd-links", Kind::Odd(&["symlink=EOPNOTSUPP"])),
    target("odd-fold", Kind::Odd(&["fold"])),
    target("odd-windows", Kind::Odd(&["windows"])),
    target("odd-seconds", Kind::Odd(&["seconds=2", "chown=EINVAL"])),
];

/// Where images and mounts are made.
pub(crate) struct Workshop {
    dir: tempfile::TempDir,
    odd: Result<PathBuf, String>,
}

/// A mounted target, which is unmounted when dropped.
pub(crate) struct Mounted {
    path: PathBuf,
    dir: tempfile::TempDir,
    server: Option<Child>,
}

impl Mounted {
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // The innermost mount first.
        for mount in [&self.path, &self.dir.path().join("mount"), &self.dir.path().join("base")] {
            let _ = Command::new("umount").arg(mount).stderr(Stdio::null()).status();
        }
        if let Some(server) = &mut self.server {
            let _ = server.wait();
        }
    }
}

fn run(words: &[&str]) -> Result<(), String> {
    let output = Command::new(words[0]).args(&words[1..]).stdin(Stdio::null()).output();
    match output {
        Err(e) => Err(format!("{}: {e}", words[0])),
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(format!("{}: {}", words[0], String::from_utf8_lossy(&output.stderr).trim())),
    }
}

impl Workshop {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::set_permissions(dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let odd = dir.path().join("odd");
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/matrix/odd.c");
        let script = format!("cc -O1 -o '{}' '{source}' $(pkg-config --cflags --libs fuse3)", odd.display());
        let odd = run(&["sh", "-c", &script]).map(|()| odd);
        Self { dir, odd }
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Makes and mounts a target with a directory `into` that belongs to `user`.
    pub(crate) fn mount(&self, target: &Target, user: User) -> Result<Mounted, String> {
        let dir = tempfile::tempdir_in(self.dir.path()).unwrap();
        std::fs::set_permissions(dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let path = |name: &str| {
            let path = dir.path().join(name);
            std::fs::create_dir_all(&path).unwrap();
            path
        };
        let mount = path("mount");
        let at = mount.to_str().unwrap().to_owned();
        let mut mounted = Mounted { path: mount.clone(), dir, server: None };
        let inside = |name: &str| mounted.dir.path().join(name).to_str().unwrap().to_owned();
        match &target.kind {
            Kind::Tmpfs => run(&["mount", "-t", "tmpfs", "tmpfs", &at])?,
            Kind::Bind => {
                std::fs::create_dir(inside("base")).unwrap();
                run(&["mount", "--bind", &inside("base"), &at])?;
            }
            Kind::Overlay => {
                let base = inside("base");
                std::fs::create_dir(&base).unwrap();
                run(&["mount", "-t", "tmpfs", "tmpfs", &base])?;
                for part in ["lower", "upper", "work"] {
                    std::fs::create_dir(format!("{base}/{part}")).unwrap();
                }
                let options = format!("lowerdir={base}/lower,upperdir={base}/upper,workdir={base}/work");
                run(&["mount", "-t", "overlay", "-o", &options, "overlay", &at])?;
            }
            Kind::Image { make, kind, mib, options } => {
                let image = inside("image");
                std::fs::File::create(&image).unwrap().set_len(mib << 20).unwrap();
                run(&[make, &[image.as_str()][..]].concat())?;
                let mut options = (*options).to_owned();
                if matches!(*kind, "vfat" | "exfat") {
                    options += &format!(",uid={},gid={}", user.owner.0, user.owner.1);
                }
                run(&["mount", "-t", kind, "-o", &options, &image, &at])?;
            }
            Kind::Casefold => {
                let image = inside("image");
                std::fs::File::create(&image).unwrap().set_len(16 << 20).unwrap();
                run(&["mkfs.ext4", "-q", "-F", "-O", "casefold", &image])?;
                run(&["mount", "-t", "ext4", "-o", "loop", &image, &at])?;
                std::fs::create_dir(mount.join("fold")).unwrap();
                run(&["chattr", "+F", mount.join("fold").to_str().unwrap()])?;
                mounted.path = mount.join("fold");
            }
            Kind::Odd(options) => {
                let odd = self.odd.clone()?;
                let lower = inside("lower");
                std::fs::create_dir(&lower).unwrap();
                std::fs::create_dir(format!("{lower}/into")).unwrap();
                chown(format!("{lower}/into"), Some(user.owner.0), Some(user.owner.1)).unwrap();
                let mut command = Command::new(odd);
                let server = command.arg(&lower).arg(&mount).args(*options).stderr(Stdio::null()).spawn();
                mounted.server = Some(server.map_err(|e| e.to_string())?);
                if !(0..200).any(|_| {
                    std::thread::sleep(Duration::from_millis(20));
                    run(&["mountpoint", "-q", &at]).is_ok()
                }) {
                    return Err("FUSE does not mount here".to_owned());
                }
            }
        }
        let into = mounted.path.join("into");
        if !into.exists() {
            std::fs::create_dir(&into).map_err(|e| e.to_string())?;
            // Where this is refused it belongs to the user already.
            let _ = chown(&into, Some(user.owner.0), Some(user.owner.1));
        }
        Ok(mounted)
    }
}

//! Mounts, other users and process namespaces, by way of util-linux.

use std::process::{Command, Stdio};

fn works(words: &[&str]) -> bool {
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// A wrapper under which a shell script makes mounts before it starts the mover (`exec "$@"`); `None` where the kernel
/// forbids.
pub(crate) fn mounts(script: &str) -> Option<Vec<String>> {
    let script = format!("set -e; mount --make-rprivate / ; {script}");
    for unshare in [&["unshare", "-m"][..], &["unshare", "-Urm"]] {
        let probe = [unshare, &["sh", "-c", "mount --make-rprivate / && mount -t tmpfs none /mnt"]].concat();
        if works(&probe) {
            return Some(words(&[unshare, &["sh", "-c", &script, "sh"]].concat()));
        }
    }
    println!("skipped: the kernel allows no mounts");
    None
}

/// A wrapper that starts the mover as another user.
pub(crate) fn user() -> Option<Vec<String>> {
    let setpriv = [
        "setpriv",
        "--reuid=1234",
        "--regid=5678",
        "--clear-groups",
        "--bounding-set=-all",
        "--inh-caps=-all",
    ];
    if works(&[&setpriv[..], &["true"]].concat()) {
        return Some(words(&setpriv));
    }
    println!("skipped: only root can become another user");
    None
}

/// A wrapper that starts the mover as process 1.
pub(crate) fn process_1() -> Option<Vec<String>> {
    for unshare in [&["unshare", "-p", "-f", "--kill-child"][..], &["unshare", "-Urp", "-f", "--kill-child"]]
    {
        if works(&[unshare, &["true"]].concat()) {
            return Some(words(unshare));
        }
    }
    println!("skipped: the kernel allows no process namespaces");
    None
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(ToString::to_string).collect()
}

/// For [`World::run_in`](crate::world::World::run_in).
pub(crate) fn strs(words: &[String]) -> Vec<&str> {
    words.iter().map(String::as_str).collect()
}

//! Servers that others wrote, with a repository that Kopia wrote: what is read through them is what is in the directory.
//!
//! A server that is not installed is NOT CHECKED, and a failure where `ROKOPIA_REQUIRE_SERVERS` is 1, as in `.ci/run`.

use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use rokopia::blob::Traffic;

use crate::common::{Case, say, testdata};

const SECRET: &str = "hunter2hunter2";

/// A server that ends with the test.
pub(crate) struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A port that was free a moment ago.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Starts a server that listens on the port soon; `None` where it is not installed.
fn start(command: &mut Command, port: u16) -> Option<Running> {
    let name = command.get_program().to_string_lossy().into_owned();
    match start_program(command, port) {
        Ok(running) => Some(running),
        Err(e) => {
            let required = std::env::var("ROKOPIA_REQUIRE_SERVERS").is_ok_and(|value| value == "1");
            assert!(!required, "{name}: {e}");
            say(&format!("{name}: NOT CHECKED, it cannot be started: {e}"));
            None
        }
    }
}

/// Starts a server, and waits until it listens on the port.
pub(crate) fn start_program(command: &mut Command, port: u16) -> std::io::Result<Running> {
    let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut running = Running(quiet.spawn()?);
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(running.0.try_wait().unwrap().is_none(), "{command:?} ended");
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(running)
}

/// Our command with the variables of a storage.
pub(crate) fn run(location: &str, variables: &[(&str, &str)], password: &str, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_rokopia"))
        .env_clear()
        .env("TZ", "UTC")
        .env("ROKOPIA_PASSWORD", password)
        .envs(variables.iter().copied())
        .arg("--repo")
        .arg(location)
        .args(arguments)
        .output()
        .unwrap()
}

/// Every command gives through a server what it gives in the directory.
pub(crate) fn is_the_same(case: &Case, location: &str, variables: &[(&str, &str)]) {
    for arguments in [
        &["snapshots", "--json"][..],
        &["sources", "--json"],
        &["ls", "latest"],
        &["exists", "nobody@nowhere:/nothing"],
        &["--sandbox", "auto", "snapshots", "--json"],
    ] {
        let (served, direct) = (run(location, variables, case.password(), arguments), case.run(arguments));
        assert_eq!(served.status.code(), direct.status.code(), "{arguments:?} {served:?}");
        assert_eq!(served.stdout, direct.stdout, "{arguments:?}");
        let talk = String::from_utf8_lossy(&served.stderr);
        assert!(!talk.contains(SECRET), "{talk}");
    }
    let verified = run(location, variables, case.password(), &["verify", "--level", "hash"]);
    assert!(verified.status.success(), "{verified:?}");
    let target = tempfile::tempdir().unwrap();
    let (one, two) = (target.path().join("served"), target.path().join("direct"));
    let restored = run(location, variables, case.password(), &["restore", "latest", one.to_str().unwrap()]);
    assert!(restored.status.success(), "{restored:?}");
    assert!(case.run(&["restore", "latest", two.to_str().unwrap()]).status.success());
    let difference = Command::new("diff").arg("-r").arg(&one).arg(&two).output().unwrap();
    assert!(difference.status.success(), "{difference:?}");
}

fn rclone(directory: &Path, port: u16) -> Option<Running> {
    let address = format!("127.0.0.1:{port}");
    start(
        Command::new("rclone")
            .args(["serve", "webdav", "--read-only", "--addr", &address, "--user", "u", "--pass", SECRET])
            .arg(directory),
        port,
    )
}

#[test]
fn webdav_of_rclone() {
    let case = Case::load(&testdata().join("basic")).unwrap();
    let port = free_port();
    let Some(_server) = rclone(case.repo().parent().unwrap(), port) else { return };
    let variables = [("WEBDAV_USERNAME", "u"), ("WEBDAV_PASSWORD", SECRET)];
    let location = format!("webdav+http://127.0.0.1:{port}/repo");
    is_the_same(&case, &location, &variables);
    let ask = |location: &str, variables: &[(&str, &str)]| {
        let output = run(location, variables, case.password(), &["exists", "nobody@nowhere:/nothing"]);
        assert_eq!(output.status.code(), Some(3), "{output:?}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    assert!(ask(&location, &[]).contains("error[credentials-missing]"));
    assert!(ask(&location, &[("WEBDAV_PASSWORD", "wrong")]).contains("error[credentials-refused]"));
    assert!(ask(&format!("{location}/none"), &variables).contains("error[bucket-missing]"));
}

#[test]
fn a_connection_of_kopia_to_webdav() {
    let case = Case::load(&testdata().join("basic")).unwrap();
    let port = free_port();
    let Some(_server) = rclone(&case.repo(), port) else { return };
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("repository.config");
    let config = serde_json::json!({"storage": {"type": "webdav", "config": {
        "url": format!("http://127.0.0.1:{port}"), "username": "u", "password": SECRET, "atomicWrites": false,
        "dirShards": null,
    }}});
    std::fs::write(&file, config.to_string()).unwrap();
    let output = run(&format!("@{}", file.display()), &[], case.password(), &["snapshots", "--json"]);
    assert_eq!(output.stdout, case.run(&["snapshots", "--json"]).stdout, "{output:?}");
}

/// A server of OpenSSH that lets the user of this process in with a key, and what it takes to get in.
struct Sshd {
    _running: Running,
    key: String,
    known_hosts: String,
    location: String,
}

fn sshd(home: &Path, repository: &Path) -> Option<Sshd> {
    let port = free_port();
    let file = |name: &str| home.join(name).to_str().unwrap().to_owned();
    let make = |name: &str| {
        let arguments = ["-q", "-t", "ed25519", "-N", "", "-f"];
        Command::new("ssh-keygen")
            .args(arguments)
            .arg(file(name))
            .status()
            .is_ok_and(|status| status.success())
    };
    if !make("host") || !make("user") {
        assert!(std::env::var_os("ROKOPIA_REQUIRE_SERVERS").is_none(), "ssh-keygen does not make keys");
        say("sshd: NOT CHECKED, ssh-keygen does not make keys");
        return None;
    }
    if nix::unistd::geteuid().is_root() {
        // Where the server, as root, lives with fewer rights.
        let _ = std::fs::create_dir_all("/run/sshd");
    }
    let config = format!(
        "Port {port}\nListenAddress 127.0.0.1\nHostKey {}\nAuthorizedKeysFile {}\nPidFile none\nStrictModes no\n\
         UsePAM no\nPasswordAuthentication no\nPermitRootLogin prohibit-password\nSubsystem sftp internal-sftp\n",
        file("host"),
        file("user.pub"),
    );
    std::fs::write(file("config"), config).unwrap();
    let mut command = Command::new("/usr/sbin/sshd");
    let running = start(command.args(["-D", "-f", &file("config"), "-E", &file("log")]), port)?;
    let public = std::fs::read_to_string(file("host.pub")).unwrap();
    std::fs::write(file("known_hosts"), format!("[127.0.0.1]:{port} {public}")).unwrap();
    let user = nix::unistd::User::from_uid(nix::unistd::geteuid()).unwrap().unwrap().name;
    Some(Sshd {
        _running: running,
        key: file("user"),
        known_hosts: file("known_hosts"),
        location: format!("sftp://{user}@127.0.0.1:{port}{}", repository.display()),
    })
}

#[test]
fn sftp_of_openssh() {
    let case = Case::load(&testdata().join("basic")).unwrap();
    let home = tempfile::tempdir().unwrap();
    let Some(server) = sshd(home.path(), &case.repo()) else { return };
    let variables =
        [("SFTP_KEY_FILE", server.key.as_str()), ("SFTP_KNOWN_HOSTS", server.known_hosts.as_str())];
    is_the_same(&case, &server.location, &variables);
    let ask = |location: &str, variables: &[(&str, &str)]| {
        let output = run(location, variables, case.password(), &["exists", "nobody@nowhere:/nothing"]);
        assert_eq!(output.status.code(), Some(3), "{output:?}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    assert!(ask(&format!("{}/none", server.location), &variables).contains("error[bucket-missing]"));
    assert!(ask(&server.location, &variables[1..]).contains("error[credentials-missing]"));
    assert!(ask(&server.location, &variables[..1]).contains("error[host-key-unknown]"));
    // Another server that answers at the same place.
    let other = "127.0.0.1 ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIP1JBV0YJvAyGk9OtlXhmsJfkNUcRdyUl9Z1fqqNrLGQ";
    let port = server.location.split(':').nth(2).unwrap().split('/').next().unwrap();
    let other = other.replace("127.0.0.1", &format!("[127.0.0.1]:{port}"));
    let text = ask(&server.location, &[variables[0], ("SFTP_KNOWN_HOSTS_DATA", &other)]);
    assert!(text.contains("error[host-key-unknown]"), "{text}");
}

#[test]
fn blobs_on_an_sftp_server_behave() {
    let (home, repository) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let all = crate::suite::blobs();
    for (name, bytes) in &all {
        std::fs::write(repository.path().join(format!("{name}.f")), bytes).unwrap();
    }
    std::fs::write(repository.path().join(".shards"), "{\"default\":[],\"maxNonShardedLength\":20}").unwrap();
    let Some(server) = sshd(home.path(), repository.path()) else { return };
    let (user, rest) = server.location.strip_prefix("sftp://").unwrap().split_once('@').unwrap();
    let (place, path) = rest.split_once('/').unwrap();
    let options = rokopia::blob::sftp::SftpOptions {
        host: "127.0.0.1".into(),
        port: place.split_once(':').unwrap().1.parse().unwrap(),
        path: format!("/{path}"),
        username: user.into(),
        key: rokopia::blob::remote::Hidden::new(std::fs::read_to_string(&server.key).unwrap()),
        known_hosts: std::fs::read_to_string(&server.known_hosts).unwrap(),
        ..Default::default()
    };
    crate::suite::behaves(&options.open(&Traffic::default()).unwrap(), &all);
}

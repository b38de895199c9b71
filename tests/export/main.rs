//! `rokopia export --nfs`, read by an independent client, compared with what `restore` gives.
#![cfg(feature = "nfs")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::indexing_slicing,
    reason = "tests and their helpers"
)]

mod client;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use client::{Client, Seen};

const PROGRAM: &str = env!("CARGO_BIN_EXE_rokopia");
const PASSWORD: &str = "rokopia";

fn project(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn rokopia(repository: &Path) -> Command {
    let mut command = Command::new(PROGRAM);
    command.env_clear().env("ROKOPIA_PASSWORD", PASSWORD).arg("--repo").arg(repository);
    command
}

/// A server of its own, on a port of its own.
struct Server {
    process: Child,
    address: SocketAddr,
}

impl Server {
    fn start(repository: &Path, listen: &str, arguments: &[&str]) -> Self {
        let mut command = rokopia(repository);
        command.args(["export", "--nfs", "--listen", listen]).args(arguments);
        let mut process = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut stderr = BufReader::new(process.stderr.take().unwrap());
        let mut said = String::new();
        let address = loop {
            let mut line = String::new();
            assert!(stderr.read_line(&mut line).unwrap() > 0, "it ended: {said}");
            said.push_str(&line);
            if let Some((_, rest)) = line.split_once("serving NFS on ") {
                break rest.split(';').next().unwrap().parse().unwrap();
            }
        };
        // What it says later must not fill the pipe.
        std::thread::spawn(move || std::io::copy(&mut stderr, &mut std::io::sink()));
        Self { process, address }
    }

    fn of(name: &str, arguments: &[&str]) -> Self {
        Self::start(&project("testdata").join(name).join("repo"), "127.0.0.1:0", arguments)
    }

    /// Ends it by a signal, and tells its exit code.
    fn terminate(mut self) -> Option<i32> {
        assert!(Command::new("kill").arg(self.process.id().to_string()).status().unwrap().success());
        self.process.wait().unwrap().code()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Path, type, mode, owner, size, time and data of everything below a directory.
fn everything(root: &Path) -> Vec<Seen> {
    let mut found = Vec::new();
    let mut rest = vec![root.to_path_buf()];
    while let Some(directory) = rest.pop() {
        for entry in fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            let stat = fs::symlink_metadata(&path).unwrap();
            let (kind, data) = match stat.file_type() {
                kind if kind.is_dir() => ('d', Vec::new()),
                kind if kind.is_symlink() => {
                    ('l', fs::read_link(&path).unwrap().into_os_string().into_encoded_bytes())
                }
                _ => ('f', fs::read(&path).unwrap()),
            };
            found.push(Seen {
                path: path.strip_prefix(root).unwrap().to_str().unwrap().to_owned(),
                kind,
                // The mode of a link means nothing.
                mode: if kind == 'l' { 0 } else { stat.permissions().mode() & 0o7777 },
                owner: (stat.uid(), stat.gid()),
                time: (u32::try_from(stat.mtime()).unwrap(), u32::try_from(stat.mtime_nsec()).unwrap()),
                data,
            });
            if kind == 'd' {
                rest.push(path);
            }
        }
    }
    found.sort();
    found
}

#[test]
fn an_exported_snapshot_is_what_restore_gives() {
    if fs::metadata("/proc/self").unwrap().uid() != 0 {
        eprintln!("export: NOT CHECKED, who is not root cannot restore owners to compare with");
        return;
    }
    for name in ["basic", "compressors", "format-v1"] {
        let server = Server::of(name, &["latest"]);
        let restored = tempfile::tempdir().unwrap();
        let mut command = rokopia(&project("testdata").join(name).join("repo"));
        assert!(command.args(["restore", "-q", "latest"]).arg(restored.path()).status().unwrap().success());
        let mut client = Client::mount(server.address, "/", 0).unwrap();
        assert_eq!(client.everything(), everything(restored.path()), "{name}");
        assert_eq!(server.terminate(), Some(143), "{name}");
    }
}

#[test]
fn handles_outlive_a_restart_and_mean_nothing_to_another_export() {
    let server = Server::of("basic", &[]);
    let mut client = Client::mount(server.address, "/data-demo@apps/data", 0).unwrap();
    let root = client.root();
    let snapshot = client.walk(&root, &["2026-01-03T03:00:00Z", "notes"]);
    let todo = client.walk(&snapshot, &["todo.txt"]);
    let (before, attributes) = (client.read(&todo).unwrap(), client.attributes(&todo).unwrap());
    let latest = client.walk(&root, &["latest"]);
    assert_eq!(client.link(&latest).unwrap(), b"2026-01-03T03:00:00Z");
    assert_eq!(server.terminate(), Some(143));
    let again = Server::of("basic", &[]);
    let mut client = Client::mount(again.address, "/", 0).unwrap();
    assert_eq!(client.read(&todo).unwrap(), before);
    assert_eq!(client.attributes(&todo).unwrap(), attributes);
    assert!(client.names(&snapshot).contains(&"todo.txt".to_owned()));
    let narrow = Server::of("basic", &["latest/photos"]);
    let mut client = Client::mount(narrow.address, "/", 0).unwrap();
    assert!(client.read(&todo).is_err(), "what was never shown");
    assert!(client.attributes(&root).is_err());
}

#[test]
fn nothing_can_be_written() {
    let server = Server::of("basic", &["latest"]);
    let mut client = Client::mount(server.address, "/", 0).unwrap();
    let root = client.root();
    let todo = client.walk(&root, &["notes", "todo.txt"]);
    for refused in client.write_attempts(&root, &todo) {
        assert_eq!(refused, "NFS3ERR_ROFS");
    }
}

#[test]
fn modes_hold_for_those_who_are_not_root() {
    let server = Server::of("basic", &["--owner", "7:8", "latest"]);
    let readable = |uid: u32| {
        let mut client = Client::mount(server.address, "/", uid).unwrap();
        let root = client.root();
        let seen = client.everything();
        assert!(seen.iter().all(|seen| seen.owner == (7, 8)));
        client.access(&root)
    };
    assert_eq!(readable(0) & readable(7) & 3, 3, "to read and to look up");
}

#[cfg(feature = "testkit")]
#[test]
fn large_directories_come_in_pieces() {
    use rokopia::testkit::{Data, DataKind, Options, RepositoryWriter, Tree};
    let dir = tempfile::tempdir().unwrap();
    let options = Options { password: PASSWORD.into(), ..Options::default() };
    let mut writer = RepositoryWriter::create(dir.path(), options).unwrap();
    let mut tree = Tree::owned_by(0, 0);
    for number in 0..5000_u32 {
        let data = Data { kind: DataKind::Text, seed: number.into(), size: 3 };
        tree.add_file(&format!("file-{number:05}"), data).unwrap();
    }
    let root = writer.write_tree(&tree).unwrap();
    writer.snapshot(&"a@b:/".parse().unwrap(), &root);
    writer.finish().unwrap();
    let server = Server::start(dir.path(), "127.0.0.1:0", &["latest"]);
    let mut client = Client::mount(server.address, "/", 0).unwrap();
    let root = client.root();
    let names = client.names(&root);
    assert_eq!((names.len(), names[0].as_str(), names[1].as_str()), (5002, ".", ".."));
    assert_eq!(names[2..].iter().filter(|name| name.starts_with("file-")).count(), 5000);
    assert_eq!(client.everything().len(), 5000);
}

#[test]
fn whoever_sends_nonsense_is_cut_off_and_nobody_else() {
    let server = Server::of("basic", &["latest"]);
    let mut client = Client::mount(server.address, "/", 0).unwrap();
    for nonsense in [
        &[0xff; 64][..],
        &[0x80, 0, 0, 4, 1, 2, 3, 4],
        &[0x7f, 0xff, 0xff, 0xff, 0, 0],
        b"GET / HTTP/1.1\r\n\r\n",
    ] {
        let mut stream = TcpStream::connect(server.address).unwrap();
        stream.write_all(nonsense).unwrap();
        let mut answer = Vec::new();
        // The end of the connection, by whatever means.
        let _ = stream.read_to_end(&mut answer);
        assert!(answer.is_empty(), "{answer:?}");
    }
    assert!(!client.everything().is_empty());
}

#[test]
fn only_this_machine_is_let_in_unless_others_are_named() {
    let sample = project("testdata/basic/repo");
    for (arguments, named) in [
        (&["export", "--nfs", "--listen", "0.0.0.0:0"][..], "--allow"),
        (&["export", "--nfs", "--allow", "10.0.0.0/99"], "--allow"),
        (&["export", "--nfs", "--listen", "nowhere"], "--listen"),
        (&["export"], "--nfs"),
    ] {
        let output = rokopia(&sample).args(arguments).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{stderr}");
        assert!(stderr.contains(named), "{stderr}");
    }
    let output =
        rokopia(&sample).args(["export", "--nfs", "--listen", "127.0.0.1:0", "latest/empty.log"]).output();
    assert_eq!(output.unwrap().status.code(), Some(3));
}

//! Passwords and keys appear nowhere: not in what commands print, log, serve or write, nor where other processes look.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use rokopia::Repository;
use rokopia::blob::FileSystem;
use rokopia::crypto::{FormatCipher, KeyDerivation, Password};
use rokopia::repository::Error;
use rokopia::testkit::{Damage, Options, Shape};
use serde_json::Value;

use crate::common::say;
use crate::run::{Scene, quick};

/// Something that no output contains by chance.
const PASSWORD: &str = "c0rrect-h0rse-b4ttery";

/// Something that was typed wrongly is nobody's business either.
const WRONG: &str = "c0rrect-h0rse-f00t";

/// What must not be found, in every form in which it could be printed.
struct Secrets(Vec<(String, Vec<u8>)>);

impl Secrets {
    fn of(repo: &Path) -> Self {
        let blob: Value =
            serde_json::from_slice(&std::fs::read(repo.join("kopia.repository.f")).unwrap()).unwrap();
        let text = |value: &Value| STANDARD.decode(value.as_str().unwrap()).unwrap();
        let id = text(&blob["uniqueID"]);
        let derivation = KeyDerivation::parse(blob["keyAlgo"].as_str().unwrap()).unwrap();
        let key = derivation.derive(PASSWORD.as_bytes(), &id).unwrap();
        let cipher = FormatCipher::new(&key, &id).unwrap();
        let format: Value =
            serde_json::from_slice(&cipher.open(&text(&blob["encryptedBlockFormat"])).unwrap()).unwrap();
        let format = &format["format"];
        let mut secrets = Self(Vec::new());
        for (name, bytes) in [
            ("the password", PASSWORD.as_bytes()),
            ("a wrong password", WRONG.as_bytes()),
            ("the format key", key.expose()),
            ("the master key", &text(&format["masterKey"])),
            ("the hash secret", &text(&format["secret"])),
        ] {
            assert!(bytes.len() >= 16);
            let mut add = |form: String| secrets.0.push((name.to_owned(), form.into_bytes()));
            add(hex::encode(bytes));
            add(hex::encode_upper(bytes));
            add(format!("{bytes:?}").trim_matches(['[', ']']).to_owned());
            for engine in [STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD] {
                add(engine.encode(bytes));
            }
            secrets.0.push((name.to_owned(), bytes.to_vec()));
        }
        secrets
    }

    fn assert_absent(&self, what: &str, bytes: &[u8]) {
        for (name, form) in &self.0 {
            let found = bytes.windows(form.len()).any(|window| window == form.as_slice());
            assert!(!found, "{what} contains {name}: {}", String::from_utf8_lossy(bytes));
        }
    }
}

fn scene() -> Scene {
    Scene::with(Options { password: PASSWORD.into(), ..quick() }, |writer| {
        let root = writer.write_tree(&Shape::Small { files: 20 }.tree(1).unwrap()).unwrap();
        writer.snapshot(&"data@apps:/data".parse().unwrap(), &root);
    })
}

/// Every command, with what it needs.
const COMMANDS: &[&[&str]] = &[
    &["status"],
    &["snapshots"],
    &["sources"],
    &["ls", "-R", "-l", "latest"],
    &["cat", "latest/missing"],
    &["find", "*"],
    &["diff", "latest", "latest"],
    &["tar", "latest"],
    &["show", "latest"],
    &["blobs"],
    &["contents"],
    &["index"],
    &["manifests"],
    &["exists", "data@apps:/data"],
    &["exists", "nobody@apps:/data"],
    &["restore", "latest", "TARGET"],
    &["restore", "latest", "/proc/nowhere"],
    &[
        "verify",
        "--ledger",
        "OUT/ledger",
        "--report",
        "OUT/report",
        "--html",
        "OUT/html",
        "--textfile",
        "OUT/text",
    ],
    &["verify", "--level", "index"],
    &["no-such-command"],
    &["--help"],
    &["kopia", "repository", "status"],
    &["kopia", "snapshot", "list", "--all"],
    &["mover", "restore"],
];

#[test]
fn no_output_contains_a_secret() {
    let scene = scene();
    let secrets = Secrets::of(&scene.repo());
    let out = tempfile::tempdir().unwrap();
    let mut outputs = 0;
    for damaged in [false, true] {
        if damaged {
            let damage = Damage::open(&scene.repo()).unwrap();
            for pack in damage.names("q").unwrap() {
                damage.flip_some(&pack, 3, 1).unwrap();
            }
        }
        for password in [PASSWORD, WRONG] {
            let all = [&["-vv"][..], &["-vv", "--json"], &["-vv", "--log-format", "json"]];
            // What differs with talk is how things are said, not what.
            let talks = if damaged || password == WRONG { &all[2..] } else { &all[..] };
            for talk in talks {
                for words in COMMANDS {
                    let words = words.iter().map(|word| {
                        word.replace("TARGET", scene.target().to_str().unwrap())
                            .replace("OUT", out.path().to_str().unwrap())
                    });
                    let mut command = Command::new(env!("CARGO_BIN_EXE_rokopia"));
                    command.env_clear().env("ROKOPIA_PASSWORD", password).env("KOPIA_PASSWORD", password);
                    command.env("RUST_LOG", "trace").env("HOME", out.path()).env("PATH", "/nonexistent");
                    command
                        .env("ROKOPIA_REPOSITORY", scene.repo())
                        .env("KOPIA_REPOSITORY", format!("filesystem://{}", scene.repo().display()));
                    let words: Vec<String> = words.collect();
                    let own = !matches!(words[0].as_str(), "kopia" | "mover");
                    command.args(&words).args(if own { *talk } else { &[] });
                    let output = command.stdin(Stdio::null()).output().unwrap();
                    secrets.assert_absent(&format!("stdout of {words:?} {talk:?}"), &output.stdout);
                    secrets.assert_absent(&format!("stderr of {words:?} {talk:?}"), &output.stderr);
                    outputs += 2;
                }
            }
        }
    }
    let mut files = 0;
    for entry in walkdir::WalkDir::new(out.path()) {
        let entry = entry.unwrap();
        if entry.file_type().is_file() {
            let name = entry.path().display().to_string();
            secrets.assert_absent(&name, &std::fs::read(entry.path()).unwrap());
            files += 1;
        }
    }
    assert!(files >= 4, "ledger, report, page and metrics");
    say(&format!("secrets: {outputs} outputs and {files} files searched for {} forms", secrets.0.len()));
}

#[test]
fn a_service_gives_no_secret_away() {
    let scene = scene();
    let secrets = Secrets::of(&scene.repo());
    let mut command = Command::new(env!("CARGO_BIN_EXE_rokopia"));
    command.env_clear().env("KOPIA_PASSWORD", PASSWORD).env("KOPIA_REPOSITORY_PATH", scene.repo());
    command.env("ROKOPIA_LISTEN", "127.0.0.1:0").env("LOG_LEVEL", "debug").arg("serve");
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    let mut log = String::new();
    let address = loop {
        let mut line = String::new();
        assert!(lines.read_line(&mut line).unwrap() > 0, "{log}");
        log.push_str(&line);
        if line.contains("\"listening\"") {
            let line: Value = serde_json::from_str(&line).unwrap();
            break line["address"].as_str().unwrap().to_owned();
        }
    };
    let get = |path: &str| {
        let mut stream = TcpStream::connect(&address).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        answer
    };
    let mut answers = 0;
    let mut ask_all = || {
        for path in [
            "/",
            "/metrics",
            "/healthz",
            "/readyz",
            "/exists/apps/data",
            "/exists/../x",
            "/v1/sources",
            "/v1/status",
            "/debug",
        ] {
            let answer = get(path);
            assert!(!answer.is_empty());
            secrets.assert_absent(path, &answer);
            answers += 1;
        }
    };
    ask_all();
    for name in ["cmdline", "comm", "status"] {
        let file = format!("/proc/{}/{name}", child.id());
        secrets.assert_absent(&file, &std::fs::read(&file).unwrap());
    }
    // Errors have bodies, too.
    std::fs::rename(scene.repo(), scene.repo().with_extension("gone")).unwrap();
    ask_all();
    child.kill().unwrap();
    lines.read_to_string(&mut log).unwrap();
    child.stderr.take().unwrap().read_to_string(&mut log).unwrap();
    child.wait().unwrap();
    secrets.assert_absent("the log", log.as_bytes());
    say(&format!("secrets: {answers} answers and {} bytes of log searched", log.len()));
}

#[test]
fn errors_and_values_print_no_secret() {
    let scene = scene();
    let secrets = Secrets::of(&scene.repo());
    let open = |password: &str| Repository::open(FileSystem::open(scene.repo())?, &Password::new(password));
    let repository = open(PASSWORD).unwrap();
    let error: Error = open(WRONG).err().unwrap();
    for text in [
        format!("{:?}", Password::new(PASSWORD)),
        format!("{:#?}", repository.format()),
        format!("{error} {error:?}"),
        format!("{:?}", repository.options()),
    ] {
        secrets.assert_absent(&text, text.as_bytes());
    }
}

/// Files in `/proc` of a process that may be dumped belong to its user, those of others to root.
#[test]
fn the_memory_of_the_process_is_private() {
    const NOBODY: u32 = 65534;
    let root = nix::unistd::geteuid().is_root();
    let place = tempfile::tempdir().unwrap();
    std::fs::set_permissions(place.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let program = place.path().join("rokopia");
    std::fs::copy(env!("CARGO_BIN_EXE_rokopia"), &program).unwrap();
    let mut command = Command::new(program);
    command.env_clear().env("ROKOPIA_PASSWORD", PASSWORD).current_dir("/");
    // It waits for a password on a pipe that says nothing.
    command.args(["--repo", "/", "status", "--password-fd", "0"]);
    if root {
        command.uid(NOBODY).gid(NOBODY);
    }
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let environment = format!("/proc/{}/environ", child.id());
    let began = Instant::now();
    loop {
        assert!(child.try_wait().unwrap().is_none(), "it ended before it was looked at");
        if std::fs::metadata(&environment).unwrap().uid() == 0 {
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(30), "anybody of its user may read its memory");
        std::thread::sleep(Duration::from_millis(2));
    }
    // A pipe that another user made is read all the same.
    child.stdin.take().unwrap().write_all(PASSWORD.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("error[not-a-repository]"), "{said}");
}

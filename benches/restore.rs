//! End-to-end restores of the standard workloads, ours and Kopia's in alternation.
//!
//! ```text
//! cargo bench --features testkit --bench restore -- [WORKLOAD…] [--rounds N] [--scale PERCENT]
//!     [--repository PATH --password TEXT] [--scratch DIR] [--delay-ms N]
//! ```
//!
//! Workloads: `mixed`, `big`, `small`, `tiny`; the testkit writes their repositories at `--scale` percent of their size
//! (100 is the full one), or `--repository` names one. Everything lies in `--scratch`, by default `/dev/shm`. With
//! `KOPIA=…`, or a `kopia` on the path, Kopia restores the same repository with its defaults and as an expert would
//! tune it, each time without contents in its cache. With `LATFS=…` (a file system that adds a delay) both read through
//! a mount of it; otherwise `--delay-ms` delays only our requests. Figures are medians, with the slowest round beside
//! them; memory is the highest peak of the resident set. Two limits of the machine are measured in the same rounds:
//! `cp -a` of what was restored, and a restore to nowhere, which only reads and decodes.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "a benchmark that cannot go on has nothing to measure"
)]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use rokopia::Repository;
use rokopia::blob::{Count, FileSystem, Throttle};
use rokopia::crypto::Password;
use rokopia::restore::Restore;
use rokopia::snapshot::Snapshots;
use rokopia::testkit::{Options, RepositoryWriter, Shape};

/// Set for a process that does one restore.
const CHILD: &str = "ROKOPIA_BENCH_CHILD";

struct Settings {
    workloads: Vec<String>,
    rounds: usize,
    scale: u64,
    repository: Option<PathBuf>,
    password: String,
    scratch: PathBuf,
    delay_ms: u64,
}

impl Settings {
    fn parse() -> Self {
        let mut settings = Self {
            workloads: Vec::new(),
            rounds: 5,
            scale: 25,
            repository: None,
            password: "testkit".into(),
            scratch: PathBuf::from("/dev/shm"),
            delay_ms: 0,
        };
        let mut args = std::env::args().skip(1);
        while let Some(arg) = args.next() {
            let mut value = || args.next().unwrap();
            match arg.as_str() {
                "--rounds" => settings.rounds = value().parse().unwrap(),
                "--scale" => settings.scale = value().parse().unwrap(),
                "--repository" => settings.repository = Some(value().into()),
                "--password" => settings.password = value(),
                "--scratch" => settings.scratch = value().into(),
                "--delay-ms" => settings.delay_ms = value().parse().unwrap(),
                "--bench" => {}
                workload => settings.workloads.push(workload.to_owned()),
            }
        }
        if settings.workloads.is_empty() {
            settings.workloads = ["mixed", "big", "small"].map(String::from).to_vec();
        }
        settings
    }

    fn shape(&self, workload: &str) -> Shape {
        let part = |whole: u64| whole * self.scale / 100;
        match workload {
            "big" => Shape::OneBig { bytes: part(6 << 30) },
            "small" => Shape::Small { files: part(150_000) },
            "tiny" => Shape::Tiny { files: part(1_000_000) },
            _ => Shape::mixed(part(4 << 30)),
        }
    }
}

/// What one restore took.
#[derive(Clone, Copy, Default)]
struct Figures {
    seconds: f64,
    /// Of several, the slowest.
    worst: f64,
    cpu: f64,
    peak_mib: f64,
}

fn main() {
    if let Ok(child) = std::env::var(CHILD) {
        return restore_once(&child);
    }
    let settings = Settings::parse();
    let work = settings.scratch.join(format!("rokopia-bench-{}", std::process::id()));
    std::fs::create_dir_all(&work).unwrap();
    for workload in &settings.workloads {
        measure(&settings, workload, &work);
    }
    std::fs::remove_dir_all(&work).unwrap();
}

/// One restore in a process of its own, as `REPOSITORY\nTARGET\nPASSWORD\nDELAY` says, without a target to nowhere. Prints files, bytes, requests and
/// bytes read.
fn restore_once(child: &str) {
    let fields: Vec<&str> = child.split('\n').collect();
    let delay = Duration::from_millis(fields[3].parse().unwrap());
    let store =
        Count::new(std::sync::Arc::new(Throttle::delayed(FileSystem::open(fields[0]).unwrap(), delay)));
    let repository = Repository::open(store.clone(), &Password::new(fields[2])).unwrap();
    let catalog = repository.catalog().unwrap();
    let snapshot = Snapshots::new(catalog.manifests()).all().latest().unwrap();
    let contents = repository.contents().unwrap();
    let restore = Restore::new(&contents, snapshot.root.as_ref().unwrap());
    let summary = if fields[1].is_empty() { restore.run_to_null(&()) } else { restore.run(fields[1], &()) };
    let summary = summary.unwrap();
    assert_eq!(summary.error_count, 0, "{:?}", summary.errors);
    let counts = store.counts();
    println!("{} {} {} {}", summary.files, summary.bytes, counts.reads + counts.lists, counts.bytes);
}

fn measure(settings: &Settings, workload: &str, work: &Path) {
    let repository = settings.repository.clone().unwrap_or_else(|| {
        let path = work.join(workload);
        let mut writer = RepositoryWriter::create(&path, Options::default()).unwrap();
        let tree = settings.shape(workload).tree(1).unwrap();
        let root = writer.write_tree(&tree).unwrap();
        writer.snapshot(&"bench@host:/data".parse().unwrap(), &root);
        writer.finish().unwrap();
        path
    });
    let mount = mount(settings, &repository, work);
    let seen = mount.as_ref().unwrap_or(&repository);
    let delay = if mount.is_some() { 0 } else { settings.delay_ms };
    let target = work.join("target");
    let kopias = kopias(settings, seen, work);
    let mut figures = vec![Vec::new(); 1 + kopias.len()];
    let (mut copies, mut readings) = (Vec::new(), Vec::new());
    let mut said = String::new();
    let ours = |target: &str| {
        let mut ours = Command::new(std::env::current_exe().unwrap());
        let fields = [seen.to_str().unwrap(), target, &settings.password, &delay.to_string()];
        ours.env(CHILD, fields.join("\n"));
        run(&mut ours)
    };
    for _ in 0..settings.rounds {
        let (taken, output) = ours(target.to_str().unwrap());
        figures[0].push(taken);
        said = output;
        let copy = work.join("copy");
        copies.push(run(Command::new("cp").arg("-a").arg(&target).arg(&copy)).0);
        for restored in [&copy, &target] {
            let _ = std::fs::remove_dir_all(restored);
        }
        readings.push(ours("").0);
        for (number, (name, arguments)) in kopias.iter().enumerate() {
            let _ = std::fs::remove_dir_all(cache_of(work, name).join("contents"));
            let mut kopia = Command::new(kopia_path());
            kopia.args(arguments).arg(&target);
            figures[number + 1].push(run(&mut kopia).0);
            let _ = std::fs::remove_dir_all(&target);
        }
    }
    let numbers: Vec<f64> = said.split_whitespace().map(|number| number.parse().unwrap()).collect();
    let [files, bytes, requests, read] = numbers[..] else { return };
    let ours = median(&figures[0]);
    println!(
        "{workload}: {:.2} s (worst {:.2}), {:.0} MiB/s, {:.0} files/s, {:.2} CPU s, {:.0} MiB resident, {requests} requests, {:.0} MiB read",
        ours.seconds,
        ours.worst,
        bytes / ours.seconds / f64::from(1 << 20),
        files / ours.seconds,
        ours.cpu,
        ours.peak_mib,
        read / f64::from(1 << 20),
    );
    let (copy, reading) = (median(&copies), median(&readings));
    println!(
        "  the machine: cp -a of the result {:.2} s, {:.2} CPU s; to nowhere {:.2} s, {:.2} CPU s",
        copy.seconds, copy.cpu, reading.seconds, reading.cpu
    );
    for ((name, _), figures) in kopias.iter().zip(&figures[1..]) {
        let kopia = median(figures);
        println!(
            "  kopia {name}: {:.2} s ({:.2} times ours), {:.2} CPU s ({:.1} times), {:.0} MiB resident",
            kopia.seconds,
            kopia.seconds / ours.seconds,
            kopia.cpu,
            kopia.cpu / ours.cpu,
            kopia.peak_mib
        );
    }
    if let Some(mount) = mount {
        Command::new("fusermount3").arg("-u").arg(mount).status().unwrap();
    }
    if settings.repository.is_none() {
        std::fs::remove_dir_all(&repository).unwrap();
    }
}

/// Mounts the repository on a file system with latency, if there is one.
fn mount(settings: &Settings, repository: &Path, work: &Path) -> Option<PathBuf> {
    let latfs = std::env::var_os("LATFS").filter(|_| settings.delay_ms > 0)?;
    let mount = work.join("slow");
    std::fs::create_dir_all(&mount).unwrap();
    let delay = settings.delay_ms * 1000;
    let options =
        format!("src={},delay_us={delay},max_threads=256,max_idle_threads=256", repository.display());
    Command::new(latfs).args(["-o", &options]).arg(&mount).status().unwrap();
    Some(mount)
}

fn kopia_path() -> std::ffi::OsString {
    std::env::var_os("KOPIA").unwrap_or_else(|| "kopia".into())
}

fn cache_of(work: &Path, way: &str) -> PathBuf {
    work.join(format!("{way}.cache"))
}

/// The ways in which Kopia is run, and the arguments of each but the target. None if there is no Kopia.
fn kopias(settings: &Settings, repository: &Path, work: &Path) -> Vec<(&'static str, Vec<String>)> {
    let quiet = |command: &mut Command| {
        command.stdout(Stdio::null()).stderr(Stdio::null()).stdin(Stdio::null()).status()
    };
    if !quiet(Command::new(kopia_path()).arg("--version")).is_ok_and(|status| status.success()) {
        return Vec::new();
    }
    let mut ways = Vec::new();
    for name in ["default", "tuned"] {
        let config = work.join(format!("{name}.config"));
        let base = vec![
            format!("--config-file={}", config.display()),
            format!("--password={}", settings.password),
            "--log-dir".to_owned(),
            work.join("log").display().to_string(),
        ];
        let mut connect = Command::new(kopia_path());
        connect.args(&base).args(["repository", "connect", "filesystem", "--readonly"]);
        connect.arg("--path").arg(repository).arg("--cache-directory").arg(cache_of(work, name));
        if name == "tuned" {
            connect.args(["--content-cache-size-mb=0", "--content-cache-size-limit-mb=0"]);
        }
        assert!(quiet(&mut connect).unwrap().success(), "kopia cannot connect");
        let list = Command::new(kopia_path())
            .args(&base)
            .args(["snapshot", "list", "--all", "--json"])
            .output()
            .unwrap();
        let list: serde_json::Value = serde_json::from_slice(&list.stdout).unwrap();
        let id = list.as_array().unwrap().last().unwrap()["id"].as_str().unwrap().to_owned();
        let mut arguments = base;
        if name == "tuned" {
            arguments.extend(["--disable-file-logging", "--disable-content-log"].map(String::from));
        }
        arguments.extend(["snapshot", "restore"].map(String::from));
        if name == "tuned" {
            arguments.extend(["--no-progress", "--parallel=32"].map(String::from));
        }
        arguments.push(id);
        ways.push((name, arguments));
    }
    ways
}

/// Runs a command to its end, watching its memory.
fn run(command: &mut Command) -> (Figures, String) {
    let cpu = || {
        let usage = getrusage(UsageWho::RUSAGE_CHILDREN).unwrap();
        let seconds = |time: nix::sys::time::TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
        seconds(usage.user_time()) + seconds(usage.system_time())
    };
    let (before, started) = (cpu(), Instant::now());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let status = format!("/proc/{}/status", child.id());
    let mut peak_mib = 0.0f64;
    let ended = loop {
        if let Some(ended) = child.try_wait().unwrap() {
            break ended;
        }
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let peak = text.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB"));
        peak_mib = peak_mib.max(peak.and_then(|peak| peak.parse::<f64>().ok()).unwrap_or_default() / 1024.0);
        std::thread::sleep(Duration::from_millis(5));
    };
    assert!(ended.success(), "{command:?} failed");
    let seconds = started.elapsed().as_secs_f64();
    let figures = Figures { seconds, worst: seconds, cpu: cpu() - before, peak_mib };
    let output = std::io::read_to_string(child.stdout.take().unwrap()).unwrap();
    (figures, output)
}

fn median(all: &[Figures]) -> Figures {
    let middle = |of: fn(&Figures) -> f64| {
        let mut values: Vec<f64> = all.iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    Figures {
        seconds: middle(|f| f.seconds),
        worst: all.iter().map(|f| f.worst).fold(0.0, f64::max),
        cpu: middle(|f| f.cpu),
        peak_mib: all.iter().map(|f| f.peak_mib).fold(0.0, f64::max),
    }
}

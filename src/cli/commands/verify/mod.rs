//! `rokopia verify`: whether every byte is still good, and what is lost where not.

mod text;

use std::path::PathBuf;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::Error;
use crate::cli::context::{Context, wrong_value};
use crate::cli::failure::{Exit, Failure};
use crate::cli::output::Output;
use crate::cli::signals::CleanUp;
use crate::cli::units;
use crate::verify::{Level, Progress, Report, Settings, Shard, verify};

/// How often a log is told how far it is.
const INTERVAL: Duration = Duration::from_secs(10);

/// Read everything back, and say what is damaged and which paths of which snapshots are lost by it
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Levels, each including the former: index (everything is where the indexes say), decrypt (every content authenticates),
hash (every content is what its name says), files (every file of every snapshot can be put together).

Exit codes: 0 nothing needed is damaged; 1 damage; 3 something could not be checked.

Examples:
  rokopia --repo /mnt/kopia verify
  rokopia verify --level decrypt --rate 50MB --max-duration 2h
  rokopia verify --json | jq '.damage[].paths[]'")]
pub(in crate::cli) struct Args {
    /// How far to go: index, decrypt, hash or files
    #[arg(long, value_name = "LEVEL", default_value = "files")]
    level: Level,

    /// Stop reading after this time, such as 2h30m
    #[arg(long, value_name = "TIME")]
    max_duration: Option<String>,

    /// Read no faster than this in a second, such as 50MB
    #[arg(long, value_name = "SIZE")]
    rate: Option<String>,

    /// Only part I of N of the packs, I from 0
    #[arg(long, value_name = "I/N")]
    shard: Option<Shard>,

    /// Packs read at the same time: one keeps a disk from seeking, a network file system may want more
    #[arg(long, value_name = "N", default_value_t = 1)]
    streams: usize,

    /// Write the JSON report to a file as well
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
}

impl Args {
    pub(in crate::cli) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let settings = self.settings(context)?;
        let repository = context.repository()?;
        let clean_up = CleanUp::new();
        let told = Mutex::new(Instant::now());
        let report = verify(&repository, &settings, &clean_up.flag(), &|progress| tell(&told, progress))
            .map_err(|e| Failure::from(Error::from(e)).during("verifying"))?;
        if let Some(path) = &self.report {
            write_report(path, &report)?;
        }
        let mut out = Output::new();
        if context.json {
            out.json(&report)?;
        } else {
            out.bytes(text::text(&report).as_bytes())?;
        }
        out.finish()?;
        Ok(match report.exit_code() {
            0 => Exit::Done,
            1 => Exit::Negative,
            _ => Exit::Unknown,
        })
    }

    fn settings(&self, context: &Context) -> Result<Settings, Failure> {
        let max_duration = self.max_duration.as_ref().map(|text| {
            units::duration(text).ok_or_else(|| wrong_value("--max-duration", text, "a time such as 2h30m"))
        });
        let rate = self.rate.as_ref().map(|text| {
            let size = units::size(text.trim_end_matches("/s")).filter(|size| *size > 0);
            size.ok_or_else(|| wrong_value("--rate", text, "a size such as 50MB"))
        });
        Ok(Settings {
            level: self.level,
            threads: context.threads,
            reads: self.streams.clamp(1, 64),
            memory: context.memory,
            max_duration: max_duration.transpose()?,
            rate: rate.transpose()?,
            shard: self.shard.unwrap_or(Shard::WHOLE),
        })
    }
}

fn tell(told: &Mutex<Instant>, progress: &Progress) {
    let Ok(mut told) = told.try_lock() else { return };
    if told.elapsed() >= INTERVAL {
        *told = Instant::now();
        tracing::info!(
            "{} of {} packs, {} of {}, {} contents damaged",
            progress.packs,
            progress.of_packs,
            units::human_size(progress.bytes),
            units::human_size(progress.of_bytes),
            progress.damaged
        );
    }
}

/// Complete under its name, or not there.
fn write_report(path: &std::path::Path, report: &Report) -> Result<(), Failure> {
    let failed = |e: std::io::Error| Failure::output(e).during(&path.display().to_string());
    let mut json = serde_json::to_vec_pretty(report).map_err(|e| failed(e.into()))?;
    json.push(b'\n');
    let mut partial = path.as_os_str().to_owned();
    partial.push(".partial");
    std::fs::write(&partial, json).and_then(|()| std::fs::rename(&partial, path)).map_err(failed)
}

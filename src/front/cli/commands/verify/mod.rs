//! `rokopia verify`: whether every byte is still good, and what is lost where not.

mod drill;
mod html;
mod idle;
mod prometheus;
mod recovery;
mod text;
mod words;

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::builder::{PossibleValuesParser, TypedValueParser};

use crate::blob::{Guard, WritablePath};
use crate::front::cli::context::{Context, wrong_value};
use crate::front::cli::failure::{Exit, Failure};
use crate::front::cli::open_repository::OpenRepository;
use crate::front::cli::output::Output;
use crate::front::cli::progress::Verifying;
use crate::front::cli::signals::CleanUp;
use crate::front::cli::units;
use crate::verify::{
    Ledger, Level, MergedLedgers, Order, Progress, Report, Settings, Shard, Verifier, write_repaired,
};
use crate::{Error, Repository};

/// The exporter that serves metrics is another user, and they name no files.
const FOR_EVERYBODY: u32 = 0o644;

/// How an Indexed Job of Kubernetes tells its pods apart.
const INDEX_VARIABLE: &str = "JOB_COMPLETION_INDEX";

/// Read the repository back and report what is damaged
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Levels, each of which includes those before it:
  index      every content is where the index says
  decrypt    every content can be decrypted and authenticated
  hash       every content has the hash that its ID says
  files      every file of every snapshot can be assembled

Exit codes: 0 no damage found, also where --budget or --max-duration ended the run; 1 damage; 3 something could not be \
checked. With -q, nothing is printed unless the exit code is another than 0, so that cron sends mail only then.

Examples:
  rokopia --repo /mnt/kopia verify
  rokopia verify -q --ledger /var/lib/rokopia/ledger --budget 200GiB   by cron
  rokopia verify --level decrypt --rate 50MB --max-duration 2h
  rokopia verify --json | jq '.damage[].paths[]'")]
pub(in crate::front::cli) struct Args {
    /// How much to check
    #[arg(long, value_name = "LEVEL", default_value = "files", value_parser = one_of::<Level>(Level::ALL.map(Level::as_str)))]
    level: Level,

    /// File that remembers what was verified when, for checks that are spread over several runs
    #[arg(long, value_name = "FILE")]
    ledger: Option<PathBuf>,

    /// If the ledger is damaged or not a ledger, rename it to FILE.old and start a new one
    #[arg(long, requires = "ledger")]
    reset_ledger: bool,

    /// Accept that snapshots recorded in the ledger are gone
    #[arg(long, requires = "ledger")]
    accept_missing_snapshots: bool,

    /// Skip what was verified within this time, such as 30d
    #[arg(long, value_name = "TIME", requires = "ledger")]
    max_age: Option<String>,

    /// Stop after reading this much, such as 200GiB; with a ledger the next run continues with what was verified longest
    /// ago
    #[arg(long, value_name = "SIZE")]
    budget: Option<String>,

    /// Read in the order of the disk, or what was verified longest ago first
    #[arg(long, value_name = "ORDER", default_value = "disk", value_parser = one_of::<Order>(["disk", "oldest"]))]
    order: Order,

    /// Use the disk and the CPUs only when other programs do not
    #[arg(long)]
    idle: bool,

    /// Stop reading after this time, such as 2h30m
    #[arg(long, value_name = "TIME")]
    max_duration: Option<String>,

    /// Maximum read rate per second, such as 50MB
    #[arg(long, value_name = "SIZE")]
    rate: Option<String>,

    /// Verify only part I of N of the packs, counted from 0; if only N is given, I is the value of JOB_COMPLETION_INDEX
    #[arg(long, value_name = "I/N")]
    shard: Option<String>,

    /// Read no packs: merge the ledgers of several runs, such as those of --shard, and report on them
    #[arg(long, value_name = "LEDGER", num_args = 1.., conflicts_with_all = ["ledger", "shard", "budget"])]
    merge: Vec<PathBuf>,

    /// Show what could be restored if lost index blobs were rebuilt from the packs; nothing is verified
    #[arg(long, conflicts_with_all = ["merge", "ledger"])]
    recover_index: bool,

    /// Verify only what this snapshot needs; may be repeated
    #[arg(long, value_name = "REF", conflicts_with_all = ["merge", "shard", "ledger", "recover_index", "drill"])]
    snapshot: Vec<String>,

    /// Write corrected copies of blobs that error correction can repair to this directory
    #[arg(long, value_name = "DIR")]
    write_repaired: Option<PathBuf>,

    /// Packs read at the same time: 1 suits a hard disk, more may suit a network file system
    #[arg(long, value_name = "N", default_value_t = 1)]
    streams: usize,

    /// Also write the JSON report to this file
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,

    /// Also write the report to this file as a web page
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,

    /// Also write metrics to this file, for the textfile collector of Prometheus
    #[arg(long, value_name = "FILE")]
    textfile: Option<PathBuf>,

    #[command(flatten)]
    drill: drill::Options,
}

impl Args {
    pub(in crate::front::cli) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let mut settings = self.settings(context)?;
        if self.idle {
            idle::give_way();
        }
        let context = &self.confined(context);
        if !self.drill.drill.is_empty() {
            return drill::run(&self.drill, context);
        }
        let repository = match self.snapshot.is_empty() {
            true => context.repository()?,
            false => self.choose(context, &mut settings)?,
        };
        if self.recover_index {
            return recovery::run(&repository, context);
        }
        let clean_up = CleanUp::new();
        let flag = clean_up.flag();
        let shown = Verifying::new(context);
        let progress = |progress: &Progress| shown.show(progress);
        let ledger = self.ledger(&repository)?;
        let merged = self.merged(&repository)?;
        let mut verifier = Verifier::new(&repository, &settings).interrupted(&flag).progress(&progress);
        if let Some(ledger) = &ledger {
            verifier = verifier.ledger(ledger);
        }
        if let Some(merged) = &merged {
            verifier = verifier.merged(merged);
        }
        let report = verifier.run().map_err(failed)?;
        shown.finish();
        self.put_out(context, &report, &repository.store().guard())?;
        if let Some(dir) = &self.write_repaired {
            for path in write_repaired(&repository, &report, dir).map_err(failed)? {
                tracing::info!("wrote {}", path.display());
            }
        }
        Ok(match report.exit_code() {
            0 => Exit::Done,
            1 => Exit::Negative,
            _ => Exit::Unknown,
        })
    }

    /// The command reads and writes what its options name, and nothing else.
    fn confined(&self, context: &Context) -> Context {
        let outputs = [&self.ledger, &self.report, &self.html, &self.textfile, &self.write_repaired];
        let drill = self.drill.to.as_deref().filter(|to| *to != drill::NULL).map(PathBuf::from);
        let outputs = outputs.into_iter().flatten().chain(&drill).chain(&self.drill.drill_log);
        let context = match self.drill.exec {
            // A program of the user's is among what the sandbox forbids.
            Some(_) => context.unconfined(),
            None => context.clone(),
        };
        context.uncached().reading(&self.merge).writing(outputs)
    }

    /// Finds the snapshots that are asked for.
    fn choose(&self, context: &Context, settings: &mut Settings) -> Result<Repository, Failure> {
        let mut repo = OpenRepository::open(context)?;
        let mut chosen = Vec::new();
        for reference in &self.snapshot {
            let found = repo.find(reference)?;
            let snapshot = found.snapshot().ok_or_else(|| {
                Failure::wrong_usage(format!("--snapshot {reference:?} is an object, no snapshot"))
            })?;
            chosen.push(snapshot.id.to_string());
        }
        settings.snapshots = Some(chosen);
        Ok(repo.repository)
    }

    fn shard(&self) -> Result<Shard, Failure> {
        let Some(text) = &self.shard else { return Ok(Shard::WHOLE) };
        let part = match text.contains('/') {
            true => text.parse().ok(),
            false => {
                std::env::var(INDEX_VARIABLE).ok().and_then(|index| format!("{index}/{text}").parse().ok())
            }
        };
        let wanted = format!("I/N with I below N, or N where {INDEX_VARIABLE} is I");
        part.ok_or_else(|| wrong_value("--shard", text, &wanted))
    }

    fn ledger(&self, repository: &Repository) -> Result<Option<Ledger>, Failure> {
        let Some(path) = &self.ledger else { return Ok(None) };
        let open = if self.reset_ledger { Ledger::open_or_reset } else { Ledger::open };
        let ledger = open(path, repository).map_err(failed);
        ledger.map(Some).map_err(|failure| failure.path(path.display().to_string()))
    }

    fn merged(&self, repository: &Repository) -> Result<Option<MergedLedgers>, Failure> {
        if self.merge.is_empty() {
            return Ok(None);
        }
        Ledger::merged(&self.merge, repository.format()).map(Some).map_err(failed)
    }

    fn put_out(&self, context: &Context, report: &Report, guard: &Guard) -> Result<(), Failure> {
        if let Some(path) = &self.report {
            let mut json = serde_json::to_vec_pretty(report).map_err(|e| Failure::output(e.into()))?;
            json.push(b'\n');
            write_whole(&guard.writable(path)?, &json, None)?;
        }
        if let Some(path) = &self.html {
            write_whole(&guard.writable(path)?, html::html(report).as_bytes(), None)?;
        }
        if let Some(path) = &self.textfile {
            let metrics = prometheus::metrics(report);
            write_whole(&guard.writable(path)?, metrics.as_bytes(), Some(FOR_EVERYBODY))?;
        }
        let mut out = Output::new();
        if context.json {
            out.json_report(context.stats(), report)?;
        } else if !context.quiet || report.exit_code() != 0 {
            out.bytes(text::text(report).as_bytes())?;
        }
        out.finish()
    }

    fn settings(&self, context: &Context) -> Result<Settings, Failure> {
        Ok(Settings {
            level: self.level,
            threads: context.threads,
            reads: self.streams.clamp(1, 64),
            memory: context.memory.bytes(),
            max_duration: span("--max-duration", self.max_duration.as_deref())?,
            rate: amount("--rate", self.rate.as_deref().map(|text| text.trim_end_matches("/s")))?,
            shard: self.shard()?,
            budget: match self.merge.is_empty() {
                true => amount("--budget", self.budget.as_deref())?,
                false => Some(0),
            },
            max_age: span("--max-age", self.max_age.as_deref())?,
            order: self.order,
            snapshots: None,
            accept_missing_snapshots: self.accept_missing_snapshots,
        })
    }
}

/// Reads one of a few words, which help and completion list.
fn one_of<T: FromStr<Err = String> + Clone + Send + Sync + 'static>(
    words: impl IntoIterator<Item = &'static str>,
) -> impl TypedValueParser<Value = T> {
    PossibleValuesParser::new(words).try_map(|word| word.parse::<T>())
}

fn failed(error: crate::verify::Error) -> Failure {
    Failure::from(Error::from(error)).during("verifying")
}

fn span(option: &str, text: Option<&str>) -> Result<Option<Duration>, Failure> {
    let parse = |text| units::duration(text).ok_or_else(|| wrong_value(option, text, "a time such as 2h30m"));
    text.map(parse).transpose()
}

fn amount(option: &str, text: Option<&str>) -> Result<Option<u64>, Failure> {
    let parse = |text| {
        let size = units::size_with_unit(text).filter(|size| *size > 0);
        size.ok_or_else(|| wrong_value(option, text, "a size with its unit such as 50MB"))
    };
    text.map(parse).transpose()
}

/// Complete under its name, or not there.
fn write_whole(path: &WritablePath, bytes: &[u8], mode: Option<u32>) -> Result<(), Failure> {
    let failed = |e: std::io::Error| Failure::output(e).during(&path.as_path().display().to_string());
    path.replace(bytes, mode).map_err(failed)
}

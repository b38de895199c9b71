//! `rokopia audit`: how healthy the backups of each source are.

mod claims;
mod html;
#[cfg(feature = "verify")]
mod metrics;
mod stores;

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;

use crate::audit::health::{Health, HealthFinding};
use crate::audit::{Audit, Expectations, Finding, Severity, SourceAudit, StoreFinding, audit};
use crate::blob::WritablePath;
use crate::checker::Candidates;
use crate::front::cli::context::{Context, wrong_value};
use crate::front::cli::failure::{Exit, Failure};
use crate::front::cli::output::{Output, Table, escape};
use crate::front::cli::source_template::SourceTemplate;
use crate::front::cli::stores::OtherStores;
use crate::front::cli::units::{self, human_size, human_span};
use crate::snapshot::UtcTimestamp;
use crate::text::counted;
use stores::{ComparedLine, Comparison, Opened, StoreLine};

/// The exporter that serves metrics is another user.
#[cfg(feature = "verify")]
const FOR_EVERYBODY: u32 = 0o644;

/// Check that every source has a recent, complete and plausible backup
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Without a limit, the age of a backup is judged by the source's own history. Notices do not change the exit code.

FILE has one line for each source that must be there, with an optional limit for its age; a line with * or ? requires \
nothing and only sets a limit for the sources that it matches. `#` begins a comment:
  data-demo@apps:/data
  photos@media:/data      2d
  *@monitoring:*          30d

With --with, the report also says how old each source is in each repository, and which repository is behind by more than \
the limit of the source, or 26 hours if it has none. A repository that cannot be read is critical.

Exit codes: 0 all good, 1 a warning or worse, 3 the repository cannot be read, 4 the list may be incomplete.

Examples:
  rokopia audit --max-age 26h
  rokopia audit --expect claims.txt --html report.html
  kubectl get pvc -A -l backup -o json >pvc.json
  rokopia audit --expect-claims pvc.json
  rokopia audit --with s3://bucket/kopia --with restic:/mnt/restic
  rokopia audit --json | jq '.sources[] | select(.findings != [])'")]
pub(in crate::front::cli) struct Args {
    /// Maximum age of the newest complete snapshot of each source for which --expect sets no limit
    #[arg(long, value_name = "DURATION")]
    max_age: Option<String>,

    /// Sources that must be there, and limits for their ages
    #[arg(long, value_name = "FILE")]
    expect: Option<PathBuf>,

    /// Claims that must have a backup: what `kubectl get pvc -A -o json` prints
    #[arg(long, value_name = "FILE")]
    expect_claims: Option<PathBuf>,

    #[command(flatten)]
    source_template: SourceTemplate,

    #[command(flatten)]
    others: OtherStores,

    /// Also write the report to this file as a web page
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,

    /// Also write metrics to this file, for the textfile collector of Prometheus
    #[cfg(feature = "verify")]
    #[arg(long, value_name = "FILE")]
    textfile: Option<PathBuf>,
}

#[derive(Serialize)]
struct Report<'a> {
    ok: bool,
    complete: bool,
    time: UtcTimestamp,
    sources: Vec<Line<'a>>,
    /// How the repository is looked after.
    #[serde(skip_serializing_if = "Option::is_none")]
    repository: Option<HealthLine<'a>>,
    /// The stores, where there are several.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    stores: Vec<StoreLine<'a>>,
    /// Each source in each of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    compared: Vec<ComparedLine<'a>>,
}

#[derive(Serialize)]
struct HealthLine<'a> {
    index_blobs: usize,
    /// Who runs maintenance.
    #[serde(skip_serializing_if = "Option::is_none")]
    maintenance_owner: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_full_maintenance: Option<UtcTimestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_maintenance: Option<UtcTimestamp>,
    findings: Vec<FindingLine>,
}

impl<'a> HealthLine<'a> {
    fn of(health: &'a Health, now: UtcTimestamp) -> Self {
        let owner = health.parameters.as_ref().map(|parameters| parameters.owner.as_str());
        Self {
            index_blobs: health.index_blobs,
            maintenance_owner: owner.filter(|owner| !owner.is_empty()),
            next_full_maintenance: health.next_full(),
            last_maintenance: health.last_success(),
            findings: health.findings(now).iter().map(FindingLine::of_health).collect(),
        }
    }
}

#[derive(Serialize)]
struct Line<'a> {
    source: String,
    user: &'a str,
    host: &'a str,
    path: &'a str,
    snapshots: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    newest: Option<NewestLine<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_age_seconds: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_age_given: Option<bool>,
    findings: Vec<FindingLine>,
}

#[derive(Serialize)]
struct NewestLine<'a> {
    id: &'a str,
    time: UtcTimestamp,
    age_seconds: i64,
    size: i64,
    files: i64,
}

#[derive(Serialize)]
struct FindingLine {
    code: &'static str,
    severity: &'static str,
    message: String,
    help: &'static str,
}

impl Args {
    pub(in crate::front::cli) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let expectations = self.expectations()?;
        let claims = self.claims()?;
        let context = &self.confined(context);
        let first = Opened::read(context)?;
        let mut stores = vec![first];
        stores.extend(self.others.contexts(context).map(|context| Opened::try_read(&context)));
        let now = UtcTimestamp::now();
        let first = stores.first();
        let certain = first.is_some_and(|first| first.complete);
        let states = first.map(|first| first.states.as_slice()).unwrap_or_default();
        let expectations = expectations.expecting(claims::sources(&claims, states));
        let audit = audit(states, certain, &expectations, now);
        let compared = Comparison::of(stores, &audit);
        let good = audit.is_good() && compared.is_good();
        self.put_out(&audit, certain, &compared, now)?;
        let mut out = Output::new();
        if context.json {
            out.json_report(
                context.stats(),
                &Report {
                    ok: good,
                    complete: certain,
                    time: now,
                    sources: audit.sources.iter().map(Line::of).collect(),
                    repository: compared.health().map(|health| HealthLine::of(health, now)),
                    stores: match compared.stores.as_slice() {
                        [_] => Vec::new(),
                        stores => stores.iter().map(StoreLine::of).collect(),
                    },
                    compared: compared.lines(now),
                },
            )?;
        } else {
            print(&audit, &mut out)?;
            for finding in compared.health().map(|health| health.findings(now)).unwrap_or_default() {
                let (severity, code) = (finding.severity().as_str(), finding.code());
                out.line(format!("{severity}[{code}]: {}", escape(&finding.to_string())))?;
                out.line(format!("  help: {}", finding.cure()))?;
            }
            if !context.quiet {
                table(&audit, &mut out)?;
            }
            compared.print(now, context.quiet, &mut out)?;
        }
        out.finish()?;
        Ok(match (good, certain) {
            (false, _) => Exit::Negative,
            (true, false) => Exit::Partial,
            (true, true) => Exit::Done,
        })
    }

    /// The command writes what its options name. Several stores are opened one after the other, which a sandbox forbids.
    fn confined(&self, context: &Context) -> Context {
        #[cfg(feature = "verify")]
        let outputs = self.html.iter().chain(&self.textfile);
        #[cfg(not(feature = "verify"))]
        let outputs = self.html.iter();
        if self.others.is_empty() { context.writing(outputs) } else { context.unconfined().writing(outputs) }
    }

    fn put_out(
        &self,
        audit: &Audit,
        certain: bool,
        compared: &Comparison,
        now: UtcTimestamp,
    ) -> Result<(), Failure> {
        if let Some(path) = &self.html {
            let page = html::html(audit, certain, compared, now);
            write_whole(&stores::writable(&compared.stores, path)?, page.as_bytes(), None)?;
        }
        #[cfg(feature = "verify")]
        if let Some(path) = &self.textfile {
            let metrics = metrics::metrics(audit, certain, compared, now);
            write_whole(&stores::writable(&compared.stores, path)?, metrics.as_bytes(), Some(FOR_EVERYBODY))?;
        }
        Ok(())
    }

    fn claims(&self) -> Result<Vec<Candidates>, Failure> {
        let Some(path) = &self.expect_claims else { return Ok(Vec::new()) };
        claims::read(path, &self.source_template.parse().map_err(Failure::wrong_usage)?)
    }

    fn expectations(&self) -> Result<Expectations, Failure> {
        let limit = |text: &String| {
            units::duration(text).ok_or_else(|| wrong_value("--max-age", text, "a duration such as 26h"))
        };
        let default = self.max_age.as_ref().map(limit).transpose()?;
        let listed = self.expect.as_deref().map(read).transpose()?.unwrap_or_default();
        Ok(listed.with_default_limit(default))
    }
}

fn write_whole(path: &WritablePath, bytes: &[u8], mode: Option<u32>) -> Result<(), Failure> {
    path.replace(bytes, mode).map_err(|e| {
        let what = format!("writing {}: {e}", path.as_path().display());
        Failure::new(Exit::Partial, "output-failed", what)
    })
}

fn read(path: &Path) -> Result<Expectations, Failure> {
    let wrong = |reason: String| Failure::wrong_usage(format!("--expect {}: {reason}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|e| wrong(e.to_string()))?;
    text.parse().map_err(|e: crate::audit::InvalidExpectations| wrong(e.to_string()))
}

impl<'a> Line<'a> {
    fn of(audited: &'a SourceAudit) -> Self {
        let source = &audited.source;
        Self {
            source: source.to_string(),
            user: &source.user,
            host: &source.host,
            path: &source.path,
            snapshots: audited.snapshots,
            newest: audited.newest.as_ref().map(|newest| NewestLine {
                id: newest.id.as_str(),
                time: newest.time,
                age_seconds: newest.age_seconds,
                size: newest.size,
                files: newest.files,
            }),
            max_age_seconds: audited.limit.map(|limit| limit.age.as_secs()),
            max_age_given: audited.limit.map(|limit| limit.given),
            findings: audited.findings.iter().map(FindingLine::of).collect(),
        }
    }
}

impl FindingLine {
    fn new(code: &'static str, severity: Severity, finding: &impl ToString, help: &'static str) -> Self {
        Self { code, severity: severity.as_str(), message: finding.to_string(), help }
    }

    fn of_store(finding: &StoreFinding) -> Self {
        Self::new(finding.code(), finding.severity(), finding, finding.cure())
    }

    fn of_health(finding: &HealthFinding) -> Self {
        Self::new(finding.code(), finding.severity(), finding, finding.cure())
    }

    fn of(finding: &Finding) -> Self {
        Self::new(finding.code(), finding.severity(), finding, finding.cure())
    }
}

/// The findings with their cures.
fn print(audit: &Audit, out: &mut Output) -> Result<(), Failure> {
    for source in &audit.sources {
        for finding in &source.findings {
            let (severity, name) = (finding.severity().as_str(), source.source.to_string());
            out.line(format!(
                "{severity}[{}]: {}: {}",
                finding.code(),
                escape(&name),
                escape(&finding.to_string())
            ))?;
            if finding.severity() > Severity::Notice {
                out.line(format!("  help: {}", finding.cure()))?;
            }
        }
    }
    Ok(())
}

/// Why there is no limit for an age.
const UNJUDGED: &str = "fewer than five complete snapshots show no schedule";

/// A line for each source.
fn table(audit: &Audit, out: &mut Output) -> Result<(), Failure> {
    let mut table = Table::new(&["SOURCE", "SNAPSHOTS", "AGE", "MAX AGE", "SIZE", "STATE"], &[1, 2, 3, 4]);
    for source in &audit.sources {
        let seconds = |seconds: i64| u64::try_from(seconds).map(Duration::from_secs);
        let newest = source.newest.as_ref();
        let age =
            newest.map(|newest| seconds(newest.age_seconds).map_or("in the future".to_owned(), human_span));
        let size = newest.and_then(|newest| u64::try_from(newest.size).ok());
        table.row([
            source.source.to_string(),
            source.snapshots.to_string(),
            age.unwrap_or_else(|| "-".to_owned()),
            source.limit.map_or_else(|| "-".to_owned(), |limit| human_span(limit.age)),
            size.map_or_else(|| "-".to_owned(), human_size),
            state(source).to_owned(),
        ]);
    }
    table.print(out)?;
    match audit.sources.iter().filter(|source| source.is_age_unjudged()).count() as u64 {
        0 => Ok(()),
        unjudged => out.line(format!(
            "The age of {} was not judged: {UNJUDGED}; --max-age sets a limit.",
            counted(unjudged, "source")
        )),
    }
}

/// What is said of a source in one word or two.
fn state(source: &SourceAudit) -> &'static str {
    match source.worst() {
        Some(worst) => worst.as_str(),
        None if source.is_age_unjudged() => "age not judged",
        None => "ok",
    }
}

//! `rokopia doctor`: would a restore work from here, now?

mod machine;
mod repository;
mod service;
mod storage;

use std::path::PathBuf;

use serde::Serialize;

use crate::front::cli::context::Context;
use crate::front::cli::failure::{Exit, Failure};
use crate::front::cli::output::{Output, escape};

/// Check everything that a restore from this machine needs
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Run it before a rebuild, on the machine or in the pod where the restore will run. It reads the repository as a restore \
does and writes nothing, neither to the storage nor to DIR. If the storage can be written to, that is a warning, because \
rokopia only needs to read.

Exit codes: 0 nothing failed, 1 a check failed, 2 wrong usage.

Examples:
  rokopia doctor
  rokopia doctor --target /srv/data --source data-demo@apps:/data
  rokopia doctor --service http://rokopia.backup:8080 --json")]
pub(in crate::front::cli) struct Args {
    /// Directory that the data will be restored to; checks its free space and what its file system supports
    #[arg(long, value_name = "DIR")]
    target: Option<PathBuf>,

    /// A source that must have a backup; shows which snapshot a restore would choose. May be given several times
    #[arg(long, value_name = "SOURCE")]
    source: Vec<String>,

    /// Address of a running `rokopia serve`; checks that it is ready
    #[arg(long, value_name = "URL")]
    service: Option<String>,
}

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum State {
    /// As it should be.
    Ok,
    /// It could not be found out.
    NotChecked,
    /// A restore works, but not as well as it could.
    Warning,
    /// A restore does not work.
    Failed,
}

impl State {
    fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::NotChecked => "not checked",
            Self::Warning => "warning",
            Self::Failed => "FAILED",
        }
    }
}

/// One thing that was checked.
#[derive(Debug, Serialize)]
struct Check {
    check: &'static str,
    state: State,
    /// The code of the error, where one was met.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'static str>,
    message: String,
    /// What to do about it.
    help: Vec<String>,
}

/// All checks in the order in which a restore would meet them.
#[derive(Debug, Default)]
struct Report(Vec<Check>);

impl Report {
    fn add(&mut self, check: &'static str, state: State, message: impl Into<String>, help: &[&str]) {
        let help = help.iter().map(ToString::to_string).collect();
        self.0.push(Check { check, state, code: None, message: message.into(), help });
    }

    fn ok(&mut self, check: &'static str, message: impl Into<String>) {
        self.add(check, State::Ok, message, &[]);
    }

    fn failure(&mut self, check: &'static str, failure: &Failure) {
        let (message, help) = (failure.message.clone(), failure.help().to_vec());
        self.0.push(Check { check, state: State::Failed, code: Some(failure.code), message, help });
    }

    fn worst(&self) -> Option<State> {
        let order = |state: &State| *state as u8;
        self.0.iter().map(|check| check.state).max_by_key(order)
    }

    fn print(&self, context: &Context) -> Result<Exit, Failure> {
        #[derive(Serialize)]
        struct Json<'a> {
            ok: bool,
            checks: &'a [Check],
        }
        let ok = self.worst() != Some(State::Failed);
        let mut out = Output::new();
        if context.json {
            out.json_report(context.stats(), &Json { ok, checks: &self.0 })?;
        } else {
            for Check { check, state, message, help, .. } in &self.0 {
                if context.quiet && *state == State::Ok {
                    continue;
                }
                out.line(format!("{:<11}  {check:<10}  {}", state.word(), escape(message)))?;
                for line in help {
                    out.line(format!("{:25}help: {}", "", escape(line)))?;
                }
            }
        }
        out.finish()?;
        Ok(if ok { Exit::Done } else { Exit::Negative })
    }
}

impl Args {
    pub(in crate::front::cli) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let location = context.location()?;
        // What an earlier run has kept would hide what this one could not read.
        let context = &context.uncached();
        let mut report = Report::default();
        // First what a sandbox would hide.
        let room = machine::ManifestMemory::of(self.target.as_deref());
        let kernel = machine::kernel();
        let service = self.service.as_deref().map(service::check);
        if let Some(store) = storage::check(&location, &context.traffic(), &mut report) {
            context.prepare_outputs(&store.guard())?;
            let needed = repository::check(context, &store, &self.source, &mut report);
            if let Some(room) = room {
                room.check(&store.guard(), needed, &mut report);
            }
        }
        report.0.extend(kernel);
        report.0.extend(service);
        report.print(context)
    }
}

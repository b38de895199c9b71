//! `rokopia manifests`: all labelled entries of the repository.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::front::cli::context::{Context, wrong_value};
use crate::front::cli::failure::{Exit, Failure};
use crate::front::cli::open_repository::OpenRepository;
use crate::front::cli::output::{Output, Table};
use crate::front::cli::units::table_time;
use crate::manifest::GoTime;

/// List the manifests: snapshots, policies and others
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  rokopia manifests
  rokopia manifests --filter type:policy --json")]
pub(in crate::front::cli) struct Args {
    /// Only manifests with this label; may be repeated
    #[arg(long, value_name = "LABEL:VALUE")]
    filter: Vec<String>,
}

/// Fields and names of `kopia manifest list --json`.
#[derive(Serialize)]
struct Line<'a> {
    id: &'a str,
    length: usize,
    labels: &'a BTreeMap<String, String>,
    mtime: GoTime,
}

impl Args {
    pub(in crate::front::cli) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let labels: Vec<(&str, &str)> = self
            .filter
            .iter()
            .map(|text| text.split_once(':').ok_or_else(|| wrong_value("--filter", text, "LABEL:VALUE")))
            .collect::<Result<_, _>>()?;
        let mut repo = OpenRepository::open(context)?;
        let empty = repo.catalog.manifests().find(&labels).is_empty();
        let exit = repo.conclude("manifests", empty, &[], |_| true)?;
        let mut out = Output::new();
        let mut table = Table::new(&["ID", "TIME", "LENGTH", "LABELS"], &[2]);
        for manifest in repo.catalog.manifests().find(&labels) {
            let (labels, length) = (manifest.labels(), manifest.data().len());
            if context.json {
                out.json(&Line { id: manifest.id().as_str(), length, labels, mtime: manifest.modified() })?;
            } else {
                let labels: Vec<String> =
                    labels.iter().map(|(name, value)| format!("{name}:{value}")).collect();
                let time = table_time(manifest.modified().into());
                table.row([manifest.id().to_string(), time, length.to_string(), labels.join(" ")]);
            }
        }
        if !context.json {
            table.print(&mut out)?;
        }
        out.finish()?;
        Ok(exit)
    }
}

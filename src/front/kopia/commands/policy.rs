//! `kopia policy list` and `kopia policy show`.

use super::policy_rows;
use crate::front::kopia::connection::Connection;
use crate::front::kopia::failure::Failure;
use crate::front::kopia::grammar::{Argument, Command, Flag, Typed};
use crate::front::kopia::output::{JSON, List, Output};
use crate::snapshot::{Policies, Source};

const SHOW_FLAGS: &[Flag] = &[Flag::switch("global")];
const TARGETS: &[Argument] = &[Argument { name: "target", required: false, many: true }];

pub(super) const LIST: Command = Command::new(&["list", "ls"], &[JSON], &[], list);
pub(super) const SHOW: Command = Command::new(&["show", "get"], &[SHOW_FLAGS, JSON], TARGETS, show);

fn list(typed: &Typed) -> Result<(), Failure> {
    let catalog = Connection::open(typed)?.catalog()?;
    let policies = Policies::new(catalog.manifests());
    let mut out = Output::new();
    let mut list = List::begin(typed, &mut out)?;
    for defined in policies.all() {
        if typed.on("json") {
            let listed = defined.listed().map_err(crate::Error::from)?;
            list.item(&mut out, &listed.to_kopia_json().map_err(|e| Failure::new(e.to_string()))?)?;
        } else {
            out.line(format!("{} {}", defined.id, defined.target))?;
        }
    }
    list.end(&mut out)?;
    out.finish()
}

fn show(typed: &Typed) -> Result<(), Failure> {
    if typed.on("global") != typed.arguments.is_empty() {
        return Err(Failure::new("must pass either '--global' or a list of path targets"));
    }
    let connection = Connection::open(typed)?;
    let catalog = connection.catalog()?;
    let policies = Policies::new(catalog.manifests());
    let mut targets = vec![Source::default(); usize::from(typed.on("global"))];
    for text in &typed.arguments {
        targets.push(match policies.get(text) {
            Some(defined) => defined.target.clone(),
            None => connection.source(text)?,
        });
    }
    let mut out = Output::new();
    for target in targets {
        let failed =
            |e| Failure::new(format!("can't get effective policy for {:?}: {e}", target.to_string()));
        let policy = policies.effective(&target).map_err(failed)?;
        if typed.on("json") {
            out.json(typed, &policy.to_kopia_json().map_err(|e| Failure::new(e.to_string()))?)?;
        } else {
            let origins = policies.origins(&target).map_err(failed)?;
            out.line(policy_rows::text(&target, &policy, &origins))?;
        }
    }
    out.finish()
}

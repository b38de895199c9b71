//! `kopia manifest list` and `kopia manifest show`.

use crate::front::kopia::connection::Connection;
use crate::front::kopia::failure::Failure;
use crate::front::kopia::grammar::{Argument, Command, Flag, Kind, Typed};
use crate::front::kopia::json;
use crate::front::kopia::output::{JSON, List, Output};
use crate::front::kopia::text::Times;
use crate::gojson::write;
use crate::manifest::{ManifestId, TYPE_LABEL};

const FLAGS: &[Flag] = &[Flag::new("filter", Kind::Texts), Flag::new("sort", Kind::Texts)];
const ITEMS: &[Argument] = &[Argument { name: "item", required: true, many: true }];

pub(super) const LIST: Command = Command::new(&["list", "ls"], &[FLAGS, JSON], &[], list);
pub(super) const SHOW: Command = Command::new(&["show", "cat"], &[], ITEMS, show);

fn list(typed: &Typed) -> Result<(), Failure> {
    let mut labels = Vec::new();
    for filter in typed.texts("filter") {
        let label = filter.split_once(':').filter(|(key, _)| !key.is_empty());
        labels
            .push(label.ok_or_else(|| Failure::new(format!("invalid list filter {filter:?}, missing ':'")))?);
    }
    let catalog = Connection::open(typed)?.catalog()?;
    let mut found = catalog.manifests().find(&labels);
    let keys = typed.texts("sort");
    found.sort_by_cached_key(|manifest| {
        let sorted: Vec<String> =
            keys.iter().map(|key| manifest.label(key).unwrap_or_default().to_owned()).collect();
        (sorted, manifest.modified())
    });
    let times = Times::new(typed);
    let mut out = Output::new();
    let mut list = List::begin(typed, &mut out)?;
    for manifest in found {
        if typed.on("json") {
            let item = write::to_string(&manifest.metadata()).map_err(|e| Failure::new(e.to_string()))?;
            list.item(&mut out, &item)?;
            continue;
        }
        let others = manifest.labels().iter().filter(|(key, _)| *key != TYPE_LABEL);
        let mut others: Vec<String> = others.map(|(key, value)| format!("{key}:{value}")).collect();
        others.sort_unstable();
        let (id, length, time) = (manifest.id(), manifest.data().len(), times.show(manifest.modified()));
        out.line(format!("{id} {length:>10} {time} type:{} {}", manifest.kind(), others.join(" ")))?;
    }
    list.end(&mut out)?;
    out.finish()
}

fn show(typed: &Typed) -> Result<(), Failure> {
    let catalog = Connection::open(typed)?.catalog()?;
    let times = Times::new(typed);
    let mut out = Output::new();
    for id in &typed.arguments {
        let manifest = catalog.manifests().get(&ManifestId::new(id)).ok_or_else(|| {
            Failure::new(format!("error getting metadata for {id:?}: manifest {id}: not found"))
        })?;
        out.line(format!("// id: {id}"))?;
        out.line(format!("// length: {}", manifest.data().len()))?;
        out.line(format!("// modified: {}", times.show(manifest.modified())))?;
        for (key, value) in manifest.labels() {
            out.line(format!("// label {key}:{value}"))?;
        }
        out.bytes(json::indent(&String::from_utf8_lossy(manifest.data()), "").as_bytes())?;
    }
    out.finish()
}

//! The claims of a cluster, which must have a backup.

use std::collections::HashSet;
use std::path::Path;

use serde::Deserialize;

use crate::checker::{Candidates, Question, SourceState, Template};
use crate::front::cli::failure::Failure;
use crate::snapshot::Source;

const KIND: &str = "PersistentVolumeClaim";

/// What `kubectl get pvc -o json` prints.
#[derive(Deserialize)]
struct List {
    items: Vec<Object>,
}

#[derive(Deserialize)]
struct Object {
    kind: String,
    metadata: Metadata,
}

#[derive(Deserialize)]
struct Metadata {
    name: String,
    namespace: String,
}

/// The claims in a file. A list without any is refused: an audit that expects nothing would never find anything missing.
pub(super) fn read(path: &Path, template: &Template) -> Result<Vec<Candidates>, Failure> {
    let wrong =
        |reason: String| Failure::wrong_usage(format!("--expect-claims {}: {reason}", path.display()));
    let text = std::fs::read(path).map_err(|e| wrong(e.to_string()))?;
    let list: List = serde_json::from_slice(&text)
        .map_err(|e| wrong(format!("not what `kubectl get pvc -A -o json` prints: {e}")))?;
    if list.items.is_empty() {
        return Err(wrong("no claim is listed in it".to_owned()));
    }
    let candidates = |object: &Object| {
        let Metadata { name, namespace } = &object.metadata;
        if object.kind != KIND {
            return Err(wrong(format!("{namespace}/{name} is a {:?}, not a {KIND}", object.kind)));
        }
        let question = Question::new(namespace, name);
        let question = question.map_err(|e| wrong(format!("{namespace:?}/{name:?}: {e}")))?;
        Ok(template.candidates(&question))
    };
    list.items.iter().map(candidates).collect()
}

/// The source of each claim: the one that there is, under its own name or one that VolSync makes of it, or else its own.
pub(super) fn sources(claims: &[Candidates], states: &[SourceState]) -> Vec<Source> {
    let there: HashSet<&Source> = states.iter().map(SourceState::source).collect();
    let source = |claim: &Candidates| {
        let names = || claim.exact.iter().chain(&claim.altered);
        names().find(|source| there.contains(source)).or_else(|| names().next()).cloned()
    };
    claims.iter().filter_map(source).collect()
}

//! What an ID with a path behind it names (`format-spec/13-snapshots.md`): a snapshot's manifest or an object.

use crate::Catalog;
use crate::content::{ContentSource, Contents};
use crate::front::kopia::failure::Failure;
use crate::object::ObjectId;
use crate::snapshot::{self, Tree};

/// What an ID means, before the path is looked at.
pub(super) struct Found<'a> {
    pub(super) tree: Tree<'a>,
    /// The path below it, without empty parts.
    pub(super) path: String,
}

/// Splits `ID/PATH`.
pub(super) fn split(text: &str) -> (&str, String) {
    let (id, path) = text.split_once('/').unwrap_or((text, ""));
    (id, path.split('/').filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/"))
}

/// An object ID; the message is Kopia's.
pub(super) fn object_id(text: &str) -> Result<ObjectId, Failure> {
    text.parse().map_err(|_| Failure::new(format!("malformed content ID: {text:?}: invalid content hash")))
}

/// Finds the tree that an ID names: that of a snapshot, or of the snapshot whose root the object is, or of the object
/// alone.
pub(super) fn find<'a>(catalog: &Catalog, contents: &'a Contents, text: &str) -> Result<Found<'a>, Failure> {
    let (id, path) = split(text);
    let snapshots = catalog.all_snapshots();
    if let Some(snapshot) = snapshots.get(id) {
        let tree = Tree::of_snapshot(contents, snapshot).map_err(crate::Error::from)?;
        return Ok(Found { tree, path });
    }
    let object = object_id(id).map_err(|failure| failure.during("error parsing root object ID"))?;
    let tree = match snapshots.root_attributes(&object) {
        Some((snapshot, _)) => Tree::of_snapshot(contents, snapshot),
        None => {
            exists(contents, &object)?;
            Tree::of_object(contents, &object)
        }
    };
    Ok(Found { tree: tree.map_err(crate::Error::from)?, path })
}

/// Whether the repository has an object at all.
pub(super) fn exists(contents: &Contents, object: &ObjectId) -> Result<(), Failure> {
    match contents.original_length(object.content()).map_err(crate::Error::from)? {
        Some(_) => Ok(()),
        None => Err(Failure::new(format!("content {} not found: object not found", object.content()))),
    }
}

/// What a path that leads nowhere is called; callers look for it.
pub(super) fn lost(error: snapshot::Error) -> Failure {
    match error {
        error if error.is_not_found() => Failure::new("error reading directory: entry not found"),
        error => crate::Error::from(error).into(),
    }
}

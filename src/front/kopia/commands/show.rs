//! `kopia show`: the bytes of an object.

use super::resolve::{exists, lost, object_id, split};
use crate::front::kopia::connection::Connection;
use crate::front::kopia::failure::Failure;
use crate::front::kopia::grammar::{Argument, Command, Typed};
use crate::front::kopia::output::Output;
use crate::object::Reader;
use crate::snapshot::Tree;

const OBJECT: &[Argument] = &[Argument { name: "object-path", required: true, many: false }];

pub(super) const COMMAND: Command = Command::new(&["show", "cat"], &[], OBJECT, run);

fn run(typed: &Typed) -> Result<(), Failure> {
    let text = typed.arguments.first().map(String::as_str).unwrap_or_default();
    let not_parsed = |failure: Failure| failure.during(&format!("unable to parse ID: {text}"));
    let connection = Connection::open(typed)?;
    let (id, path) = split(text);
    let mut object = object_id(id)
        .map_err(|failure| not_parsed(failure.during(&format!("can't parse object ID {id}"))))?;
    let contents = connection.contents()?;
    if !path.is_empty() {
        let entry = exists(&contents, &object)
            .and_then(|()| Ok(Tree::of_object(&contents, &object).map_err(crate::Error::from)?))
            .and_then(|tree| tree.entry(&path).map_err(lost))
            .map_err(not_parsed)?;
        object = entry.object.ok_or_else(|| not_parsed(Failure::new("entry without object ID")))?;
    }
    exists(&contents, &object)
        .map_err(|failure| failure.during(&format!("error opening object {object}")))?;
    let mut reader = Reader::new(&contents, &object);
    let mut buffer = vec![0; 1 << 20];
    let mut out = Output::new();
    loop {
        let read = reader.read_some(&mut buffer);
        let count = read.map_err(|e| Failure::new(format!("unable to copy data: {e}")))?;
        if count == 0 {
            return out.finish();
        }
        out.bytes(buffer.get(..count).unwrap_or_default())?;
    }
}

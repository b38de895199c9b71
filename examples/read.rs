//! Opens a repository, lists its snapshots and writes a file of the newest one to standard output.
//!
//! `cargo run --example read`

use std::io::{self, Write};

use rokopia::{FileSystem, Password, Repository, Snapshots};

pub(crate) fn main() -> Result<(), Box<dyn std::error::Error>> {
    let store = FileSystem::open("testdata/basic/repo")?;
    let repository = Repository::open(store, &Password::new("rokopia"))?;
    let snapshots = Snapshots::new(repository.catalog()?.manifests()).all().complete();
    for snapshot in snapshots.iter() {
        writeln!(io::stdout(), "{} {} {}", snapshot.id, snapshot.start_time, snapshot.source)?;
    }
    let latest = snapshots.latest().ok_or("no backup")?;
    let contents = repository.contents()?;
    io::copy(&mut contents.tree(&latest)?.open("notes/todo.txt")?, &mut io::stdout())?;
    Ok(())
}

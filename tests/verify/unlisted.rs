//! Damages that no list has: whatever is done to packs, the report names what a restore cannot bring back.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use rokopia::Repository;
use rokopia::blob::{BlobId, FileSystem};
use rokopia::crypto::Password;
use rokopia::testkit::{BlobDirectory, Damage, Hooked, Options, RepositoryWriter, Request, Shape};
use rokopia::verify::{Report, Settings, Verdict, Verifier};

use super::common::damage::copy;
use super::common::{Counter, in_parallel};
use super::made::{PASSWORD, add_snapshot, open, source, writer};
use super::support::{lost_in_reports, not_restored, run};

/// Where the contents of a pack are, in ascending order, and the size of the pack.
fn layout(dir: &Path, pack: &str) -> (Vec<(u64, u64)>, u64) {
    let index = open(dir).contents().unwrap().index();
    let own = index.iter().filter(|entry| index.pack(entry.pack).unwrap().as_str() == pack);
    let mut ranges: Vec<(u64, u64)> = own.map(|entry| (entry.offset.into(), entry.end())).collect();
    ranges.sort_unstable();
    (ranges, Damage::open(dir).unwrap().read(pack).unwrap().len() as u64)
}

fn path(dir: &Path, blob: &str) -> PathBuf {
    BlobDirectory::open(dir).unwrap().path(blob)
}

/// Compares a report with what restores of all listed snapshots bring back.
fn agree(name: &str, dir: &Path) -> (Report, Vec<String>) {
    let repository = open(dir);
    let report = run(&repository, &Settings { threads: 2, ..Settings::default() }).unwrap();
    let contents = repository.contents().unwrap();
    let reported = lost_in_reports(&report);
    let mut trouble = Vec::new();
    let mut wrong = |what: String| trouble.push(format!("{name}: {what}"));
    let catalog = repository.catalog().unwrap();
    for snapshot in catalog.snapshots_and_problems().0 {
        let id = snapshot.id.to_string();
        let truth = not_restored(&contents, snapshot.root.as_ref().unwrap());
        let ours = reported.get(id.as_str()).cloned().unwrap_or_default();
        if truth != ours {
            wrong(format!("{id}: reported {ours:?}, not restored {truth:?}"));
        }
        let whole = report.snapshots.iter().find(|state| state.id == id).map(|state| state.whole);
        if whole != Some(truth.is_empty()) {
            wrong(format!("{id}: whole is {whole:?}, not restored {truth:?}"));
        }
        if !truth.is_empty() && report.result != Verdict::Damaged {
            wrong(format!("{:?} although {truth:?} are lost", report.result));
        }
    }
    (report, trouble)
}

type Act = Box<dyn Fn(&Path) + Sync>;

/// Cuts a pack of each kind at each kind of boundary.
fn cuts(dir: &Path, packs: &[String]) -> Vec<(String, Act)> {
    let mut acts: Vec<(String, Act)> = Vec::new();
    for pack in packs {
        let (ranges, size) = layout(dir, pack);
        let (first, last) = (ranges[0], ranges[ranges.len() - 1]);
        let places = [
            0,
            1,
            first.0,
            (first.0 + first.1) / 2,
            first.1 - 1,
            first.1,
            last.0 + 1,
            last.1 - 1,
            last.1,
            (last.1 + size) / 2,
            size - 1,
        ];
        for place in places {
            let pack = pack.clone();
            let name = format!("{pack} cut at {place} of {size}");
            let act: Act =
                Box::new(move |dir| Damage::open(dir).unwrap().truncate(&pack, place as usize).unwrap());
            acts.push((name, act));
        }
    }
    acts
}

#[test]
fn reported_is_what_is_not_restored() {
    let dir = tempfile::tempdir().unwrap();
    let (whole, other) = (dir.path().join("whole"), dir.path().join("other"));
    let mut new = writer(&whole, 300_000);
    (1..4).for_each(|seed| drop(add_snapshot(&mut new, 1 << 20, seed)));
    new.finish().unwrap();
    let mut foreign =
        RepositoryWriter::create(&other, Options { pack_size: 300_000, seed: 7, ..Options::default() })
            .unwrap();
    let tree = Shape::mixed(1 << 20).tree(1).unwrap();
    let root = foreign.write_tree(&tree).unwrap();
    foreign.snapshot(&source(), &root);
    foreign.finish().unwrap();

    let stored = Damage::open(&whole).unwrap();
    let (data, meta) = (stored.names("p").unwrap(), stored.names("q").unwrap());
    let mut acts = cuts(&whole, &[data[0].clone(), meta[0].clone(), meta[meta.len() - 1].clone()]);
    let mut add = |name: &str, act: Act| acts.push((name.to_owned(), act));
    for packs in [&data, &meta] {
        let (a, b) = (packs[0].clone(), packs[1].clone());
        add("two packs swapped", Box::new(move |dir| Damage::open(dir).unwrap().swap(&a, &b).unwrap()));
        let (a, from) = (packs[0].clone(), other.clone());
        add(
            "a pack of another repository",
            Box::new(move |dir| {
                let foreign = Damage::open(&from).unwrap();
                let bytes = foreign.read(&foreign.names(&a[..1]).unwrap()[0]).unwrap();
                Damage::open(dir).unwrap().write(&a, &bytes).unwrap();
            }),
        );
        let a = packs[1].clone();
        add(
            "a sector of zeros",
            Box::new(move |dir| Damage::open(dir).unwrap().zero(&a, 1024, 512).unwrap()),
        );
        let a = packs[0].clone();
        add(
            "a directory under the name of a pack",
            Box::new(move |dir| {
                std::fs::remove_file(path(dir, &a)).unwrap();
                std::fs::create_dir(path(dir, &a)).unwrap();
            }),
        );
        let a = packs[0].clone();
        add(
            "a link that leads nowhere",
            Box::new(move |dir| {
                std::fs::remove_file(path(dir, &a)).unwrap();
                std::os::unix::fs::symlink("/nowhere/at/all", path(dir, &a)).unwrap();
            }),
        );
        let a = packs[0].clone();
        add(
            "a pipe",
            Box::new(move |dir| {
                std::fs::remove_file(path(dir, &a)).unwrap();
                let made = std::process::Command::new("mkfifo").arg(path(dir, &a)).status().unwrap();
                assert!(made.success());
            }),
        );
        let a = packs[0].clone();
        add(
            "bytes before the rest",
            Box::new(move |dir| {
                let stored = Damage::open(dir).unwrap();
                let bytes = [vec![7; 16], stored.read(&a).unwrap()].concat();
                stored.write(&a, &bytes).unwrap();
            }),
        );
    }
    add(
        "all packs of metadata gone",
        Box::new(move |dir| {
            let stored = Damage::open(dir).unwrap();
            stored.names("q").unwrap().iter().for_each(|pack| stored.delete(pack).unwrap());
        }),
    );
    add(
        "a byte of each pack of data",
        Box::new(move |dir| {
            let stored = Damage::open(dir).unwrap();
            stored.names("p").unwrap().iter().for_each(|pack| stored.flip(pack, 5000, 4).unwrap());
        }),
    );

    let lost = Counter::new();
    in_parallel(&acts, |(name, act)| {
        let copied = tempfile::tempdir_in(dir.path()).unwrap();
        let repo = copied.path().join("repo");
        copy(&whole, &repo);
        act(&repo);
        let (report, mut trouble) = agree(name, &repo);
        if report.result == Verdict::Clean && report.unneeded.is_empty() {
            trouble.push(format!("{name}: nothing was found"));
        }
        lost.add(usize::from(report.result == Verdict::Damaged));
        trouble
    });
    println!("{} damages compared, {} with losses", acts.len(), lost.get());
}

/// What is no damage to any snapshot.
#[test]
fn no_alarm_without_a_loss() {
    let dir = tempfile::tempdir().unwrap();
    let whole = dir.path().join("whole");
    let mut new = writer(&whole, 300_000);
    let id = add_snapshot(&mut new, 1 << 20, 1);
    let first: Vec<String> = Damage::open(&whole).unwrap().names("p").unwrap();
    // All contents once more, in other packs: the copies in the first ones do not count any more.
    let contents = open(&whole).contents().unwrap();
    for entry in contents.index().iter() {
        let bytes = rokopia::content::ContentSource::get(&contents, &entry.id).unwrap();
        new.rewrite_content(entry.id.prefix(), &bytes).unwrap();
    }
    new.finish().unwrap();
    let acts: Vec<(&str, Act)> = vec![
        ("nothing", Box::new(|_| {})),
        (
            "the copy that does not count is damaged",
            Box::new({
                let first = first.clone();
                move |dir| {
                    first.iter().for_each(|pack| Damage::open(dir).unwrap().flip(pack, 5000, 1).unwrap())
                }
            }),
        ),
        (
            "the copy that does not count is gone",
            Box::new(move |dir| {
                first.iter().for_each(|pack| Damage::open(dir).unwrap().delete(pack).unwrap())
            }),
        ),
        (
            "files of others",
            Box::new(|dir| {
                std::fs::create_dir(dir.join("lost+found")).unwrap();
                std::fs::write(dir.join(".DS_Store"), "x").unwrap();
                std::fs::write(dir.join("README.txt"), "hello").unwrap();
                std::fs::write(dir.join("p0123456789abcdef.f.tmp.77"), "torn upload").unwrap();
            }),
        ),
        (
            "orphans",
            Box::new(|dir| {
                let stored = Damage::open(dir).unwrap();
                let pack = stored.names("p").unwrap().remove(0);
                let bytes = stored.read(&pack).unwrap();
                stored.write("p00000000000000000000000000000000-s0000000000000000000", &bytes).unwrap();
                stored.write("p00000000000000000000000000000001-s0000000000000000000", b"").unwrap();
            }),
        ),
        (
            "no markers, sessions and schedule",
            Box::new(|dir| {
                let stored = Damage::open(dir).unwrap();
                for prefix in ["s", "kopia.maintenance", "_log"] {
                    stored.names(prefix).unwrap().iter().for_each(|blob| stored.delete(blob).unwrap());
                }
            }),
        ),
    ];
    for (at, (name, act)) in acts.iter().enumerate() {
        let repo = dir.path().join(at.to_string());
        copy(&whole, &repo);
        act(&repo);
        let (report, trouble) = agree(name, &repo);
        assert_eq!(trouble, [""; 0]);
        assert_eq!((report.result, report.exit_code()), (Verdict::Clean, 0), "{name}: {:#?}", report.damage);
        assert_eq!(report.newest_whole.values().collect::<Vec<_>>(), [&id], "{name}");
    }
}

/// Changes the offset and the length of an entry.
type Forge = fn(&mut u32, &mut u32, u32);

/// Entries that no sound writer makes: each is lost, and its neighbours are not.
#[test]
fn impossible_and_overlapping_entries() {
    let dir = tempfile::tempdir().unwrap();
    let forged: [(&str, Forge); 5] = [
        ("begins beyond the end", |offset, _, _| *offset = 1 << 30),
        ("ends beyond the end", |_, length, _| *length = 1 << 27),
        ("overlaps its neighbour", |offset, _, by| *offset -= by),
        ("lies within its neighbour", |offset, length, by| (*offset, *length) = (*offset - by, 40)),
        ("has no room for a tag", |_, length, _| *length = 27),
    ];
    for (at, (name, forge)) in forged.iter().enumerate() {
        let repo = dir.path().join(at.to_string());
        let mut new = writer(&repo, 4 << 20);
        let root = new.write_tree(&Shape::mixed(1 << 20).tree(1).unwrap()).unwrap();
        new.snapshot(&source(), &root);
        new.close_packs().unwrap();
        let mut data: Vec<_> =
            new.pending_entries().iter_mut().filter(|entry| entry.pack.starts_with('p')).collect();
        data.sort_by_key(|entry| entry.offset);
        let victim = &mut data[3];
        let mut length = victim.packed_length;
        forge(&mut victim.offset, &mut length, 50);
        victim.packed_length = length;
        new.finish().unwrap();
        let (report, trouble) = agree(name, &repo);
        assert_eq!(trouble, [""; 0]);
        let contents: BTreeSet<_> =
            report.damage.iter().filter_map(|damage| damage.content.clone()).collect();
        assert_eq!((report.exit_code(), contents.len()), (1, 1), "{name}: {:#?}", report.damage);
        assert_eq!(report.coverage.verified + 1, report.coverage.contents, "{name}");
    }
}

#[test]
fn what_may_not_be_read_is_neither_good_nor_lost() {
    let dir = tempfile::tempdir().unwrap();
    let mut new = writer(dir.path(), 300_000);
    add_snapshot(&mut new, 1 << 20, 1);
    new.finish().unwrap();
    let stored = Damage::open(dir.path()).unwrap();
    let ledger = dir.path().with_extension("ledger");
    for blob in [stored.names("p").unwrap().remove(0), stored.names("q").unwrap().remove(0)] {
        let refused = BlobId::new(&blob).unwrap();
        let store = Hooked::new(FileSystem::open(dir.path()).unwrap()).before(move |request| match request {
            Request::Read(id) | Request::ReadAt(id, ..) if *id == refused => {
                request.fail(ErrorKind::PermissionDenied)
            }
            _ => Ok(()),
        });
        let repository = Repository::open(store, &Password::new(PASSWORD)).unwrap();
        let claims = || {
            let text = std::fs::read_to_string(&ledger).unwrap_or_default();
            text.lines().filter(|line| line.contains(&blob)).count()
        };
        let before = claims();
        let ledger = rokopia::verify::Ledger::open(&ledger, &repository).unwrap();
        let report = Verifier::new(&repository, &Settings::default()).ledger(&ledger).run().unwrap();
        assert_eq!((report.result, report.exit_code()), (Verdict::Incomplete, 3), "{:#?}", report.damage);
        assert!(report.damage.iter().all(|damage| damage.unchecked), "{:#?}", report.damage);
        assert_eq!(claims(), before, "{blob} is claimed");
    }
    std::fs::remove_file(ledger).unwrap();
}

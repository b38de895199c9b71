use super::*;
use crate::verify::Level;
use examples::{damaged, proof};

fn ledger(path: &Path) -> Result<Ledger, Error> {
    open_as(path, "abcd")
}

/// Opens a ledger as one of the repository with this ID.
fn open_as(path: &Path, repository: &str) -> Result<Ledger, Error> {
    Ledger::open_for(&crate::blob::Guard::default().writable(path)?, repository)
}

fn code(result: Result<Ledger, Error>) -> &'static str {
    result.map_or_else(|e| e.code(), |_| "opened")
}

fn filled(path: &Path) {
    let new = ledger(path).unwrap();
    new.note_pack(proof("p1", Level::Hash, 10)).unwrap();
    new.note_pack(damaged(proof("p2", Level::Hash, 11))).unwrap();
    new.note_snapshots(SnapshotRecord { time: 12, ..SnapshotRecord::default() }).unwrap();
    new.note_pack(proof("p1", Level::Decrypt, 13)).unwrap();
    new.sync().unwrap();
}

#[test]
fn what_is_noted_is_known_next_time() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ledger");
    filled(&path);
    let again = ledger(&path).unwrap();
    assert_eq!(again.proof("p1").unwrap(), &proof("p1", Level::Hash, 10));
    assert!(!again.proof("p2").unwrap().is_good());
    assert_eq!(again.proof("p3"), None);
    assert_eq!(again.snapshots().unwrap().time, 12);
    assert_eq!(code(ledger(&path)), "ledger-in-use");
}

#[test]
fn a_ledger_cut_anywhere_claims_less_or_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let whole = dir.path().join("whole");
    filled(&whole);
    let bytes = std::fs::read(&whole).unwrap();
    let all = ledger(&whole).unwrap().known.proofs;
    let cut = dir.path().join("cut");
    for length in 1..bytes.len() {
        std::fs::write(&cut, &bytes[..length]).unwrap();
        let first_line = bytes.iter().position(|byte| *byte == b'\n').unwrap();
        match ledger(&cut) {
            Ok(ledger) => {
                assert_eq!(bytes[length - 1], b'\n', "{length}");
                for (pack, proof) in &ledger.known.proofs {
                    assert_eq!(all.get(pack), Some(proof));
                }
            }
            Err(e) => {
                assert_eq!(e.code(), if length <= first_line { "ledger-foreign" } else { "ledger-torn" });
                assert!(e.to_string().contains(&cut.display().to_string()), "{e}");
            }
        }
    }
}

#[test]
fn damage_and_foreign_files_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ledger");
    filled(&path);
    assert_eq!(code(open_as(&path, "ef")), "ledger-of-other-repository");
    let bytes = std::fs::read(&path).unwrap();
    for at in 0..bytes.len() {
        let mut flipped = bytes.clone();
        flipped[at] ^= 0x80;
        std::fs::write(&path, &flipped).unwrap();
        assert!(["ledger-torn", "ledger-foreign"].contains(&code(ledger(&path))), "{at}");
    }
    for foreign in ["\n", "hello\n", "{}", "\u{7f}ELF"] {
        std::fs::write(&path, foreign).unwrap();
        assert_eq!(code(ledger(&path)), "ledger-foreign");
    }
    let twice = [bytes.clone(), bytes].concat();
    std::fs::write(&path, twice).unwrap();
    assert_eq!(code(ledger(&path)), "ledger-torn");
    assert_eq!(code(ledger(dir.path())), "ledger-io");
}

#[test]
fn a_long_ledger_is_written_anew_with_what_counts() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ledger");
    let mut lines = Record::Ledger { format: FORMAT, repository: "abcd".into() }.to_line().unwrap();
    for time in 0..=SMALL as i64 {
        lines.extend(Record::Pack(proof(&format!("p{}", time % 7), Level::Hash, time)).to_line().unwrap());
    }
    std::fs::write(&path, lines).unwrap();
    let before = ledger(&path).unwrap();
    assert_eq!(before.known.proofs.len(), 7);
    before.note_pack(proof("p9", Level::Hash, 1)).unwrap();
    assert_eq!(code(ledger(&path)), "ledger-in-use");
    drop(before);
    assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), 9);
    let after = ledger(&path).unwrap();
    assert_eq!(after.proof("p0").unwrap().time, SMALL as i64 / 7 * 7);
    assert!(after.proof("p9").is_some());
}

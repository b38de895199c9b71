//! Replays what the fuzzer was seeded with and what it has found, and tries neighbours of each.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "tests and their helpers"
)]

use std::path::Path;

#[path = "../fuzz/targets.rs"]
#[allow(unreachable_pub, reason = "the fuzzer's binaries use it as a module, too")]
mod targets;

/// Neighbours tried of each input.
const NEIGHBOURS: u64 = 2000;

#[test]
fn seeds_regressions_and_their_neighbours_do_no_harm() {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    for &(name, target) in targets::TARGETS {
        let mut inputs = Vec::new();
        for folder in ["seeds", "regressions"] {
            for file in std::fs::read_dir(fuzz.join(folder).join(name)).into_iter().flatten() {
                inputs.push(std::fs::read(file.unwrap().path()).unwrap());
            }
        }
        assert!(!inputs.is_empty(), "no seeds for {name}");
        let mut tried = 0_u64;
        for (number, input) in inputs.iter().enumerate() {
            target(input);
            tried += 1;
            for round in 0..NEIGHBOURS {
                target(&neighbour(input, number as u64 * NEIGHBOURS + round));
                tried += 1;
            }
        }
        println!("{name}: {tried} inputs from {} files", inputs.len());
    }
}

/// The input with a few bytes changed, cut, repeated or inserted; the same for the same number.
fn neighbour(input: &[u8], number: u64) -> Vec<u8> {
    let mut state = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut next = move |bound: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % bound.max(1) as u64) as usize
    };
    let mut out = input.to_vec();
    for _ in 0..=next(4) {
        let at = next(out.len());
        match next(5) {
            0 => out.truncate(at),
            1 => out.insert(at, next(256) as u8),
            2 => out.extend_from_within(at..),
            3 if !out.is_empty() => out[at] = [0, 1, 0x7f, 0x80, 0xff][next(5)],
            _ if !out.is_empty() => out[at] ^= 1 << next(8),
            _ => {}
        }
    }
    out
}

//! Repositories whose plaintexts were changed and encrypted again: what hostile writers store reaches every layer.

use std::path::Path;

use crate::common::say;

#[path = "../../fuzz/structured.rs"]
#[allow(unreachable_pub, reason = "the fuzzer's binary uses it as a module, too")]
mod structured;

/// Inputs tried: from each seed, so many numbers.
const INPUTS: u64 = 150;

#[test]
fn changed_plaintexts_reach_every_layer_and_do_no_harm() {
    let mut reached = structured::Reached::default();
    for number in 0..INPUTS {
        let mut input = Vec::new();
        let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        for _ in 0..48 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            input.push((state >> 32) as u8);
        }
        reached.add(&structured::run(&input));
    }
    let mut files = 0;
    for folder in ["seeds", "regressions"] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz").join(folder).join("structured");
        for file in std::fs::read_dir(folder).into_iter().flatten() {
            reached.add(&structured::run(&std::fs::read(file.unwrap().path()).unwrap()));
            files += 1;
        }
    }
    assert!(files > 0, "no seeds");
    say(&format!("changed plaintexts: {INPUTS} repositories and those of {files} files; {reached:?}"));
    assert!(reached.listed > 0 && reached.restored > 0 && reached.verified > 0, "{reached:?}");
}

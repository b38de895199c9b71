//! What `SECURITY.md` says exists, and dependencies are what `deny.toml` allows.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::common::say;

#[test]
fn every_test_that_the_threat_model_names_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(root.join("SECURITY.md")).unwrap();
    let (_, table) = text.split_once("## Which test shows it").unwrap();
    let mut named = 0;
    for line in table.lines().filter(|line| line.contains("tests/")) {
        let mut words =
            line.split('`').skip(1).step_by(2).filter(|word| !word.contains(' ') && !word.contains("--"));
        // A file, then tests in it; then perhaps another file.
        let mut file: Option<(&str, String)> = None;
        let first = words.by_ref().find(|word| word.starts_with("tests/")).unwrap();
        for word in std::iter::once(first).chain(words) {
            if word.starts_with("tests/") {
                let source =
                    std::fs::read_to_string(root.join(word)).unwrap_or_else(|e| panic!("{word}: {e}"));
                assert!(source.contains("#[test]"), "{word} has no tests");
                file = Some((word, source));
            } else {
                let (path, source) = file.as_ref().unwrap_or_else(|| panic!("in which file is {word}?"));
                assert!(source.contains(&format!("fn {word}()")), "{path} has no {word}");
                named += 1;
            }
        }
    }
    assert!(named > 15, "{named}");
}

/// The strings of a list in `deny.toml`.
fn listed(text: &str, after: &str) -> Vec<String> {
    let (_, rest) = text.split_once(after).unwrap();
    let (list, _) = rest.split_once("\n]").unwrap();
    list.split('"').skip(1).step_by(2).map(str::to_owned).collect()
}

/// Whether a licence expression can be kept with these licences alone.
fn is_allowed(expression: &str, allowed: &[String]) -> bool {
    let expression = expression.replace('/', " OR ");
    // Every part of AND, at the top and in brackets, needs one part of OR that is allowed.
    expression.split(" AND ").all(|all| {
        all.split(" OR ").any(|one| {
            let one = one.trim_matches([' ', '(', ')']);
            allowed.iter().any(|known| known == one)
        })
    })
}

#[test]
fn every_dependency_has_a_known_licence_and_source_and_one_version() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let deny = std::fs::read_to_string(root.join("deny.toml")).unwrap();
    let allowed = listed(&deny, "allow = [");
    let mut doubles: Vec<String> = listed(&deny, "skip = [").into_iter().step_by(2).collect();
    // Of some, two older versions are there.
    doubles.dedup();
    let mut command = std::process::Command::new(env!("CARGO"));
    command.current_dir(root).args([
        "metadata",
        "--offline",
        "--locked",
        "--format-version=1",
        "--all-features",
        // As in deny.toml: nothing is built for other systems.
        "--filter-platform=x86_64-unknown-linux-gnu",
    ]);
    let output = command.output().unwrap();
    if !output.status.success() {
        // Sources of crates for other systems are not there after a build without network.
        say(&format!("dependencies: skipped: {}", String::from_utf8_lossy(&output.stderr)));
        return;
    }
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let mut versions: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let packages = metadata["packages"].as_array().unwrap();
    for package in packages {
        let (name, licence) = (package["name"].as_str().unwrap(), package["license"].as_str().unwrap_or(""));
        assert!(is_allowed(licence, &allowed), "{name}: {licence:?}");
        let source = package["source"].as_str();
        let registry = "registry+https://github.com/rust-lang/crates.io-index";
        assert!(source.is_none_or(|source| source == registry), "{name}: {source:?}");
        versions.entry(name).or_default().insert(package["version"].as_str().unwrap());
    }
    let mut found: Vec<&str> =
        versions.iter().filter(|(_, all)| all.len() > 1).map(|(name, _)| *name).collect();
    found.sort_unstable();
    assert_eq!(found, doubles, "{versions:?}");
    say(&format!(
        "dependencies: {} with known licences and sources, {} of them in more than one version",
        packages.len(),
        found.len()
    ));
}

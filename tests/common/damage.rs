//! Damaging copies of repositories.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::{Case, fixtures, json_lines, testdata};

/// A copy that may be changed.
pub fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::write(&target, fs::read(entry.path()).unwrap()).unwrap();
        }
    }
}

/// A recorded damage: a line of `damage.jsonl`, and the repository that it is done to.
pub struct Recorded {
    pub name: String,
    pub base: Case,
    pub about: Value,
}

impl Recorded {
    /// All of them; without the large collection those that come with the sources.
    pub fn all() -> Vec<Self> {
        let fixtures = fixtures().unwrap_or_else(testdata);
        let lines = fs::read(fixtures.join("damaged/damage.jsonl")).unwrap();
        let load = |about: Value| Self {
            name: about["name"].as_str().unwrap().to_owned(),
            base: Case::load(&fixtures.join(about["base"].as_str().unwrap())).unwrap(),
            about,
        };
        json_lines(&lines).into_iter().map(load).collect()
    }

    /// Makes a copy of the repository with the damage.
    pub fn make(&self, repo: &Path) {
        copy(&self.base.repo(), repo);
        apply(repo, &self.about["edits"]);
    }
}

/// Applies the edits of a line of `damage.jsonl` to a copy.
pub fn apply(repo: &Path, edits: &Value) {
    for edit in edits.as_array().unwrap() {
        apply_one(repo, edit);
    }
}

fn apply_one(repo: &Path, edit: &Value) {
    let text = |key: &str| edit[key].as_str().unwrap();
    let inside = |path: &str| if path == "." { repo.to_owned() } else { repo.join(path) };
    let new = |path: PathBuf| {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        path
    };
    let bytes = || STANDARD.decode(text("base64")).unwrap();
    let path = inside(text("path"));
    match text("op") {
        "delete" if path.is_dir() && !path.is_symlink() => fs::remove_dir_all(path).unwrap(),
        "delete" => fs::remove_file(path).unwrap(),
        "truncate" => {
            let file = File::options().write(true).open(path).unwrap();
            file.set_len(edit["size"].as_u64().unwrap()).unwrap();
        }
        "xor" => {
            let file = File::options().read(true).write(true).open(path).unwrap();
            let (mask, offset) = (hex::decode(text("hex")).unwrap(), edit["offset"].as_u64().unwrap());
            let mut stored = vec![0; mask.len()];
            file.read_exact_at(&mut stored, offset).unwrap();
            stored.iter_mut().zip(mask).for_each(|(byte, mask)| *byte ^= mask);
            file.write_all_at(&stored, offset).unwrap();
        }
        "write" => fs::write(new(path), bytes()).unwrap(),
        "append" => fs::write(&path, [fs::read(&path).unwrap(), bytes()].concat()).unwrap(),
        "rename" => fs::rename(path, new(inside(text("to")))).unwrap(),
        "copy" => drop(fs::copy(path, new(inside(text("to")))).unwrap()),
        "mkdir" => fs::create_dir_all(path).unwrap(),
        "symlink" => symlink(text("target"), new(path)).unwrap(),
        "chmod" => {
            let mode = u32::from_str_radix(text("mode"), 8).unwrap();
            fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
        }
        other => panic!("unknown edit {other}"),
    }
}

//! The miniature repository of `format-spec/vectors`, read end to end.

use serde::Deserialize;

use super::{Access, Budget, Opening, Options, Repository};
use crate::blob::{BlobId, FileSystem};
use crate::content::ContentSource;
use crate::crypto::Password;
use crate::pack::read_local_index;

#[derive(Deserialize)]
struct Miniature {
    password: String,
    shards: serde_json::Value,
    blobs: Vec<Blob>,
    contents: Vec<Content>,
    packs: Vec<Pack>,
}

#[derive(Deserialize)]
struct Blob {
    path: String,
    length: usize,
    parts: Vec<Part>,
}

#[derive(Deserialize)]
struct Part {
    offset: usize,
    hex: String,
}

#[derive(Deserialize)]
struct Content {
    id: String,
    plaintext: String,
}

#[derive(Deserialize)]
struct Pack {
    blob: String,
    entries: Vec<String>,
}

fn miniature() -> (Miniature, tempfile::TempDir) {
    let vector: Miniature =
        serde_json::from_str(include_str!("../../format-spec/vectors/miniature-repository.json")).unwrap();
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join(".shards"), vector.shards.to_string()).unwrap();
    for blob in &vector.blobs {
        let mut bytes = vec![0; blob.length];
        for part in &blob.parts {
            let part_bytes = hex::decode(&part.hex).unwrap();
            bytes[part.offset..part.offset + part_bytes.len()].copy_from_slice(&part_bytes);
        }
        let path = directory.path().join(&blob.path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
    (vector, directory)
}

#[test]
fn opens_and_reads_every_content() {
    let (vector, directory) = miniature();
    let store = FileSystem::open(directory.path()).unwrap();
    let repository = Repository::open(store, &Password::new(vector.password)).unwrap();
    let contents = repository.contents().unwrap();
    assert_eq!(contents.index().iter().count(), vector.contents.len());
    for content in &vector.contents {
        assert_eq!(hex::encode(contents.get(&content.id.parse().unwrap()).unwrap()), content.plaintext);
    }
    for pack in &vector.packs {
        let blob = BlobId::new(&pack.blob).unwrap();
        let local = read_local_index(repository.store(), repository.format(), &blob).unwrap();
        let listed: Vec<String> = local.iter().map(|entry| entry.id.to_string()).collect();
        assert_eq!(listed, pack.entries);
    }
    assert!(repository.catalog().unwrap().absence_of_content().unwrap().reason().is_none());
}

#[test]
fn a_wrong_password_is_told_apart_from_damage() {
    let (vector, directory) = miniature();
    let open = |password: &str| {
        let store = FileSystem::open(directory.path()).unwrap();
        Repository::open(store, &Password::new(password)).err().map(|e| e.code())
    };
    assert_eq!(open(&format!(" {}\n", vector.password)), None);
    assert_eq!(open("wrong"), Some("wrong-password"));
    let path = directory.path().join("kopia.repository.f");
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    assert_eq!(open(&vector.password), Some("format-damaged"));
    std::fs::remove_file(&path).unwrap();
    assert_eq!(open(&vector.password), Some("not-a-repository"));
}

#[test]
fn a_format_blob_that_was_kept_counts_only_while_the_storage_has_the_same() {
    let (vector, directory) = miniature();
    let cache = tempfile::tempdir().unwrap();
    let stored = directory.path().join("kopia.repository.f");
    let kept = || {
        let places = cache.path().join("rokopia-cache/places");
        let files: Vec<_> = std::fs::read_dir(places).unwrap().map(|file| file.unwrap().path()).collect();
        assert_eq!(files.len(), 1);
        files[0].clone()
    };
    let open = || {
        let mut options = Options::default();
        options.index.cache_directory = Some(cache.path().to_owned());
        let password = Password::new(vector.password.as_str());
        let budget = Budget::default();
        let opening = Opening { password: &password, options, budget, access: Access::Index };
        let repository = opening.open(FileSystem::open(directory.path()).unwrap()).unwrap();
        assert_eq!(repository.contents().unwrap().index().iter().count(), vector.contents.len());
        assert_eq!(std::fs::read(kept()).unwrap(), std::fs::read(&stored).unwrap());
    };
    open();
    open();
    let mut changed = std::fs::read(&stored).unwrap();
    changed.push(b'\n');
    std::fs::write(&stored, &changed).unwrap();
    open();
    for damage in [&b""[..], b"{}", b"\xff"] {
        std::fs::write(kept(), damage).unwrap();
        open();
    }
}

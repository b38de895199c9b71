//! A reader of Kopia repositories with no thought of speed or memory: one file, from `format-spec/` and RustCrypto's
//! crates alone, nothing shared with the library. What the library says is compared with what this says.
//!
//! It is for repositories that are whole: anything that it does not expect is a panic. It does not repair errors, and
//! of the compressors it knows those with decoders of another author (gzip, deflate, zstd).

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use aes_gcm::aead::{Aead, KeyInit, Payload};
use aes_gcm::{Aes256Gcm, Nonce};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use blake2::digest::consts::{U16, U32};
use blake2::{Blake2bMac, Blake2sMac};
use chacha20poly1305::ChaCha20Poly1305;
use hkdf::Hkdf;
use hmac::{Hmac, Mac, SimpleHmac};
use serde_json::Value;
use sha2::{Sha224, Sha256};

/// Where a content is (08-index).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Entry {
    // In this order entries are compared when one of several counts.
    pub(crate) time: u64,
    pub(crate) live: bool,
    pub(crate) pack: String,
    pub(crate) offset: usize,
    pub(crate) packed_length: usize,
    pub(crate) original_length: usize,
    pub(crate) compression: u32,
}

/// A file, directory or link in a snapshot, as its directory has it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Node {
    pub(crate) path: String,
    pub(crate) json: Value,
    /// Of files and links: the data.
    pub(crate) data: Option<Vec<u8>>,
}

pub(crate) struct Repository {
    blobs: BTreeMap<String, PathBuf>,
    hash: String,
    encryption: String,
    secret: Vec<u8>,
    content_secret: Vec<u8>,
    ecc_percent: u64,
    epochs: bool,
    /// By content ID in text: the winner of each, deleted or not (09-index-sets).
    pub(crate) index: BTreeMap<String, Entry>,
}

impl Repository {
    pub(crate) fn open(directory: &Path, password: &str) -> Repository {
        let mut blobs = BTreeMap::new();
        collect_blobs(directory, "", &mut blobs);
        let outer: Value = serde_json::from_slice(&fs::read(&blobs["kopia.repository"]).unwrap()).unwrap();
        let bytes = |value: &Value| STANDARD.decode(value.as_str().unwrap_or_default()).unwrap();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let unique_id = bytes(&outer["uniqueID"]);
        let mut key = [0; 32];
        match text(&outer["keyAlgo"]).as_str() {
            "scrypt-65536-8-1" => {
                let parameters = scrypt::Params::new(16, 8, 1).unwrap();
                scrypt::scrypt(password.as_bytes(), &unique_id, &parameters, &mut key).unwrap();
            }
            "pbkdf2-sha256-600000" => {
                pbkdf2::pbkdf2_hmac::<Sha256>(password.as_bytes(), &unique_id, 600_000, &mut key);
            }
            other => panic!("key derivation {other}"),
        }
        // 02-format-blob: the configuration.
        let aes_key = hkdf(&key, &unique_id, b"AES");
        let associated = hkdf(&key, &unique_id, b"CHECKSUM");
        let config = aead("AES256-GCM", &aes_key, &associated, &bytes(&outer["encryptedBlockFormat"]));
        let config: Value = serde_json::from_slice(&config).unwrap();
        let format = &config["format"];
        let ecc_percent = match text(&format["ecc"]).is_empty() {
            true => 0,
            false => format["eccOverheadPercent"].as_u64().unwrap_or(0),
        };
        let mut repository = Repository {
            blobs,
            hash: text(&format["hash"]),
            encryption: text(&format["encryption"]),
            secret: bytes(&format["secret"]),
            content_secret: hkdf(&bytes(&format["masterKey"]), b"encryption", b""),
            ecc_percent,
            epochs: format["epochParameters"]["Enabled"].as_bool().unwrap_or(false),
            index: BTreeMap::new(),
        };
        repository.load_index();
        repository
    }

    fn read_blob(&self, name: &str) -> Vec<u8> {
        fs::read(self.blobs.get(name).unwrap_or_else(|| panic!("no blob {name}"))).unwrap()
    }

    fn names(&self, prefix: &str) -> Vec<String> {
        self.blobs.keys().filter(|name| name.starts_with(prefix)).cloned().collect()
    }

    /// 03-keys-and-ciphers, inside 05-error-correction.
    fn decrypt(&self, iv: &[u8], stored: &[u8]) -> Vec<u8> {
        let corrected = match self.ecc_percent {
            0 => stored.to_vec(),
            percent => without_parity(percent, stored),
        };
        let key = hmac::<Hmac<Sha256>>(&self.content_secret, iv);
        aead(&self.encryption, &key, iv, &corrected)
    }

    /// 04-hashes.
    pub(crate) fn hash(&self, data: &[u8]) -> Vec<u8> {
        let key = self.secret.as_slice();
        let (length, full) = match self.hash.as_str() {
            "BLAKE2B-256" => (32, blake2b(key, data)),
            "BLAKE2B-256-128" => (16, blake2b(key, data)),
            "BLAKE2S-256" => {
                let mac = Blake2sMac::<U32>::new_with_salt_and_personal(Some(key), &[], &[]).unwrap();
                (32, mac.chain_update(data).finalize().into_bytes().to_vec())
            }
            "BLAKE2S-128" => {
                let mac = Blake2sMac::<U16>::new_with_salt_and_personal(Some(key), &[], &[]).unwrap();
                (16, mac.chain_update(data).finalize().into_bytes().to_vec())
            }
            "BLAKE3-256" => (32, blake3::keyed_hash(key[..32].try_into().unwrap(), data).as_bytes().to_vec()),
            "BLAKE3-256-128" => {
                (16, blake3::keyed_hash(key[..32].try_into().unwrap(), data).as_bytes().to_vec())
            }
            "HMAC-SHA224" => (28, hmac::<Hmac<Sha224>>(key, data)),
            "HMAC-SHA256" => (32, hmac::<Hmac<Sha256>>(key, data)),
            "HMAC-SHA256-128" => (16, hmac::<Hmac<Sha256>>(key, data)),
            "HMAC-SHA3-224" => (28, hmac::<SimpleHmac<sha3::Sha3_224>>(key, data)),
            "HMAC-SHA3-256" => (32, hmac::<SimpleHmac<sha3::Sha3_256>>(key, data)),
            other => panic!("hash {other}"),
        };
        full[..length].to_vec()
    }

    /// 09-index-sets.
    fn load_index(&mut self) {
        let (active, watermark) = if self.epochs {
            (self.active_in_epochs(), self.watermark())
        } else {
            (self.active_without_epochs(), None)
        };
        let mut index: BTreeMap<String, Entry> = BTreeMap::new();
        for name in active {
            for (id, entry) in parse_index(&self.open_sealed(&name)) {
                let known = index.entry(id).or_insert_with(|| entry.clone());
                if entry > *known {
                    *known = entry;
                }
            }
        }
        index.retain(|_, entry| entry.live || watermark.is_none_or(|watermark| entry.time > watermark));
        self.index = index;
    }

    /// A blob that is encrypted under its own name.
    fn open_sealed(&self, name: &str) -> Vec<u8> {
        let stem = name.split('-').next().unwrap();
        let iv = hex::decode(&stem[stem.len() - 32..]).unwrap();
        let plain = self.decrypt(&iv, &self.read_blob(name));
        assert!(stem.ends_with(&hex::encode(self.hash(&plain))), "{name} is not named after its hash");
        plain
    }

    fn watermark(&self) -> Option<u64> {
        self.names("xw").iter().filter_map(|name| name[2..].parse().ok()).max()
    }

    fn active_in_epochs(&self) -> BTreeSet<String> {
        let current: u64 =
            self.names("xe").iter().filter_map(|name| name[2..].parse().ok()).max().unwrap_or(0);
        let settled = |epoch: u64| epoch + 2 <= current;
        let mut ranges: BTreeMap<(u64, u64), Vec<String>> = BTreeMap::new();
        for name in self.names("xr") {
            let mut parts = name[2..].split('_');
            let mut number = || parts.next().unwrap().parse().unwrap();
            ranges.entry((number(), number())).or_default().push(name.clone());
        }
        ranges.retain(|(_, last), names| settled(*last) && !complete_set(names).is_empty());
        let mut active = BTreeSet::new();
        let mut next = 0;
        for range in longest_chain(&ranges.keys().copied().collect::<Vec<_>>(), 0) {
            active.extend(complete_set(&ranges[&range]));
            next = range.1 + 1;
        }
        for epoch in next..=current + 1 {
            let single = complete_set(&self.names(&format!("xs{epoch}_")));
            if settled(epoch) && !single.is_empty() {
                active.extend(single);
            } else {
                active.extend(self.names(&format!("xn{epoch}_")));
            }
        }
        active
    }

    fn active_without_epochs(&self) -> BTreeSet<String> {
        let all: BTreeSet<String> = self.names("n").into_iter().collect();
        let mut active = all.clone();
        for name in self.names("m") {
            let log: Value = serde_json::from_slice(&self.open_sealed(&name)).unwrap();
            let ids = |field: &str| -> Vec<String> {
                let list = log[field].as_array().cloned().unwrap_or_default();
                list.iter().map(|blob| blob["id"].as_str().unwrap().to_owned()).collect()
            };
            if ids("outputMetadata").iter().all(|output| all.contains(output)) {
                let inputs = ids("inputMetadata");
                active.retain(|name| !inputs.contains(name));
            }
        }
        active
    }

    /// 10-contents.
    pub(crate) fn content(&self, id: &str) -> Vec<u8> {
        let entry = self.index.get(id).unwrap_or_else(|| panic!("no content {id}"));
        let digits = if id.len() % 2 == 1 { &id[1..] } else { id };
        let hash = hex::decode(digits).unwrap();
        let pack = self.read_blob(&entry.pack);
        let stored = &pack[entry.offset..entry.offset + entry.packed_length];
        let plain = self.decrypt(&hash[hash.len() - 16..], stored);
        let plain = match entry.compression {
            0 => plain,
            header => {
                assert_eq!(plain[..4], header.to_be_bytes(), "{id}");
                decompress(header, &plain[4..])
            }
        };
        assert_eq!(self.hash(&plain), hash, "{id} has another hash");
        plain
    }

    /// 11-manifests: those that live, by ID.
    pub(crate) fn manifests(&self) -> BTreeMap<String, Value> {
        let mut newest: BTreeMap<String, (jiff::Timestamp, Value)> = BTreeMap::new();
        for (id, _) in self.index.iter().filter(|(id, entry)| id.starts_with('m') && entry.live) {
            let json: Value = serde_json::from_slice(&gunzip(&self.content(id))).unwrap();
            for manifest in json["entries"].as_array().unwrap() {
                let modified: jiff::Timestamp = manifest["modified"].as_str().unwrap().parse().unwrap();
                let id = manifest["id"].as_str().unwrap().to_owned();
                let known = newest.entry(id).or_insert_with(|| (modified, manifest.clone()));
                if modified > known.0 {
                    *known = (modified, manifest.clone());
                }
            }
        }
        let live = newest.into_iter().filter(|(_, (_, manifest))| manifest["deleted"] != Value::Bool(true));
        live.map(|(id, (_, manifest))| (id, manifest)).collect()
    }

    /// 13-snapshots: by manifest ID.
    pub(crate) fn snapshots(&self) -> BTreeMap<String, Value> {
        let manifests = self.manifests().into_iter();
        let snapshots = manifests.filter(|(_, manifest)| manifest["labels"]["type"] == "snapshot");
        snapshots.map(|(id, manifest)| (id, manifest["data"].clone())).collect()
    }

    /// 12-objects.
    pub(crate) fn object(&self, id: &str) -> Vec<u8> {
        if let Some(table) = id.strip_prefix('I') {
            let table: Value = serde_json::from_slice(&self.object(table)).unwrap();
            let mut data = Vec::new();
            for part in table["entries"].as_array().unwrap() {
                assert_eq!(part["s"].as_u64().unwrap_or(0), data.len() as u64, "{id}");
                let bytes = self.object(part["o"].as_str().unwrap());
                assert_eq!(part["l"].as_u64().unwrap_or(0), bytes.len() as u64, "{id}");
                data.extend(bytes);
            }
            return data;
        }
        if let Some(content) = id.strip_prefix('Z') {
            let stored = self.content(content);
            return decompress(u32::from_be_bytes(stored[..4].try_into().unwrap()), &stored[4..]);
        }
        self.content(id.strip_prefix('D').unwrap_or(id))
    }

    /// 14-directories-and-entries: everything in a tree, a directory before what is in it, in stored order.
    pub(crate) fn tree(&self, root: &Value) -> Vec<Node> {
        let mut nodes = Vec::new();
        self.walk("", root, &mut nodes);
        nodes
    }

    fn walk(&self, path: &str, json: &Value, nodes: &mut Vec<Node>) {
        let object = json["obj"].as_str().unwrap();
        let is_directory = json["type"] == "d";
        let data = (!is_directory).then(|| self.object(object));
        nodes.push(Node { path: path.into(), json: json.clone(), data });
        if is_directory {
            let directory: Value = serde_json::from_slice(&self.object(object)).unwrap();
            assert_eq!(directory["stream"], "kopia:directory");
            for entry in directory["entries"].as_array().into_iter().flatten() {
                let name = entry["name"].as_str().unwrap();
                let below = if path.is_empty() { name.to_owned() } else { format!("{path}/{name}") };
                self.walk(&below, entry, nodes);
            }
        }
    }
}

/// 01-blobs: the name of a blob is that of its file and of all directories above it.
fn collect_blobs(directory: &Path, above: &str, blobs: &mut BTreeMap<String, PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        let name = format!("{above}{}", entry.file_name().to_str().unwrap());
        if entry.file_type().unwrap().is_dir() {
            collect_blobs(&entry.path(), &name, blobs);
        } else if let Some(name) = name.strip_suffix(".f") {
            blobs.insert(name.into(), entry.path());
        }
    }
}

/// The members of the set of compacted blobs that is complete.
fn complete_set(names: &[String]) -> Vec<String> {
    let mut sets: BTreeMap<&str, (usize, Vec<String>)> = BTreeMap::new();
    for name in names {
        let mut parts = name.split('-').skip(1);
        let (session, count) = (parts.next().unwrap_or(name), parts.next().unwrap_or("c1"));
        let set = sets.entry(session).or_insert_with(|| (count[1..].parse().unwrap(), Vec::new()));
        set.1.push(name.clone());
    }
    sets.into_values().find(|(count, members)| members.len() == *count).map(|(_, m)| m).unwrap_or_default()
}

/// Of all sequences of adjoining ranges from `start` that which reaches farthest, in the fewest steps.
fn longest_chain(ranges: &[(u64, u64)], start: u64) -> Vec<(u64, u64)> {
    let chains = ranges.iter().filter(|(first, _)| *first == start).map(|range| {
        let rest = longest_chain(ranges, range.1 + 1);
        [vec![*range], rest].concat()
    });
    let end = |chain: &Vec<(u64, u64)>| (chain.last().unwrap().1, std::cmp::Reverse(chain.len()));
    chains.max_by_key(end).unwrap_or_default()
}

/// 08-index: content IDs and entries.
fn parse_index(bytes: &[u8]) -> Vec<(String, Entry)> {
    let number =
        |from: usize, to: usize| bytes[from..to].iter().fold(0_usize, |n, b| n << 8 | usize::from(*b));
    let text = |from: usize, length: usize| String::from_utf8(bytes[from..from + length].to_vec()).unwrap();
    let (key_size, value_size, count) = (number(1, 2), number(2, 4), number(4, 8));
    let header = if bytes[0] == 1 { 8 } else { 17 };
    let stride = key_size + value_size;
    let mut entries = Vec::new();
    for at in (0..count).map(|i| header + i * stride) {
        let prefix = Some(char::from(bytes[at])).filter(|c| *c != '\0').map(String::from).unwrap_or_default();
        let id = prefix + &hex::encode(&bytes[at + 1..at + key_size]);
        let v = at + key_size;
        let entry = match bytes[0] {
            1 => Entry {
                time: number(v, v + 6) as u64,
                live: bytes[v + 12] < 0x80,
                pack: text(number(v + 8, v + 12), number(v + 7, v + 8)),
                offset: number(v + 12, v + 16) & 0x7fff_ffff,
                packed_length: number(v + 16, v + 20),
                original_length: number(v + 16, v + 20) - 28,
                compression: 0,
            },
            2 => {
                let (packs, formats) = (number(8, 12), number(12, 13));
                let optional = |i: usize| if value_size > i { number(v + i, v + i + 1) } else { 0 };
                let pack = header + count * stride + 5 * (number(v + 14, v + 16) | optional(17) << 16);
                let format = header + count * stride + 5 * packs + 6 * optional(16);
                Entry {
                    time: (number(13, 17) + number(v, v + 4)) as u64,
                    live: bytes[v + 4] < 0x80,
                    pack: text(number(pack + 1, pack + 5), number(pack, pack + 1)),
                    offset: number(v + 4, v + 8) & 0x7fff_ffff,
                    packed_length: number(v + 11, v + 14) | (optional(18) & 15) << 24,
                    original_length: number(v + 8, v + 11) | (optional(18) >> 4) << 24,
                    compression: if formats == 0 { 0 } else { number(format, format + 4) as u32 },
                }
            }
            other => panic!("index version {other}"),
        };
        entries.push((id, entry));
    }
    entries
}

/// 05-error-correction, of data that is whole: check every shard, drop the parity.
fn without_parity(percent: u64, stored: &[u8]) -> Vec<u8> {
    let most = match percent {
        1 => 1024,
        2 => 512,
        3 => 256,
        4..=6 => 128,
        _ => 64,
    };
    let free = (percent as f64 - 400.0 / most as f64).max(0.01);
    let (mut data, mut parity) = (128, ((128.0 * free / 100.0) as usize).clamp(1, 128));
    if parity == 1 {
        (data, parity) = (((200.0 / free) as usize).clamp(128, 254), 2);
    }
    let tiny = 8 * (4 + (8 * (data + parity)).div_ceil(6));
    let full = (data + parity) * (4 + most);
    let length = stored.len();
    let (blocks, data, parity, shard) = if length <= tiny {
        (1, 6, 2, length.div_ceil(8).max(5) - 4)
    } else if length <= full {
        (1, data, parity, length.div_ceil(data + parity).max(5) - 4)
    } else {
        (length.div_ceil(full), data, parity, most)
    };
    let (parity_records, data_records) = stored.split_at(blocks * parity * (4 + shard));
    let mut framed = Vec::new();
    for record in parity_records.chunks(4 + shard).chain(data_records.chunks(4 + shard)) {
        let (checksum, bytes) = record.split_at(4);
        let mut padded = bytes.to_vec();
        padded.resize(shard, 0);
        assert_eq!(crc32fast::hash(&padded).to_be_bytes(), checksum, "a damaged shard");
    }
    for record in data_records.chunks(4 + shard).take(blocks * data) {
        framed.extend(&record[4..]);
    }
    let length = u32::from_be_bytes(framed[..4].try_into().unwrap()) as usize;
    framed[4..4 + length].to_vec()
}

/// 06-compression.
fn decompress(header: u32, stream: &[u8]) -> Vec<u8> {
    match header >> 8 {
        0x10 | 0x13 => gunzip(stream),
        0x11 => zstd::decode_all(stream).unwrap(),
        0x15 => read_all(flate2::read::DeflateDecoder::new(stream)),
        _ => panic!("compressor {header:#x}"),
    }
}

fn gunzip(stream: &[u8]) -> Vec<u8> {
    read_all(flate2::read::MultiGzDecoder::new(stream))
}

fn read_all(mut reader: impl Read) -> Vec<u8> {
    let mut data = Vec::new();
    reader.read_to_end(&mut data).unwrap();
    data
}

fn hkdf(key: &[u8], salt: &[u8], info: &[u8]) -> Vec<u8> {
    let mut out = vec![0; 32];
    Hkdf::<Sha256>::new(Some(salt), key).expand(info, &mut out).unwrap();
    out
}

fn hmac<M: Mac + hmac::KeyInit>(key: &[u8], data: &[u8]) -> Vec<u8> {
    <M as hmac::KeyInit>::new_from_slice(key).unwrap().chain_update(data).finalize().into_bytes().to_vec()
}

fn blake2b(key: &[u8], data: &[u8]) -> Vec<u8> {
    let mac = Blake2bMac::<U32>::new_with_salt_and_personal(Some(key), &[], &[]).unwrap();
    mac.chain_update(data).finalize().into_bytes().to_vec()
}

/// Nonce, ciphertext, tag.
fn aead(cipher: &str, key: &[u8], associated: &[u8], stored: &[u8]) -> Vec<u8> {
    let (nonce, sealed) = stored.split_at(12);
    let nonce = Nonce::try_from(nonce).unwrap();
    let payload = Payload { msg: sealed, aad: associated };
    let opened = match cipher {
        "AES256-GCM" | "AES256-GCM-HMAC-SHA256" => {
            Aes256Gcm::new_from_slice(key).unwrap().decrypt(&nonce, payload)
        }
        "CHACHA20-POLY1305-HMAC-SHA256" => {
            ChaCha20Poly1305::new_from_slice(key).unwrap().decrypt(&nonce, payload)
        }
        other => panic!("cipher {other}"),
    };
    opened.expect("authentic data")
}

//! Kopia's own results, as data (format-spec/vectors/).

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::*;

#[derive(Deserialize)]
struct Hashes {
    vectors: Vec<Hash>,
}

#[derive(Deserialize)]
struct Hash {
    algorithm: String,
    secret: String,
    data: String,
    hash: Option<String>,
}

#[derive(Deserialize)]
struct Keys {
    kdf: Vec<Kdf>,
    hkdf: Vec<Hkdf>,
}

#[derive(Deserialize)]
struct Kdf {
    algorithm: String,
    password: String,
    salt: String,
    key: String,
}

#[derive(Deserialize)]
struct Hkdf {
    ikm: String,
    salt: String,
    info: String,
    key: String,
}

#[derive(Deserialize)]
struct Encryption {
    contents: Vec<Content>,
    format_blobs: Vec<FormatBlob>,
}

#[derive(Deserialize)]
struct Content {
    cipher: String,
    master_key: String,
    iv: String,
    stored: String,
    plaintext: Option<String>,
}

#[derive(Deserialize)]
struct FormatBlob {
    format_key: String,
    unique_id: String,
    stored: String,
    plaintext: Option<String>,
}

fn vectors<T: DeserializeOwned>(json: &str) -> T {
    serde_json::from_str(json).unwrap()
}

fn unhex(text: &str) -> Vec<u8> {
    hex::decode(text).unwrap()
}

#[test]
fn hashes() {
    let hashes: Hashes = vectors(include_str!("../../format-spec/vectors/hashes.json"));
    for algorithm in HashAlgorithm::ALL {
        assert!(hashes.vectors.iter().any(|vector| vector.algorithm == algorithm.name()), "{algorithm}");
    }
    for vector in hashes.vectors {
        let algorithm = HashAlgorithm::parse(&vector.algorithm).unwrap();
        let hasher = ContentHasher::new(algorithm, &unhex(&vector.secret));
        match vector.hash {
            Some(hash) => {
                assert_eq!(hasher.unwrap().hash(&unhex(&vector.data)).to_string(), hash, "{algorithm}")
            }
            None => assert!(matches!(hasher, Err(Error::KeyLength { .. })), "{algorithm}"),
        }
    }
}

#[test]
fn keys() {
    let keys: Keys = vectors(include_str!("../../format-spec/vectors/keys.json"));
    for vector in keys.kdf {
        let kdf = KeyDerivation::parse(&vector.algorithm).unwrap();
        let key = kdf.derive(&unhex(&vector.password), &unhex(&vector.salt)).unwrap();
        assert_eq!(hex::encode(key.expose()), vector.key, "{kdf:?}");
    }
    for vector in keys.hkdf {
        let (ikm, salt, info) = (unhex(&vector.ikm), unhex(&vector.salt), unhex(&vector.info));
        let key = hkdf_sha256(&ikm, &salt, &info, vector.key.len() / 2).unwrap();
        assert_eq!(hex::encode(key.expose()), vector.key);
    }
}

#[test]
fn ciphertexts() {
    let encryption: Encryption = vectors(include_str!("../../format-spec/vectors/encryption.json"));
    for vector in encryption.contents {
        let algorithm = EncryptionAlgorithm::parse(&vector.cipher).unwrap();
        let cipher = ContentCipher::new(algorithm, &Secret::new(unhex(&vector.master_key))).unwrap();
        let iv = unhex(&vector.iv);
        let stored = unhex(&vector.stored);
        let mut data = stored.clone();
        let plaintext = cipher.open_in_place(&iv, &mut data).unwrap().to_vec();
        if let Some(expected) = vector.plaintext {
            assert_eq!(plaintext, unhex(&expected));
        }
        let nonce = *stored.first_chunk().unwrap();
        assert_eq!(cipher.seal(&iv, &nonce, &plaintext).unwrap(), stored);

        let wrong_iv = [&iv[1..], &iv[..1]].concat();
        if wrong_iv != iv {
            assert!(matches!(
                cipher.open_in_place(&wrong_iv, &mut stored.clone()),
                Err(Error::Authentication)
            ));
        }
    }
    for vector in encryption.format_blobs {
        let cipher =
            FormatCipher::new(&Secret::new(unhex(&vector.format_key)), &unhex(&vector.unique_id)).unwrap();
        let stored = unhex(&vector.stored);
        let plaintext = cipher.open(&stored).unwrap();
        if let Some(expected) = vector.plaintext {
            assert_eq!(*plaintext, unhex(&expected));
        }
        assert_eq!(cipher.seal(stored.first_chunk().unwrap(), &plaintext).unwrap(), stored);
    }
}

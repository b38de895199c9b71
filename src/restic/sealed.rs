//! How restic encrypts: AES-256 in counter mode, sealed with Poly1305-AES; keys from a password by scrypt.

use std::io::Read;

use aes::{Aes128, Aes256};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ctr::Ctr128BE;
use ctr::cipher::{Array, BlockCipherEncrypt, KeyInit, KeyIvInit, StreamCipher};
use poly1305::Poly1305;
use serde::Deserialize;
use zeroize::Zeroizing;

/// Bytes of the initial value, and of the seal.
const BLOCK: usize = 16;

/// What scrypt may take: 128 · N · r bytes.
const MOST_SCRYPT: u64 = 256 << 20;

/// And how often.
const MOST_ROUNDS: u32 = 64;

/// The largest file when it is decompressed.
const MOST_PLAIN: u64 = 64 << 20;

/// What a file is encrypted and sealed with.
pub(super) struct Key {
    cipher: Zeroizing<[u8; 32]>,
    /// For the one-time part of the seal.
    seal: Zeroizing<[u8; BLOCK]>,
    /// The part that stays.
    point: Zeroizing<[u8; BLOCK]>,
}

/// A file in `keys/`: the master key, encrypted with one that is made from the password.
#[derive(Deserialize)]
pub(super) struct KeyFile {
    kdf: String,
    #[serde(rename = "N")]
    cost: u64,
    r: u32,
    p: u32,
    salt: String,
    data: String,
}

/// The master key.
#[derive(Deserialize)]
struct MasterKey {
    mac: Mac,
    encrypt: String,
}

#[derive(Deserialize)]
struct Mac {
    k: String,
    r: String,
}

impl Key {
    /// Decrypts a message. `None` where the seal is not that of this key.
    pub(super) fn open(&self, message: &[u8]) -> Option<Vec<u8>> {
        let (initial, rest) = message.split_at_checked(BLOCK)?;
        let (body, seal) = rest.split_at_checked(rest.len().checked_sub(BLOCK)?)?;
        let initial: [u8; BLOCK] = initial.try_into().ok()?;
        let mut mask = Array::from(initial);
        Aes128::new((&*self.seal).into()).encrypt_block(&mut mask);
        let mut once = Zeroizing::new([0; 32]);
        for (to, from) in once.iter_mut().zip(self.point.iter().chain(mask.iter())) {
            *to = *from;
        }
        let made = Poly1305::new((&*once).into()).compute_unpadded(body);
        // In constant time: who asks again and again learns nothing of the seal.
        let differ = made.iter().zip(seal).fold(0, |differ, (a, b)| differ | (a ^ b));
        if differ != 0 {
            return None;
        }
        let mut plain = body.to_vec();
        Ctr128BE::<Aes256>::new((&*self.cipher).into(), (&initial).into()).apply_keystream(&mut plain);
        Some(plain)
    }

    fn of_master(json: &[u8]) -> Option<Self> {
        let MasterKey { mac, encrypt } = serde_json::from_slice(json).ok()?;
        Some(Self { cipher: bytes(&encrypt)?, seal: bytes(&mac.k)?, point: bytes(&mac.r)? })
    }
}

fn bytes<const N: usize>(text: &str) -> Option<Zeroizing<[u8; N]>> {
    let decoded = Zeroizing::new(STANDARD.decode(text).ok()?);
    Some(Zeroizing::new(decoded.as_slice().try_into().ok()?))
}

impl KeyFile {
    /// The master key, if this is the password for it.
    ///
    /// # Errors
    /// Parameters that are not known or that would take too much memory.
    pub(super) fn open(&self, password: &[u8]) -> Result<Option<Key>, String> {
        if self.kdf != "scrypt" {
            return Err(format!("keys are derived by {:?}, which is not known", self.kdf));
        }
        let memory = self.cost.checked_mul(u64::from(self.r)).and_then(|blocks| blocks.checked_mul(128));
        if !self.cost.is_power_of_two() || memory.is_none_or(|m| m > MOST_SCRYPT) || self.p > MOST_ROUNDS {
            return Err(format!(
                "the parameters of scrypt are refused: N {}, r {}, p {}",
                self.cost, self.r, self.p
            ));
        }
        let invalid = |e: &dyn std::fmt::Display| format!("the key cannot be derived: {e}");
        let cost = u8::try_from(self.cost.trailing_zeros()).map_err(|e| invalid(&e))?;
        let params = scrypt::Params::new(cost, self.r, self.p).map_err(|e| invalid(&e))?;
        let salt = STANDARD.decode(&self.salt).map_err(|e| invalid(&e))?;
        let mut derived = Zeroizing::new([0; 64]);
        scrypt::scrypt(password, &salt, &params, &mut *derived).map_err(|e| invalid(&e))?;
        let part = |from: usize, to: usize| derived.get(from..to).unwrap_or_default();
        let key = (|| {
            Some(Key {
                cipher: Zeroizing::new(part(0, 32).try_into().ok()?),
                seal: Zeroizing::new(part(32, 48).try_into().ok()?),
                point: Zeroizing::new(part(48, 64).try_into().ok()?),
            })
        })();
        let sealed = STANDARD.decode(&self.data).map_err(|e| invalid(&e))?;
        let Some(master) = key.and_then(|key| key.open(&sealed)).map(Zeroizing::new) else { return Ok(None) };
        Key::of_master(&master).map(Some).ok_or_else(|| "the master key cannot be understood".to_owned())
    }
}

/// The JSON of a file: of version 1 as it is, of version 2 perhaps compressed, with a 2 before it.
pub(super) fn json(plain: Vec<u8>) -> Result<Vec<u8>, String> {
    match plain.first() {
        Some(b'{' | b'[') => Ok(plain),
        Some(2) => {
            let mut json = Vec::new();
            let compressed = plain.get(1..).unwrap_or_default();
            let decoder = zstd::Decoder::new(compressed).map_err(|e| e.to_string())?;
            decoder.take(MOST_PLAIN + 1).read_to_end(&mut json).map_err(|e| e.to_string())?;
            if json.len() as u64 > MOST_PLAIN {
                return Err("it is too large when it is decompressed".to_owned());
            }
            Ok(json)
        }
        _ => Err("it is neither JSON nor compressed as known".to_owned()),
    }
}

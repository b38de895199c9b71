//! The same computed by other libraries: RustCrypto's AEADs and BLAKE2, ring's HMAC.

use aes_gcm::Aes256Gcm;
use aes_gcm::aead::{Aead, KeyInit, Payload};
use blake2::Blake2bMac;
use blake2::digest::Mac;
use blake2::digest::consts::U32;
use chacha20poly1305::ChaCha20Poly1305;
use proptest::prelude::*;
use ring::hkdf as other_hkdf;
use ring::hmac as other_hmac;
use sha2::{Digest, Sha224};

use super::*;

/// Content key as `format-spec/03-keys-and-ciphers.md` has it.
fn content_key(master_key: &[u8], iv: &[u8]) -> Vec<u8> {
    let secret = other_hkdf_sha256(master_key, b"encryption", b"");
    other_hmac::sign(&other_hmac::Key::new(other_hmac::HMAC_SHA256, &secret), iv).as_ref().to_vec()
}

fn other_hkdf_sha256(ikm: &[u8], salt: &[u8], info: &[u8]) -> Vec<u8> {
    let salt = other_hkdf::Salt::new(other_hkdf::HKDF_SHA256, salt);
    let mut key = vec![0; 32];
    salt.extract(ikm).expand(&[info], other_hkdf::HKDF_SHA256).unwrap().fill(&mut key).unwrap();
    key
}

/// By its definition in RFC 2104, as ring has no SHA-224. Keys are shorter than a block.
fn hmac_sha224(key: &[u8], data: &[u8]) -> Vec<u8> {
    let padded = |pad: u8| -> Vec<u8> { (0..64).map(|i| key.get(i).unwrap_or(&0) ^ pad).collect() };
    let inner = Sha224::digest([&padded(0x36), data].concat());
    Sha224::digest([&padded(0x5c)[..], &inner].concat()).to_vec()
}

fn sealed_by_other<C: Aead + KeyInit>(key: &[u8], nonce: &[u8; 12], aad: &[u8], plaintext: &[u8]) -> Vec<u8> {
    let cipher = C::new_from_slice(key).unwrap();
    let sealed =
        cipher.encrypt(nonce.as_slice().try_into().unwrap(), Payload { msg: plaintext, aad }).unwrap();
    [&nonce[..], &sealed].concat()
}

fn bytes(length: std::ops::Range<usize>) -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), length)
}

proptest! {
    #[test]
    fn contents(
        master_key in bytes(0..64),
        iv in bytes(0..40),
        nonce in any::<[u8; 12]>(),
        plaintext in bytes(0..3000),
        flip in any::<prop::sample::Index>(),
        bit in 0..8_u8,
    ) {
        let key = content_key(&master_key, &iv);
        let master_key = Secret::new(master_key);
        for (algorithm, sealed) in [
            (EncryptionAlgorithm::Aes256Gcm, sealed_by_other::<Aes256Gcm>(&key, &nonce, &iv, &plaintext)),
            (EncryptionAlgorithm::ChaCha20Poly1305, sealed_by_other::<ChaCha20Poly1305>(&key, &nonce, &iv, &plaintext)),
        ] {
            let cipher = ContentCipher::new(algorithm, &master_key).unwrap();
            prop_assert_eq!(&cipher.seal(&iv, &nonce, &plaintext).unwrap(), &sealed);
            let mut opened = sealed.clone();
            prop_assert_eq!(&*cipher.open_in_place(&iv, &mut opened).unwrap(), &plaintext[..]);

            let mut damaged = sealed.clone();
            damaged[flip.index(sealed.len())] ^= 1 << bit;
            prop_assert!(matches!(cipher.open_in_place(&iv, &mut damaged), Err(Error::Authentication)));
            let cut = flip.index(sealed.len());
            prop_assert!(cipher.open_in_place(&iv, &mut sealed[..cut].to_vec()).is_err());
            let other_iv = [&iv[..], b"\0"].concat();
            prop_assert!(cipher.open_in_place(&other_iv, &mut sealed.clone()).is_err());
        }
    }

    #[test]
    fn format_and_maintenance_blobs(
        secret in bytes(1..64),
        unique_id in bytes(0..64),
        nonce in any::<[u8; 12]>(),
        plaintext in bytes(0..2000),
    ) {
        let key = other_hkdf_sha256(&secret, &unique_id, b"AES");
        let aad = other_hkdf_sha256(&secret, &unique_id, b"CHECKSUM");
        let maintenance_key = other_hkdf_sha256(&secret, &unique_id, b"maintenance schedule");
        let secret = Secret::new(secret);

        let sealed = sealed_by_other::<Aes256Gcm>(&key, &nonce, &aad, &plaintext);
        let cipher = FormatCipher::new(&secret, &unique_id).unwrap();
        prop_assert_eq!(&*cipher.open(&sealed).unwrap(), &plaintext);
        prop_assert_eq!(cipher.seal(&nonce, &plaintext).unwrap(), sealed);

        let sealed = sealed_by_other::<Aes256Gcm>(&maintenance_key, &nonce, b"maintenance", &plaintext);
        let cipher = MaintenanceCipher::new(&secret, &unique_id).unwrap();
        prop_assert_eq!(&*cipher.open(&sealed).unwrap(), &plaintext);
        prop_assert_eq!(cipher.seal(&nonce, &plaintext).unwrap(), sealed);
    }

    #[test]
    fn hashes(secret in bytes(1..64), data in bytes(0..5000)) {
        let blake2b = Blake2bMac::<U32>::new_from_slice(&secret).unwrap().chain_update(&data).finalize().into_bytes();
        let hmac = |algorithm| other_hmac::sign(&other_hmac::Key::new(algorithm, &secret), &data);
        for (algorithm, expected) in [
            (HashAlgorithm::Blake2b256, &blake2b[..]),
            (HashAlgorithm::Blake2b256_128, &blake2b[..16]),
            (HashAlgorithm::HmacSha224, &hmac_sha224(&secret, &data)[..]),
            (HashAlgorithm::HmacSha256, hmac(other_hmac::HMAC_SHA256).as_ref()),
            (HashAlgorithm::HmacSha256_128, &hmac(other_hmac::HMAC_SHA256).as_ref()[..16]),
        ] {
            let hasher = ContentHasher::new(algorithm, &secret).unwrap();
            let hash = hasher.hash(&data);
            prop_assert_eq!(hash.as_bytes(), expected, "{}", algorithm);
        }
    }
}

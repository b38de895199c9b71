//! Decryption piece by piece, for blobs that are not to be held whole. The library that decrypts contents takes whole
//! messages only; this uses others.

use std::fmt;

use aes::Aes256;
use chacha20::ChaCha20;
use ctr::Ctr32BE;
use ctr::cipher::{Array, BlockCipherEncrypt, KeyInit, KeyIvInit, StreamCipher};
use ghash::GHash;
use ghash::universal_hash::UniversalHash;
use poly1305::Poly1305;
use zeroize::Zeroizing;

use super::{EncryptionAlgorithm, Error};

/// Bytes of which the authenticators take whole numbers.
const BLOCK: usize = 16;

/// A block of ChaCha20's key stream: the first one makes the key of the authenticator.
const CHACHA_BLOCK: usize = 64;

/// Decrypts one message piece by piece.
///
/// What [`update`](Self::update) gives is worth nothing until [`finish`](Self::finish) has accepted the tag.
pub struct OpenStream {
    cipher: Cipher,
    /// Bytes so far.
    length: u64,
    associated: u64,
    /// Whether a piece ended inside a block: it must have been the last.
    ended: bool,
    misused: bool,
}

enum Cipher {
    Gcm { stream: Box<Ctr32BE<Aes256>>, hash: Box<GHash>, mask: Zeroizing<[u8; BLOCK]> },
    ChaCha { stream: Box<ChaCha20>, hash: Box<Poly1305> },
}

impl OpenStream {
    pub(super) fn new(
        algorithm: EncryptionAlgorithm,
        key: &[u8; 32],
        nonce: &[u8; 12],
        associated: &[u8],
    ) -> Self {
        let mut cipher = match algorithm {
            EncryptionAlgorithm::Aes256Gcm => {
                let mut hash_key = Array::from([0; BLOCK]);
                Aes256::new(key.into()).encrypt_block(&mut hash_key);
                let mut counter = [0; BLOCK];
                for (to, from) in counter.iter_mut().zip(nonce.iter().chain(&[0, 0, 0, 1])) {
                    *to = *from;
                }
                let mut stream = Ctr32BE::<Aes256>::new(key.into(), (&counter).into());
                let mut mask = Zeroizing::new([0; BLOCK]);
                stream.apply_keystream(&mut *mask);
                Cipher::Gcm { stream: Box::new(stream), hash: Box::new(GHash::new(&hash_key)), mask }
            }
            EncryptionAlgorithm::ChaCha20Poly1305 => {
                let mut stream = ChaCha20::new(key.into(), nonce.into());
                let mut first = Zeroizing::new([0; CHACHA_BLOCK]);
                stream.apply_keystream(&mut *first);
                let mut hash_key = Zeroizing::new([0; 32]);
                for (to, from) in hash_key.iter_mut().zip(first.iter()) {
                    *to = *from;
                }
                let hash = Poly1305::new((&*hash_key).into());
                Cipher::ChaCha { stream: Box::new(stream), hash: Box::new(hash) }
            }
        };
        cipher.absorb(associated);
        Self { cipher, length: 0, associated: associated.len() as u64, ended: false, misused: false }
    }

    /// Decrypts the next piece of the ciphertext where it lies. All pieces but the last have to have a multiple of 16
    /// bytes, or the message will not be accepted.
    pub fn update(&mut self, piece: &mut [u8]) {
        self.misused |= self.ended && !piece.is_empty();
        self.ended |= !piece.len().is_multiple_of(BLOCK);
        self.length += piece.len() as u64;
        self.cipher.absorb(piece);
        match &mut self.cipher {
            Cipher::Gcm { stream, .. } => stream.apply_keystream(piece),
            Cipher::ChaCha { stream, .. } => stream.apply_keystream(piece),
        }
    }

    /// Compares with the tag behind the ciphertext.
    ///
    /// # Errors
    /// [`Error::Authentication`]: nothing of what was decrypted may be used.
    pub fn finish(self, tag: &[u8; BLOCK]) -> Result<(), Error> {
        let computed: [u8; BLOCK] = match self.cipher {
            Cipher::Gcm { mut hash, mask, .. } => {
                let lengths = (u128::from(self.associated * 8) << 64) | u128::from(self.length * 8);
                hash.update(&[Array::from(lengths.to_be_bytes())]);
                let hash: [u8; BLOCK] = hash.finalize().into();
                (u128::from_be_bytes(hash) ^ u128::from_be_bytes(*mask)).to_be_bytes()
            }
            Cipher::ChaCha { mut hash, .. } => {
                let lengths = u128::from(self.associated) | (u128::from(self.length) << 64);
                hash.update(&[Array::from(lengths.to_le_bytes())]);
                hash.finalize().into()
            }
        };
        let differing = computed.iter().zip(tag).fold(0, |bits, (a, b)| bits | (a ^ b));
        if differing == 0 && !self.misused { Ok(()) } else { Err(Error::Authentication) }
    }
}

impl Cipher {
    fn absorb(&mut self, bytes: &[u8]) {
        match self {
            Self::Gcm { hash, .. } => hash.update_padded(bytes),
            Self::ChaCha { hash, .. } => hash.update_padded(bytes),
        }
    }
}

impl fmt::Debug for OpenStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenStream").field("length", &self.length).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use crate::crypto::{ContentCipher, EncryptionAlgorithm, OVERHEAD, Secret};

    fn opened(cipher: &ContentCipher, iv: &[u8], sealed: &[u8], piece: usize) -> Option<Vec<u8>> {
        let (nonce, rest) = sealed.split_first_chunk().unwrap();
        let (ciphertext, tag) = rest.split_last_chunk().unwrap();
        let mut stream = cipher.open_stream(iv, nonce);
        let mut plaintext = ciphertext.to_vec();
        plaintext.chunks_mut(piece).for_each(|piece| stream.update(piece));
        stream.finish(tag).ok().map(|()| plaintext)
    }

    #[test]
    fn pieces_decrypt_like_the_whole_and_no_changed_byte_is_accepted() {
        for algorithm in [EncryptionAlgorithm::Aes256Gcm, EncryptionAlgorithm::ChaCha20Poly1305] {
            let cipher = ContentCipher::new(algorithm, &Secret::new(vec![7; 32])).unwrap();
            for length in [0, 1, 15, 16, 17, 63, 64, 65, 1000, 4096, 5000] {
                let plaintext: Vec<u8> = (0..length).map(|i| (i * 31) as u8).collect();
                for iv in [&b"0123456789abcdef"[..], b"an iv of some other length, for the padding"] {
                    let sealed = cipher.seal(iv, &[9; 12], &plaintext).unwrap();
                    for piece in [16, 48, 64, 4096, 8192] {
                        assert_eq!(opened(&cipher, iv, &sealed, piece).as_ref(), Some(&plaintext));
                    }
                    assert_eq!(sealed.len(), length + OVERHEAD);
                    for at in (0..sealed.len()).step_by(1 + length / 40) {
                        let mut wrong = sealed.clone();
                        wrong[at] ^= 0x10;
                        assert_eq!(opened(&cipher, iv, &wrong, 64), None, "{algorithm} {length} at {at}");
                    }
                    assert_eq!(opened(&cipher, b"another iv......", &sealed, 64), None);
                }
            }
        }
    }

    #[test]
    fn pieces_that_end_inside_a_block_are_not_accepted() {
        let cipher = ContentCipher::new(EncryptionAlgorithm::Aes256Gcm, &Secret::new(vec![7; 32])).unwrap();
        let sealed = cipher.seal(b"iv", &[9; 12], &[1; 100]).unwrap();
        assert_eq!(opened(&cipher, b"iv", &sealed, 20), None);
    }
}

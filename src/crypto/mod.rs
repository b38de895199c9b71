//! Key derivation, authenticated encryption, keyed hashes, and secrets that zeroise.

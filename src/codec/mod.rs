//! Decompressors and error correction: bytes in, bytes out, no keys.

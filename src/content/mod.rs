//! From a content ID to its plaintext.

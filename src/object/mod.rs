//! Objects: byte streams made of one or many contents.

//! rokopia
fn main() {}

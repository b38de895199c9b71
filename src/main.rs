//! rokopia
fn main(){}

//! Small files of the configuration that are read while the service runs.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// Longer ones are something else.
const LONGEST: u64 = 1 << 20;

/// All of a file.
pub(super) fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(LONGEST + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LONGEST {
        return Err(io::Error::from(io::ErrorKind::FileTooLarge));
    }
    Ok(bytes)
}

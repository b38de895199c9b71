//! Buffers grown with zeros.

const ZEROS: [u8; 4096] = [0; 4096];

/// As `Vec::resize` with zeros, which sets byte after byte where code is built for size.
pub(crate) fn resize(buffer: &mut Vec<u8>, length: usize) {
    buffer.truncate(length);
    buffer.reserve(length - buffer.len());
    while buffer.len() < length {
        let missing = length - buffer.len();
        buffer.extend_from_slice(ZEROS.get(..missing).unwrap_or(&ZEROS));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_has_the_length_asked_for_and_zeros_behind_what_it_had() {
        for length in [0, 1, 3, 4096, 4099, 10_000] {
            let mut expected = vec![7; 3];
            expected.resize(length, 0);
            let mut buffer = vec![7; 3];
            resize(&mut buffer, length);
            assert_eq!(buffer, expected);
        }
    }
}

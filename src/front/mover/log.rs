//! The log, which is all that the operator sees of a mover but its exit code.
//!
//! Everything goes to stdout: on two streams the order of lines would be left to chance, and the operator keeps the last ones
//! only. Lines with certain words are copied into the status, see `docs/volsync.md`; others may be as many as needed.

use std::fmt::Display;
use std::io::{Write, stdout};

use std::time::Instant;

use super::error::Error;
use crate::os::sync::Mutex;
use crate::text::escape;

/// The operator stops reading at a line over 64 KiB.
const LONGEST_LINE: usize = 8 << 10;

/// One line, whatever is in it.
pub(super) fn line(text: impl Display) {
    let text = text.to_string();
    let mut text = cut(&escape(&text), LONGEST_LINE).to_owned();
    text.push('\n');
    // Nobody is left to tell when the log is gone, and a restore goes on without it.
    let _ = stdout().lock().write_all(text.as_bytes());
}

pub(super) fn info(text: impl Display) {
    line(format_args!("INFO: {text}"));
}

pub(super) fn warn(text: impl Display) {
    line(format_args!("WARN: {text}"));
}

/// Runs a phase and logs how long it took.
pub(super) fn timed<T>(what: &str, phase: impl FnOnce() -> T) -> T {
    let started = Instant::now();
    let result = phase();
    line(format_args!("TIMING: {what} took {:.3} seconds", started.elapsed().as_secs_f64()));
    result
}

/// The longest beginning of `text` that has at most `bytes` bytes and ends between characters.
pub(super) fn cut(text: &str, bytes: usize) -> &str {
    let end = (0..=bytes).rev().find(|end| text.is_char_boundary(*end)).filter(|_| bytes < text.len());
    end.and_then(|end| text.get(..end)).unwrap_or(text)
}

/// The closing lines after `before`, once: the thread that ends the process first says how, and others wait for it.
fn close(before: &[String], exit_code: u8) {
    static SAID: Mutex<bool> = Mutex::new(false);
    let mut said = SAID.lock();
    if std::mem::replace(&mut *said, true) {
        return;
    }
    before.iter().for_each(line);
    let direction = std::env::var("DIRECTION").ok().filter(|direction| !direction.is_empty());
    let result = if exit_code == 0 { "SUCCESS" } else { "FAILURE" };
    info("=== OPERATION SUMMARY ===");
    info(format_args!("OPERATION_TYPE: {}", direction.as_deref().unwrap_or("unknown")));
    info(format_args!("OPERATION_RESULT: {result}"));
    info(format_args!("EXIT_CODE: {exit_code}"));
    info("=== Done ===");
}

/// How the run ended.
pub(super) fn summary(exit_code: u8) {
    close(&[], exit_code);
}

/// The same when a signal ends the process.
pub(super) fn last_words(exit_code: u8) {
    let received = "WARN: Received SIGTERM signal - pod is being terminated".to_owned();
    close(&[received, Error::Stopped.line()], exit_code);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cut_between_characters() {
        assert_eq!(cut("aé", 2), "a");
        assert_eq!(cut("aé", 3), "aé");
        assert_eq!(cut("", 3), "");
    }
}

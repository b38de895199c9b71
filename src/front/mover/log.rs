//! The log, which is all that the operator sees of a mover but its exit code.
//!
//! Everything goes to stdout: on two streams the order of lines would be left to chance, and the operator keeps the last ones
//! only. Lines with certain words are copied into the status, see `docs/volsync.md`; others may be as many as needed.

use std::fmt::Display;
use std::io::{Write, stderr, stdout};
use std::os::fd::AsFd;
use std::sync::OnceLock;
use std::time::Instant;

use super::error::Error;
use crate::blob::{Guard, InRepository, is_regular_file};
use crate::os::signals;
use crate::os::sync::Mutex;
use crate::text::escape;

/// The operator stops reading at a line over 64 KiB.
const LONGEST_LINE: usize = 8 << 10;

/// Where the log goes instead of stdout.
#[derive(Clone, Copy)]
enum Instead {
    Stderr,
    Nowhere,
}

static INSTEAD: OnceLock<Instead> = OnceLock::new();

/// Keeps the log out of the repository. That is looked for only where the log is a file: it may be on storage that hangs.
///
/// # Errors
/// Stdout or stderr is a file in it. What is logged from then on goes to the other one, or is lost.
pub(super) fn keep_out_of(guard: impl FnOnce() -> Guard) -> Result<(), InRepository> {
    let (log, errors) = outside([&stdout(), &stderr()], guard);
    if let Err(refused) = log {
        INSTEAD.get_or_init(|| if errors.is_ok() { Instead::Stderr } else { Instead::Nowhere });
        return Err(refused);
    }
    errors
}

/// Whether two open files may be written to.
fn outside(
    [first, second]: [&dyn AsFd; 2],
    guard: impl FnOnce() -> Guard,
) -> (Result<(), InRepository>, Result<(), InRepository>) {
    let (first, second) = (first.as_fd(), second.as_fd());
    if !is_regular_file(first) && !is_regular_file(second) {
        return (Ok(()), Ok(()));
    }
    let guard = guard();
    (guard.open_file(first), guard.open_file(second))
}

/// One line, whatever is in it.
pub(super) fn line(text: impl Display) {
    let text = text.to_string();
    let mut text = cut(&escape(&text), LONGEST_LINE).to_owned();
    text.push('\n');
    // Nobody is left to tell when the log is gone, and a restore goes on without it.
    let _ = match INSTEAD.get() {
        None => stdout().lock().write_all(text.as_bytes()),
        Some(Instead::Stderr) => stderr().lock().write_all(text.as_bytes()),
        Some(Instead::Nowhere) => Ok(()),
    };
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
    let signal = signals::name(exit_code);
    let received = format!("WARN: Received {signal} signal - pod is being terminated");
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

    #[test]
    fn a_log_that_is_no_file_needs_nothing_of_the_repository() {
        let (reader, writer) = std::io::pipe().unwrap();
        let (first, second) = outside([&reader, &writer], || panic!("the repository may hang"));
        assert!(first.is_ok() && second.is_ok());
        let repository = tempfile::tempdir().unwrap();
        let inside = std::fs::File::create(repository.path().join("log")).unwrap();
        let (first, second) = outside([&inside, &writer], || Guard::new(repository.path()).unwrap());
        assert!(first.is_err() && second.is_ok());
    }
}

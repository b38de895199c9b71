//! Ending by SIGINT, SIGTERM and SIGHUP: at once, or after cleaning up.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicUsize, Ordering};
use std::time::Duration;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGXFSZ};
use signal_hook::iterator::Signals;

use crate::os::sandbox::Sandbox;

/// Exit codes of processes ended by a signal begin here.
const BASE: i32 = 128;

/// How long the last words may take.
pub(crate) const ON_EXIT_LIMIT: Duration = Duration::from_millis(300);

static RECEIVED: AtomicI32 = AtomicI32::new(0);
static CLEANERS: AtomicUsize = AtomicUsize::new(0);
static STOP: std::sync::LazyLock<Arc<AtomicBool>> = std::sync::LazyLock::new(Arc::default);

/// How the process ends when a signal arrives.
#[derive(Debug, Clone, Default)]
pub(crate) struct SignalPolicy {
    /// How long to wait for who cleans up; without it, until the end or a second signal.
    pub(crate) grace_period: Option<Duration>,
    /// Called before the process is ended from here, with its exit code.
    pub(crate) on_exit: Option<fn(u8)>,
    /// What the thread that waits for signals gives up: other threads enter theirs too late for it.
    pub(crate) sandbox: Sandbox,
}

/// Starts to watch. Where that is not possible, signals end the process as they always do.
pub(crate) fn install(policy: SignalPolicy) {
    // With a handler, a file that grows beyond the limit of the process is an error of who writes it.
    let _ = signal_hook::flag::register(SIGXFSZ, Arc::default());
    let mut ending = vec![SIGINT, SIGTERM];
    if !is_ignored(SIGHUP) {
        ending.push(SIGHUP);
    }
    let Ok(mut signals) = Signals::new(ending) else { return };
    let watch = move || {
        // The thread that does the work says what cannot be given up.
        let _ = policy.sandbox.enter();
        for signal in &mut signals {
            let again = RECEIVED.swap(signal, Ordering::SeqCst) != 0;
            STOP.store(true, Ordering::SeqCst);
            if !again && CLEANERS.load(Ordering::SeqCst) != 0 {
                let Some(grace_period) = policy.grace_period else { continue };
                std::thread::sleep(grace_period);
            }
            if let Some(on_exit) = policy.on_exit {
                say(on_exit, u8::try_from(BASE + signal).unwrap_or(u8::MAX));
            }
            std::process::exit(BASE + signal);
        }
    };
    // Without the thread the signals would be swallowed, but then nothing else could run either.
    let _ = std::thread::Builder::new().name("signals".into()).spawn(watch);
}

/// Whether this process was started, as by `nohup`, to outlive a signal. Where that cannot be known, it was.
fn is_ignored(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    ignored.is_none_or(|mask| mask & (1 << (signal - 1)) != 0)
}

/// Says the last words, unless nobody takes them: a writer that waits for a reader of the log also holds the lock on it.
fn say(on_exit: fn(u8), exit_code: u8) {
    let (said, heard) = std::sync::mpsc::channel();
    let speak = move || {
        on_exit(exit_code);
        // There may be no listener left.
        let _ = said.send(());
    };
    if std::thread::Builder::new().name("last words".into()).spawn(speak).is_ok() {
        let _ = heard.recv_timeout(ON_EXIT_LIMIT);
    }
}

/// The name of the signal that an exit code stands for.
pub(crate) fn name(exit_code: u8) -> &'static str {
    match i32::from(exit_code) - BASE {
        SIGHUP => "SIGHUP",
        SIGINT => "SIGINT",
        _ => "SIGTERM",
    }
}

/// The exit code that a received signal demands.
pub(crate) fn exit_code() -> Option<u8> {
    match RECEIVED.load(Ordering::SeqCst) {
        0 => None,
        signal => u8::try_from(BASE + signal).ok(),
    }
}

/// Raised when a signal has arrived.
pub(crate) fn raised() -> Arc<AtomicBool> {
    Arc::clone(&STOP)
}

/// Whether a signal has arrived.
pub(crate) fn is_raised() -> bool {
    STOP.load(Ordering::SeqCst)
}

/// While this lives, a first signal only raises the flag, and its holder is expected to clean up and return.
pub(crate) struct CleanUp;

impl CleanUp {
    /// Announces that there is something to clean up.
    pub(crate) fn new() -> Self {
        CLEANERS.fetch_add(1, Ordering::SeqCst);
        Self
    }

    /// Its holder was meant to be ended by a signal: its own exit code counts.
    pub(crate) fn finish(self) {
        RECEIVED.store(0, Ordering::SeqCst);
    }

    /// Raised when the holder should stop.
    pub(crate) fn flag(&self) -> Arc<AtomicBool> {
        raised()
    }
}

impl Drop for CleanUp {
    fn drop(&mut self) {
        CLEANERS.fetch_sub(1, Ordering::SeqCst);
    }
}

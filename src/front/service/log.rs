//! The log: JSON lines on stdout with the names that the reference uses, written by a thread of their own. A reader of
//! the log that hangs must not hang the answers.

use std::fmt;
use std::io::{self, Write};
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

use super::app::App;
use super::exists;
use crate::checker::{Answer, Question, State};
use crate::snapshot::UtcTimestamp;

/// Lines that may wait to be written; what comes on top of them is dropped, and counted.
const QUEUE: usize = 16_384;

/// A pause after each write, in which lines gather: to wake the writer for each would cost more than to answer.
const GATHER: Duration = Duration::from_millis(5);

/// The reader of the log may take this long over the last lines.
const FLUSH: Duration = Duration::from_millis(500);

/// How much is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Level {
    /// Everything.
    Debug,
    /// Every decision.
    #[default]
    Info,
    /// What is not as it should be.
    Warn,
    /// What failed.
    Error,
}

impl FromStr for Level {
    type Err = std::convert::Infallible;

    /// Any other word means [`Level::Info`].
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text.to_ascii_lowercase().as_str() {
            "debug" => Self::Debug,
            "warn" => Self::Warn,
            "error" => Self::Error,
            _ => Self::Info,
        })
    }
}

/// The log of the process; what is queued is written when it is dropped.
#[derive(Debug)]
pub struct Log {
    lines: Option<SyncSender<Vec<u8>>>,
    finished: Receiver<()>,
    writer: Option<JoinHandle<()>>,
}

impl Log {
    /// Starts to log. Only the first log of a process counts.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn start(level: Level) -> io::Result<Self> {
        let (lines, queue) = sync_channel(QUEUE);
        let (done, finished) = sync_channel(1);
        let dropped = Arc::new(AtomicU64::new(0));
        let missed = Arc::clone(&dropped);
        let writer = thread::Builder::new().name("log".into()).spawn(move || {
            write_lines(&queue, &missed, io::stdout().lock());
            let _ = done.send(());
        })?;
        let filter = match level {
            Level::Debug => LevelFilter::DEBUG,
            Level::Info => LevelFilter::INFO,
            Level::Warn => LevelFilter::WARN,
            Level::Error => LevelFilter::ERROR,
        };
        let layer = JsonLines { lines: lines.clone(), dropped }.with_filter(filter);
        let _ = tracing::subscriber::set_global_default(tracing_subscriber::registry().with(layer));
        Ok(Self { lines: Some(lines), finished, writer: Some(writer) })
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        // The subscriber keeps a sender for ever, so that the end has to be said: an empty line is never logged.
        if let Some(lines) = self.lines.take()
            && lines.try_send(Vec::new()).is_ok()
            && self.finished.recv_timeout(FLUSH).is_ok()
            && let Some(writer) = self.writer.take()
        {
            let _ = writer.join();
        }
    }
}

fn write_lines(queue: &Receiver<Vec<u8>>, missed: &AtomicU64, mut out: impl Write) {
    while let Ok(mut lines) = queue.recv() {
        let mut end = lines.is_empty();
        while let Ok(line) = queue.try_recv() {
            end |= line.is_empty();
            lines.extend(line);
        }
        let dropped = missed.swap(0, Ordering::Relaxed);
        if dropped > 0 {
            let (time, msg) = (UtcTimestamp::now(), "log lines were dropped, the log is read too slowly");
            let line = serde_json::json!({"time": time, "level": "WARN", "msg": msg, "dropped": dropped});
            lines.extend(format!("{line}\n").into_bytes());
        }
        // Without a log the service still answers.
        let _ = out.write_all(&lines).and_then(|()| out.flush());
        if end {
            return;
        }
        thread::sleep(GATHER);
    }
}

struct JsonLines {
    lines: SyncSender<Vec<u8>>,
    dropped: Arc<AtomicU64>,
}

impl<S: Subscriber> Layer<S> for JsonLines {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut fields = Fields(Map::new());
        let level = event.metadata().level().as_str();
        fields.0.insert("time".into(), UtcTimestamp::now().to_string().into());
        fields.0.insert("level".into(), level.into());
        event.record(&mut fields);
        let mut line = Value::Object(fields.0).to_string().into_bytes();
        line.push(b'\n');
        if let Err(TrySendError::Full(_)) = self.lines.try_send(line) {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

struct Fields(Map<String, Value>);

impl Fields {
    fn put(&mut self, field: &Field, value: Value) {
        let name = if field.name() == "message" { "msg" } else { field.name() };
        self.0.insert(name.to_owned(), value);
    }
}

impl Visit for Fields {
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value.into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value.into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, format!("{value:?}").into());
    }
}

/// One line for each answer.
pub(super) fn decision(app: &App, question: &Question, answer: &Answer, took: Duration) {
    let (namespace, pvc) = (question.namespace(), question.pvc());
    let decision = exists::decision(answer.state);
    let source = answer.source.to_string();
    let view_age_ms = answer.as_of.map(|as_of| millis(app.checker.now().elapsed_since(as_of)));
    let took_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
    let snapshots = answer.snapshots as u64;
    match (&answer.reason, answer.state) {
        (Some(reason), _) => tracing::warn!(
            namespace,
            pvc,
            decision,
            source,
            reason = reason.code(),
            error = reason.message(),
            view_age_ms,
            took_us,
            "decision"
        ),
        (None, State::Exists) => {
            let found = answer.found.as_ref().map(ToString::to_string);
            let (found, latest) = (found.as_deref(), answer.latest.map(|time| time.to_string()));
            let (latest, incomplete) = (latest.as_deref(), answer.incomplete as u64);
            tracing::info!(
                namespace,
                pvc,
                decision,
                source,
                found,
                snapshots,
                incomplete,
                latest,
                view_age_ms,
                took_us,
                "decision"
            );
        }
        (None, _) => {
            tracing::info!(namespace, pvc, decision, source, snapshots, view_age_ms, took_us, "decision");
        }
    }
}

/// One line for each request that asks nothing.
pub(super) fn refused(path: &str) {
    let path: String = path.chars().take(300).collect();
    tracing::warn!(path, reason = "invalid-path", "request refused");
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels() {
        let level = |text: &str| text.parse::<Level>().unwrap();
        assert_eq!(
            (level("DEBUG"), level("warn"), level("error")),
            (Level::Debug, Level::Warn, Level::Error)
        );
        assert_eq!((level("nonsense"), level("")), (Level::Info, Level::Info));
    }

    #[test]
    fn lines_are_written_until_the_end_is_said() {
        let (send, queue) = sync_channel(8);
        for line in ["a\n", "b\n", "", "c\n"] {
            send.send(line.as_bytes().to_vec()).unwrap();
        }
        let mut out = Vec::new();
        write_lines(&queue, &AtomicU64::new(3), &mut out);
        let text = String::from_utf8(out).unwrap();
        assert!(text.starts_with("a\nb\n") && text.contains("\"dropped\":3"), "{text}");
    }
}

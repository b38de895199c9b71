//! Talk on stderr: warnings and progress for people, or JSON lines for log collectors.

use std::fmt;
use std::io::{IsTerminal, Write, stderr, stdout};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, layer};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;

use super::args::{Color, Global, LogFormat};
use super::output::escape;
use super::progress::Talk;
use crate::blob::Counts;
use crate::front::limits;

/// Starts logging as the options say.
pub(super) fn start(global: &Global) {
    let level = match global.verbose {
        _ if global.quiet => LevelFilter::ERROR,
        0 => LevelFilter::INFO,
        1 => LevelFilter::DEBUG,
        _ => LevelFilter::TRACE,
    };
    // Ours alone: what libraries say of connections nobody asked for, and it may be more than should be in a log.
    let ours = tracing_subscriber::registry().with(Targets::new().with_target("rokopia", level));
    // Told on stderr as well, and with a panic of the thread that logs where that is gone.
    let layer = layer().with_writer(|| Talk).log_internal_errors(false);
    // A subscriber is there already only where tests run the command twice in one process.
    let _ = match global.log_format {
        LogFormat::Json => {
            tracing::subscriber::set_global_default(ours.with(layer.json().flatten_event(true)))
        }
        LogFormat::Text => {
            let lines = Lines { color: use_color(global.color) };
            tracing::subscriber::set_global_default(ours.with(layer.event_format(lines)))
        }
    };
}

/// What was asked of the storage, where that was wanted: also where nothing else is said.
pub(super) fn tell_stats(json: bool, counts: &Counts) {
    let line = match json {
        true => serde_json::json!({ "storage": counts }).to_string(),
        false => limits::told(counts),
    };
    // There is nowhere left to say it when stderr is gone.
    let _ = writeln!(Talk, "{line}");
}

/// Whether stderr gets colours.
pub(super) fn use_color(color: Color) -> bool {
    match color {
        Color::Always => true,
        Color::Never => false,
        Color::Auto => stderr().is_terminal() && colors_are_welcome(),
    }
}

/// Whether help, which is printed before `--color` is known, gets colours.
pub(super) fn use_color_on_stdout() -> bool {
    stdout().is_terminal() && colors_are_welcome()
}

fn colors_are_welcome() -> bool {
    let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    !refused && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// One line an event: `warning: what is the matter (name=value)`.
struct Lines {
    color: bool,
}

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let (label, style) = match *event.metadata().level() {
            Level::ERROR => ("error: ", "\x1b[1;31m"),
            Level::WARN => ("warning: ", "\x1b[1;33m"),
            Level::INFO => ("", ""),
            Level::DEBUG => ("debug: ", "\x1b[2m"),
            Level::TRACE => ("trace: ", "\x1b[2m"),
        };
        if self.color && !label.is_empty() {
            write!(writer, "{style}{label}\x1b[0m")?;
        } else {
            writer.write_str(label)?;
        }
        let mut text = Text::default();
        event.record(&mut text);
        writer.write_str(&escape(&text.message))?;
        if !text.fields.is_empty() {
            write!(writer, " ({})", escape(&text.fields.join(", ")))?;
        }
        writeln!(writer)
    }
}

#[derive(Default)]
struct Text {
    message: String,
    fields: Vec<String>,
}

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.message = format!("{value:?}");
        } else {
            self.fields.push(format!("{}={value:?}", field.name()));
        }
    }
}

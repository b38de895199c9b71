//! What "the same output" means for each command: byte for byte, but for what differs between two runs of Kopia.

use super::support::Done;

/// How far two outputs of a command have to agree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Agreement {
    /// Stdout byte for byte, the exit code, and of a failure also stderr.
    Exact,
    /// As `Exact`, with stderr also of what succeeds.
    Stderr,
    /// As `Exact`, but the order of lines is that of a Go map or of a directory on disk.
    AnyOrder,
    /// The exit code, and the last words on stderr: a failure is told another way, but what it is stays.
    Ending,
    /// The exit code and whether there is any output: what a build or this moment decides.
    Shape,
    /// The front does not answer this itself.
    HandedOver,
}

pub(crate) fn agreement(args: &[&str]) -> Agreement {
    match args {
        ["--version"] => Agreement::Shape,
        ["maintenance", "info"] => Agreement::AnyOrder,
        ["snapshot", "create", ..] => Agreement::HandedOver,
        ["content", "verify"] => Agreement::Stderr,
        ["snapshot", "verify", ..] | ["restore", _, ..] => Agreement::Stderr,
        ["snapshot", "restore", "00000000000000000000000000000000", _] => Agreement::Ending,
        ["snapshot", "restore", ..] => Agreement::Stderr,
        ["ls" | "blob" | "index", ..] | ["content", "stats", ..] | ["manifest", "show", ..] => {
            Agreement::AnyOrder
        }
        _ => Agreement::Exact,
    }
}

/// Whether the times of blobs are those of the recording: a checkout gives every file a new one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Times {
    Comparable,
    Lost,
}

/// Why two outputs differ; `None` when they agree as far as they must.
pub(crate) fn differs(args: &[&str], ours: &Done, theirs: &Done, times: Times) -> Option<String> {
    let agreement = agreement(args);
    if agreement == Agreement::HandedOver {
        let refused =
            ours.exit == 1 && ours.stdout.is_empty() && ours.stderr.starts_with("rokopia only reads");
        return (!refused).then(|| format!("not refused: {ours:?}"));
    }
    if ours.exit != theirs.exit {
        return Some(format!("exit {} is not {}; {}", ours.exit, theirs.exit, ours.stderr));
    }
    if agreement == Agreement::Shape {
        return (ours.stdout.is_empty() != theirs.stdout.is_empty()).then(|| "no output".to_owned());
    }
    let [mine, others] = [ours, theirs].map(|done| {
        let mut lines: Vec<String> = done.text().split('\n').map(|line| masked(args, line, times)).collect();
        if agreement == Agreement::AnyOrder {
            lines.iter_mut().for_each(|line| *line = line.trim_end_matches(',').to_owned());
            lines.sort_unstable();
        }
        lines
    });
    if let Some((a, b)) = mine.iter().zip(&others).find(|(a, b)| a != b) {
        return Some(format!("{a:?} is not {b:?}"));
    }
    if mine.len() != others.len() {
        return Some(format!("{} lines are not {}", mine.len(), others.len()));
    }
    let [mine, others] = [ours, theirs].map(|done| match agreement {
        Agreement::Ending => done.stderr.trim_end().rsplit(": ").next().unwrap_or_default().to_owned(),
        _ => without_progress(&done.stderr),
    });
    (mine != others).then(|| format!("on stderr {mine:?} is not {others:?}"))
}

/// What is on stderr but for lines that come once a second.
fn without_progress(stderr: &str) -> String {
    let progress = |line: &&str| {
        ["Processed ", "{\"processedObjectCount\"", "  Verified "].iter().any(|p| line.starts_with(p))
    };
    let lines: Vec<&str> = stderr.trim_end_matches('\n').lines().filter(|line| !progress(line)).collect();
    lines.join("\n")
}

/// A line without what differs from day to day.
fn masked(args: &[&str], line: &str, times: Times) -> String {
    let mut line = line.to_owned();
    if args.starts_with(&["repository", "status"]) {
        for label in ["Storage capacity:", "Storage available:"] {
            if line.starts_with(label) {
                return label.to_owned();
            }
        }
        cut(&mut line, "\"volume\":{", "}");
    }
    if args.starts_with(&["maintenance", "info"]) && line.starts_with("  next run: ") {
        return "  next run:".to_owned();
    }
    if times == Times::Lost && matches!(args.first(), Some(&("blob" | "index"))) {
        cut(&mut line, "\"timestamp\":\"", "\"");
        if let Some(at) = line.find(" 20").filter(|_| line.contains(" UTC")) {
            line.truncate(at);
        }
    }
    line
}

/// Takes away what is between two marks.
fn cut(line: &mut String, from: &str, to: &str) {
    if let Some(start) = line.find(from).map(|at| at + from.len())
        && let Some(end) = line[start..].find(to)
    {
        line.replace_range(start..start + end, "");
    }
}

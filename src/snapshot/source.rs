//! Where snapshots come from: `user@host:/path` (`format-spec/13-snapshots.md`).

use std::cmp::Ordering;
use std::fmt;
use std::path::Path;
use std::str::FromStr;

use serde::Serialize;

use crate::gojson::go_object;

/// The source of a snapshot, or the target of a policy. An empty path stands for all paths of the user, an empty
/// user for all users of the host, all empty for everything.
///
/// ```
/// use rokopia::Source;
/// let source: Source = "data-demo@apps:/data".parse().unwrap();
/// assert_eq!((source.user.as_str(), source.host.as_str(), source.path.as_str()), ("data-demo", "apps", "/data"));
/// assert_eq!(source.to_string(), "data-demo@apps:/data");
/// ```
#[derive(Clone, PartialEq, Eq, Hash, Default, Serialize)]
pub struct Source {
    /// Host name of the client.
    pub host: String,
    /// User name of the client.
    #[serde(rename = "userName")]
    pub user: String,
    /// The path that was saved, as the client wrote it.
    pub path: String,
}
go_object!(Source { "host" => host, "userName" => user, "path" => path });

/// Text that is not a source.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a source: {0:?}, expected user@host:/path")]
pub struct InvalidSource(pub String);

/// How a source that stands for everything is written.
const GLOBAL: &str = "(global)";

impl Source {
    /// A source from its parts.
    pub fn new(user: impl Into<String>, host: impl Into<String>, path: impl Into<String>) -> Source {
        Source { host: host.into(), user: user.into(), path: path.into() }
    }

    /// Parses a source as the kopia command line does: what is not `user@host:/path`, `user@host` or `@host` is a
    /// path on the client `user@host`, relative to `directory`.
    pub fn parse_local(
        text: &str,
        user: &str,
        host: &str,
        directory: &Path,
    ) -> Result<Source, InvalidSource> {
        match text.parse() {
            Ok(source) => Ok(source),
            Err(_) if text.contains('@') && !text.contains(':') => Err(InvalidSource(text.to_owned())),
            Err(_) => {
                let path = clean(&Path::new("/").join(directory).join(text).to_string_lossy());
                Ok(Source::new(user, host, path))
            }
        }
    }

    /// The source with its path made canonical by its text alone, as Kopia's clients store it: on Unix and, where the
    /// path begins with a drive or the name of a server, on Windows.
    #[must_use]
    pub fn cleaned(self) -> Source {
        Source { path: clean(&self.path), ..self }
    }

    /// Whether both are the same directory of the same user and host, however their paths are written.
    pub fn is(&self, other: &Source) -> bool {
        self.user == other.user && self.host == other.host && self.same_path(other)
    }

    /// Whether the paths of both are the same directory.
    pub(crate) fn same_path(&self, other: &Source) -> bool {
        self.path == other.path || clean(&self.path) == clean(&other.path)
    }

    /// Whether the path is absolute, on whatever system.
    pub fn is_absolute(&self) -> bool {
        !matches!(Root::of(&self.path), Root::None)
    }

    /// The way from `outer` to this source, with `/` between its parts; empty for the same directory, and `None` when
    /// this one is not inside.
    pub fn path_inside(&self, outer: &Source) -> Option<String> {
        if self.user != outer.user || self.host != outer.host || outer.path.is_empty() {
            return None;
        }
        let (inner, outer) = (clean(&self.path), clean(&outer.path));
        let separator = Root::of(&outer).separator();
        let rest = inner.strip_prefix(&outer)?;
        if !rest.is_empty() && !rest.starts_with(separator) && !outer.ends_with(separator) {
            return None;
        }
        let rest = rest.trim_matches(separator);
        Some(if separator == '/' { rest.to_owned() } else { rest.replace(separator, "/") })
    }

    /// Whether the two differ, but only in the case of letters, on a system where that does not matter.
    pub(super) fn differs_in_case_only(&self, other: &Source) -> bool {
        let same = |a: &str, b: &str| a.to_lowercase() == b.to_lowercase();
        let windows = |path: &str| Root::of(path).separator() == '\\';
        windows(&self.path)
            && windows(&other.path)
            && same(&self.user, &other.user)
            && same(&self.host, &other.host)
            && same(&clean(&self.path), &clean(&other.path))
            && !self.is(other)
    }

    /// The path above this one's, whatever the client's operating system; `None` at the root or when there is
    /// nothing above.
    pub fn parent(&self) -> Option<Source> {
        let parent = parent_path(&self.path).filter(|parent| *parent != self.path)?;
        Some(Source { path: parent, ..self.clone() })
    }
}

/// What an absolute path begins with.
enum Root<'a> {
    Unix,
    /// The letter of a drive.
    Drive(char),
    /// The name of a server, after `\\`.
    Server(&'a str),
    /// The path is relative.
    None,
}

impl<'a> Root<'a> {
    fn of(path: &'a str) -> Self {
        match path.as_bytes() {
            [b'/', ..] => Self::Unix,
            [letter, b':', b'/' | b'\\', ..] if letter.is_ascii_alphabetic() => {
                Self::Drive(letter.to_ascii_uppercase().into())
            }
            [b'\\', b'\\', ..] => {
                let server = path.trim_start_matches('\\').split('\\').next().unwrap_or_default();
                if server.is_empty() { Self::None } else { Self::Server(server) }
            }
            _ => Self::None,
        }
    }

    fn separator(&self) -> char {
        match self {
            Self::Unix | Self::None => '/',
            Self::Drive(_) | Self::Server(_) => '\\',
        }
    }
}

/// Makes a path canonical by its text alone.
fn clean(path: &str) -> String {
    let root = Root::of(path);
    let separator = root.separator();
    let is_separator = |c: char| c == separator || (c == '/' && separator == '\\');
    let (begin, rest) = match root {
        Root::Unix => ("/".to_owned(), path),
        Root::Drive(letter) => (format!("{letter}:\\"), path.get(2..).unwrap_or_default()),
        Root::Server(server) => {
            (format!("\\\\{server}\\"), path.trim_start_matches('\\').get(server.len()..).unwrap_or_default())
        }
        Root::None => (String::new(), path),
    };
    let mut parts: Vec<&str> = Vec::new();
    for part in rest.split(is_separator) {
        match part {
            "" | "." => {}
            ".." if begin.is_empty() && parts.last().is_none_or(|last| *last == "..") => parts.push(part),
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    format!("{begin}{}", parts.join(separator.encode_utf8(&mut [0; 4])))
}

/// The parent of a path with either kind of separator; a root is its own. `None` without separator.
fn parent_path(path: &str) -> Option<String> {
    let separator = |c: char| c == '/' || c == '\\';
    let drive = matches!(path.as_bytes(), [_, b':', b'/' | b'\\', ..]);
    let (volume, rest) = path.split_at_checked(if drive { 2 } else { 0 })?;
    let last = rest.rfind(separator)?;
    let (rest, last) = match rest.get(..last) {
        Some(stripped) if last > 0 && last + 1 == rest.len() => (stripped, stripped.rfind(separator)?),
        _ => (rest, last),
    };
    Some(format!("{volume}{}", rest.get(..last.max(1))?))
}

impl FromStr for Source {
    type Err = InvalidSource;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == GLOBAL {
            return Ok(Source::default());
        }
        let parts = match (text.find('@'), text.find(':')) {
            (Some(at), Some(colon)) if at > 0 && at < colon => {
                (text.get(..at), text.get(at + 1..colon), text.get(colon + 1..))
            }
            (Some(at), None) if at + 1 < text.len() => (text.get(..at), text.get(at + 1..), Some("")),
            _ => (None, None, None),
        };
        match parts {
            (Some(user), Some(host), Some(path)) => Ok(Source::new(user, host, path)),
            _ => Err(InvalidSource(text.chars().take(300).collect())),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.user.as_str(), self.host.as_str(), self.path.as_str()) {
            ("", "", "") => f.write_str(GLOBAL),
            (user, host, "") => write!(f, "{user}@{host}"),
            (user, host, path) => write!(f, "{user}@{host}:{path}"),
        }
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Ord for Source {
    /// By the displayed form, as Kopia sorts; different sources that look alike are told apart by their parts.
    fn cmp(&self, other: &Self) -> Ordering {
        let parts = |s: &Source| (s.user.clone(), s.host.clone(), s.path.clone());
        self.to_string().cmp(&other.to_string()).then_with(|| parts(self).cmp(&parts(other)))
    }
}

impl PartialOrd for Source {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_and_prints() {
        for (text, user, host, path) in [
            ("u@h:/p", "u", "h", "/p"),
            ("u@h:/p@x:y", "u", "h", "/p@x:y"),
            ("u@h:", "u", "h", ""),
            ("u@h:relative/", "u", "h", "relative/"),
            ("a@b@c:/p", "a", "b@c", "/p"),
            ("u@h", "u", "h", ""),
            ("@h", "", "h", ""),
            ("(global)", "", "", ""),
        ] {
            let source: Source = text.parse().unwrap();
            assert_eq!(source, Source::new(user, host, path), "{text}");
            if !text.ends_with(':') {
                assert_eq!(source.to_string(), text);
            }
        }
        for text in ["", "@", "u@", "/p", "p", "@h:/p", ":/p", "c:/u@h"] {
            assert!(text.parse::<Source>().is_err(), "{text}");
        }
    }

    #[test]
    fn local_paths_become_absolute() {
        let parse = |text| Source::parse_local(text, "me", "here", Path::new("/work/dir"));
        assert_eq!(parse("a/../b/.//c").unwrap(), Source::new("me", "here", "/work/dir/b/c"));
        assert_eq!(parse("/../x/").unwrap(), Source::new("me", "here", "/x"));
        assert_eq!(parse("u@h:/x/").unwrap(), Source::new("u", "h", "/x/"));
        assert!(parse("u@").is_err());
    }

    #[test]
    fn parents_follow_the_vectors() {
        let vectors: serde_json::Value =
            serde_json::from_str(include_str!("../../format-spec/vectors/retention.json")).unwrap();
        let parents = vectors["parents"].as_array().unwrap();
        assert!(parents.len() > 5);
        for vector in parents {
            let path = vector["path"].as_str().unwrap();
            assert_eq!(parent_path(path).as_deref(), vector["parent"].as_str(), "{path}");
        }
        for path in ["", "/", "\\", "//", "é", "C:\\", "a:/é/b"] {
            parent_path(path);
        }
    }

    #[test]
    fn sorts_by_display_form() {
        let mut sources: Vec<Source> =
            ["b@a:/x", "a@b:/y", "a@b", "a-b@c:/", "(global)"].iter().map(|s| s.parse().unwrap()).collect();
        sources.sort();
        let sorted: Vec<String> = sources.iter().map(Source::to_string).collect();
        assert_eq!(sorted, ["(global)", "a-b@c:/", "a@b", "a@b:/y", "b@a:/x"]);
    }
}

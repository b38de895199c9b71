//! Who may see which sources: a file of tokens and users, read again when it changes.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::http::HeaderMap;
use axum::http::header::{AUTHORIZATION, COOKIE};
use globset::{GlobBuilder, GlobMatcher};
use ring::hmac;
use sha2::{Digest, Sha256};

use crate::front::service::{Error, file};
use crate::os::sync::Mutex;
use crate::snapshot::Source;

/// A shorter token could be guessed.
const LEAST_TOKEN: usize = 20;

/// How long a browser stays logged in.
pub(super) const SESSION: Duration = Duration::from_secs(12 * 3600);

/// The cookie of a browser that is logged in.
pub(super) const SESSION_COOKIE: &str = "rokopia";

/// The hash of a token: all that is kept of it.
type Hash = [u8; 32];

/// The sources that somebody may see.
#[derive(Debug, Clone)]
pub(super) struct Scope(Vec<GlobMatcher>);

impl Scope {
    pub(super) fn may_see(&self, source: &Source) -> bool {
        let name = source.to_string();
        self.0.iter().any(|pattern| pattern.is_match(&name))
    }
}

/// Somebody who is let in.
#[derive(Debug, Clone)]
pub(super) struct Viewer {
    /// For the log: a user's name, or the beginning of the hash of a token.
    pub(super) name: String,
    pub(super) scope: Scope,
    /// Whether the browser has a session that it can end.
    pub(super) has_session: bool,
}

/// What the file says.
#[derive(Debug)]
struct Rules {
    tokens: Vec<(Hash, Scope)>,
    users: Vec<(String, Scope)>,
}

impl Rules {
    /// Lines of `token SECRET PATTERN…`, `token-sha256 HEX PATTERN…` and `user NAME PATTERN…`. The error names a line, and
    /// never a secret.
    fn parse(text: &str) -> Result<Self, String> {
        let mut rules = Self { tokens: Vec::new(), users: Vec::new() };
        for (number, line) in text.lines().enumerate() {
            let wrong = |why: &str| format!("line {}: {why}", number + 1);
            let mut words = line.split_whitespace();
            let Some(kind) = words.next().filter(|word| !word.starts_with('#')) else { continue };
            let who = words.next().ok_or_else(|| wrong("it names nobody"))?;
            let scope = scope(words).map_err(|why| wrong(&why))?;
            match kind {
                "token" if who.len() < LEAST_TOKEN => {
                    return Err(wrong(&format!("a token has at least {LEAST_TOKEN} characters")));
                }
                "token" => rules.tokens.push((hash(who), scope)),
                "token-sha256" => {
                    let mut hash = Hash::default();
                    hex::decode_to_slice(who, &mut hash).map_err(|_| wrong("expected 64 hex digits"))?;
                    rules.tokens.push((hash, scope));
                }
                "user" => rules.users.push((who.to_owned(), scope)),
                _ => return Err(wrong("a line begins with token, token-sha256 or user")),
            }
        }
        Ok(rules)
    }

    fn token(&self, asked: &Hash) -> Option<&Scope> {
        // Hashes are compared: how long that takes tells nothing of a token.
        self.tokens.iter().find(|(hash, _)| hash == asked).map(|(_, scope)| scope)
    }

    fn user(&self, name: &str) -> Option<&Scope> {
        let exactly = self.users.iter().find(|(user, _)| user == name);
        let anybody = || self.users.iter().find(|(user, _)| user == "*");
        exactly.or_else(anybody).map(|(_, scope)| scope)
    }
}

fn scope<'a>(patterns: impl Iterator<Item = &'a str>) -> Result<Scope, String> {
    let glob = |pattern: &str| {
        let glob = GlobBuilder::new(pattern).literal_separator(false).build();
        glob.map(|glob| glob.compile_matcher()).map_err(|e| format!("{pattern:?}: {}", e.kind()))
    };
    let globs = patterns.map(glob).collect::<Result<Vec<_>, _>>()?;
    if globs.is_empty() {
        return Err("no source is named: * means all, *@apps:* those of a host".to_owned());
    }
    Ok(Scope(globs))
}

fn hash(token: &str) -> Hash {
    Sha256::digest(token.as_bytes()).into()
}

/// What tells whether the file is still the one that was read.
type Stamp = (SystemTime, u64);

/// The file, and the sessions of browsers.
pub(super) struct Access {
    path: PathBuf,
    /// Sessions end with the process.
    key: hmac::Key,
    /// The rules; `None` while the file is not valid. Nobody is let in then.
    known: Mutex<(Option<Stamp>, Option<Arc<Rules>>)>,
}

impl Access {
    /// Reads the file.
    pub(super) fn open(path: PathBuf) -> Result<Self, Error> {
        let failed = |source| Error::AccessFile { path: path.clone(), source };
        let stamp = stamp(&path).map_err(failed)?;
        let rules = read(&path).map_err(failed)?;
        let rules = Rules::parse(&rules).map_err(|reason| Error::Access { path: path.clone(), reason })?;
        let random = ring::rand::SystemRandom::new();
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &random)
            .map_err(|_| Error::Start(io::Error::other("the system has no random numbers")))?;
        Ok(Self { path, key, known: Mutex::new((Some(stamp), Some(Arc::new(rules)))) })
    }

    fn rules(&self) -> Option<Arc<Rules>> {
        let now = stamp(&self.path).ok();
        let mut known = self.known.lock();
        if known.0 != now {
            let parsed = read(&self.path).map_err(|e| e.to_string()).and_then(|text| Rules::parse(&text));
            match &parsed {
                Ok(_) => tracing::info!("{} was read again", self.path.display()),
                Err(why) => {
                    let path = self.path.display();
                    tracing::error!(code = "access-invalid", "nobody is let in to browse: {path}: {why}");
                }
            }
            *known = (now, parsed.ok().map(Arc::new));
        }
        known.1.clone()
    }

    /// Who a proxy says that it is.
    pub(super) fn user(&self, name: &str) -> Option<Viewer> {
        let scope = self.rules()?.user(name)?.clone();
        Some(Viewer { name: name.to_owned(), scope, has_session: false })
    }

    /// Who shows a token, in a header or by the session of a browser.
    pub(super) fn viewer(&self, headers: &HeaderMap) -> Option<Viewer> {
        let bearer = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let bearer = bearer.and_then(|value| value.strip_prefix("Bearer ")).map(|token| hash(token.trim()));
        let session = || cookies(headers).find_map(|cookie| self.session(cookie));
        let (hash, has_session) = match bearer {
            Some(hash) => (hash, false),
            None => (session()?, true),
        };
        let scope = self.rules()?.token(&hash)?.clone();
        Some(Viewer { name: format!("token {}", hex::encode(hash.get(..4)?)), scope, has_session })
    }

    /// The value of a cookie for who has this token. `None` where nobody has it.
    pub(super) fn log_in(&self, token: &str) -> Option<String> {
        let hash = hash(token.trim());
        self.rules()?.token(&hash)?;
        let ends = now().checked_add(SESSION.as_secs())?;
        let content = format!("{ends}.{}", hex::encode(hash));
        let tag = hmac::sign(&self.key, content.as_bytes());
        Some(format!("{content}.{}", hex::encode(tag)))
    }

    /// The token of a session that has not ended.
    fn session(&self, cookie: &str) -> Option<Hash> {
        let (content, tag) = cookie.rsplit_once('.')?;
        hmac::verify(&self.key, content.as_bytes(), &hex::decode(tag).ok()?).ok()?;
        let (ends, token) = content.split_once('.')?;
        let mut hash = Hash::default();
        hex::decode_to_slice(token, &mut hash).ok()?;
        (ends.parse::<u64>().ok()? > now()).then_some(hash)
    }
}

fn cookies(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let all = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    let pairs = all.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.filter(|(name, _)| *name == SESSION_COOKIE).map(|(_, value)| value)
}

fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}

fn stamp(path: &std::path::Path) -> io::Result<Stamp> {
    let metadata = std::fs::metadata(path)?;
    Ok((metadata.modified()?, metadata.len()))
}

fn read(path: &std::path::Path) -> io::Result<String> {
    String::from_utf8(file::read(path)?).map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "correct-horse-battery-staple";

    fn access(text: &str) -> (tempfile::TempDir, Access) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("access");
        std::fs::write(&path, text).unwrap();
        (dir, Access::open(path).unwrap())
    }

    fn with(name: axum::http::HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, value.parse().unwrap())])
    }

    fn source(text: &str) -> Source {
        let (client, path) = text.split_once(':').unwrap();
        let (user, host) = client.split_once('@').unwrap();
        Source::new(user, host, path)
    }

    #[test]
    fn a_token_sees_its_sources_alone() {
        let (_dir, access) = access(&format!("# people\ntoken {TOKEN} *@apps:*\nuser eve *:/public\n"));
        let viewer = access.viewer(&with(AUTHORIZATION, &format!("Bearer {TOKEN}"))).unwrap();
        assert!(viewer.scope.may_see(&source("db@apps:/data/x")));
        assert!(!viewer.scope.may_see(&source("db@media:/data")));
        assert!(access.viewer(&with(AUTHORIZATION, "Bearer correct-horse-battery-stable")).is_none());
        assert!(access.viewer(&HeaderMap::new()).is_none());
        assert!(access.user("eve").unwrap().scope.may_see(&source("a@b:/public")));
        assert!(access.user("mallory").is_none());
    }

    #[test]
    fn a_session_is_signed_and_ends_with_its_token() {
        let (dir, access) = access(&format!("token {TOKEN} *\n"));
        assert!(access.log_in("wrong").is_none());
        let cookie = access.log_in(TOKEN).unwrap();
        let headers = with(COOKIE, &format!("other=1; {SESSION_COOKIE}={cookie}"));
        assert!(access.viewer(&headers).unwrap().has_session);
        let forged = format!("9{cookie}");
        assert!(access.viewer(&with(COOKIE, &format!("{SESSION_COOKIE}={forged}"))).is_none());
        std::fs::write(dir.path().join("access"), "user nobody-else *\n").unwrap();
        assert!(access.viewer(&headers).is_none(), "the token was taken out of the file");
    }

    #[test]
    fn a_file_that_became_invalid_lets_nobody_in() {
        let (dir, access) = access(&format!("token {TOKEN} *\n"));
        let headers = with(AUTHORIZATION, &format!("Bearer {TOKEN}"));
        assert!(access.viewer(&headers).is_some());
        std::fs::write(dir.path().join("access"), format!("token {TOKEN} *\nnonsense x *\n")).unwrap();
        assert!(access.viewer(&headers).is_none());
    }

    #[test]
    fn what_is_wrong_is_named_and_no_secret_is() {
        for (text, why) in [
            ("token short *", "line 1: a token has at least 20 characters"),
            ("\ntoken-sha256 12 *", "line 2: expected 64 hex digits"),
            ("user eve", "line 1: no source is named: * means all, *@apps:* those of a host"),
            ("user", "line 1: it names nobody"),
            ("group x *", "line 1: a line begins with token, token-sha256 or user"),
        ] {
            assert_eq!(Rules::parse(text).unwrap_err(), why);
        }
    }
}

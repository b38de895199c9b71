//! Which server is which: lines of `known_hosts`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;

/// What is known of one server.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Known {
    /// The kind of each key, and the key.
    pub(super) keys: Vec<(String, Vec<u8>)>,
    /// Keys that must no longer be trusted.
    pub(super) revoked: Vec<Vec<u8>>,
}

impl Known {
    /// What these lines say of a server.
    pub(super) fn of(lines: &str, host: &str, port: u16) -> Self {
        let name = if port == 22 { host.to_owned() } else { format!("[{host}]:{port}") };
        let mut known = Self::default();
        for line in lines.lines() {
            let mut words = line.split_ascii_whitespace();
            let Some(mut first) = words.next().filter(|word| !word.starts_with('#')) else { continue };
            let marker = if first.starts_with('@') { Some(first) } else { None };
            if marker.is_some() {
                let Some(hosts) = words.next() else { continue };
                first = hosts;
            }
            let (Some(kind), Some(key)) = (words.next(), words.next()) else { continue };
            let Ok(key) = STANDARD.decode(key) else { continue };
            match marker {
                _ if !names(first, &name) => {}
                None => known.keys.push((kind.to_owned(), key)),
                Some("@revoked") => known.revoked.push(key),
                // Authorities vouch for certificates, which are not asked for.
                Some(_) => {}
            }
        }
        known
    }

    /// Whether a server with this key is the one that is known.
    pub(super) fn has(&self, key: &[u8]) -> bool {
        self.keys.iter().any(|(_, known)| known == key) && !self.revoked.iter().any(|known| known == key)
    }
}

/// Whether one of the patterns names the server, and none excludes it.
fn names(patterns: &str, name: &str) -> bool {
    let mut found = false;
    for pattern in patterns.split(',') {
        match pattern.strip_prefix('!') {
            Some(excluded) if matches(excluded, name) => return false,
            Some(_) => {}
            None => found |= matches(pattern, name),
        }
    }
    found
}

fn matches(pattern: &str, name: &str) -> bool {
    match pattern.strip_prefix("|1|").and_then(|rest| rest.split_once('|')) {
        Some((salt, hash)) => {
            let (Ok(salt), Ok(hash)) = (STANDARD.decode(salt), STANDARD.decode(hash)) else { return false };
            let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &salt);
            hmac::verify(&key, name.as_bytes(), &hash).is_ok()
        }
        None => fits(pattern.to_ascii_lowercase().as_bytes(), name.to_ascii_lowercase().as_bytes()),
    }
}

/// Whether a name is one of the pattern, in which `*` and `?` stand for others.
fn fits(pattern: &[u8], name: &[u8]) -> bool {
    let (mut at, mut of) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while let Some(byte) = name.get(of) {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, of));
                at += 1;
            }
            Some(b'?') => (at, of) = (at + 1, of + 1),
            Some(wanted) if wanted == byte => (at, of) = (at + 1, of + 1),
            _ => match star {
                Some((place, eaten)) => {
                    star = Some((place, eaten + 1));
                    (at, of) = (place + 1, eaten + 1);
                }
                None => return false,
            },
        }
    }
    pattern.get(at..).unwrap_or_default().iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_name_servers_in_several_ways() {
        // The second line was made by `ssh-keygen -H` for "nas.lan".
        let lines = "# comment\n\
            nas,192.168.1.2 ssh-ed25519 QUFB comment\n\
            [nas]:2222 ecdsa-sha2-nistp256 QkJC\n\
            *.example.org,!bad.example.org ssh-ed25519 Q0ND\n\
            @revoked old ssh-ed25519 REVE\n\
            old ssh-ed25519 REVE\n\
            @cert-authority * ssh-ed25519 RUVF\n\
            broken\nnas ssh-rsa !!!\n";
        let keys = |host: &str, port| -> Vec<Vec<u8>> {
            Known::of(lines, host, port).keys.into_iter().map(|(_, key)| key).collect()
        };
        assert_eq!(keys("nas", 22), [b"AAA"]);
        assert_eq!(keys("NAS", 22), [b"AAA"]);
        assert_eq!(keys("192.168.1.2", 22), [b"AAA"]);
        assert_eq!(keys("nas", 2222), [b"BBB"]);
        assert_eq!(keys("a.example.org", 22), [b"CCC"]);
        assert!(keys("bad.example.org", 22).is_empty() && keys("other", 22).is_empty());
        assert!(Known::of(lines, "nas", 22).has(b"AAA") && !Known::of(lines, "nas", 22).has(b"BBB"));
        assert!(!Known::of(lines, "old", 22).has(b"DDD"), "a revoked key is not trusted");
    }

    #[test]
    fn hashed_names_are_found() {
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, b"salt");
        let hash = STANDARD.encode(hmac::sign(&key, b"[nas]:2222"));
        let line = format!("|1|{}|{hash} ssh-ed25519 QUFB", STANDARD.encode("salt"));
        assert!(Known::of(&line, "nas", 2222).has(b"AAA"));
        assert!(Known::of(&line, "nas", 22).keys.is_empty());
    }
}

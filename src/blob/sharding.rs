//! How a file-like store spreads blobs over directories (`format-spec/01-blobs.md`).

use crate::gojson::go_object;

/// Shard lengths beyond these cannot come from a real store; they only make paths explode.
const MAX_SHARD_LENGTH: usize = 64;
const MAX_SHARDS: usize = 16;
const MAX_NON_SHARDED: usize = 1024;

/// Ending of every file that is a blob.
pub(crate) const SUFFIX: &str = ".f";

/// The rule that turns a blob name into a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sharding {
    default: Vec<usize>,
    max_non_sharded_length: usize,
    overrides: Vec<(String, Vec<usize>)>,
}

#[derive(Default)]
struct Stored {
    default: Vec<i64>,
    max_non_sharded_length: i64,
    overrides: Vec<StoredOverride>,
}
go_object!(Stored {
    "default" => default,
    "maxNonShardedLength" => max_non_sharded_length,
    "overrides" => overrides,
});

#[derive(Default)]
struct StoredOverride {
    prefix: String,
    shards: Vec<i64>,
}
go_object!(StoredOverride { "prefix" => prefix, "shards" => shards });

impl Default for Sharding {
    /// The layout of a store without `.shards`: two levels of three, as before Kopia v0.9.6.
    fn default() -> Self {
        Self::by(vec![3, 3])
    }
}

impl Sharding {
    /// Names up to this length are not spread, unless the rule says otherwise.
    pub(super) const SHORT_NAME: usize = 20;

    /// Directories of these lengths.
    pub(super) fn by(lengths: Vec<usize>) -> Self {
        Self { default: lengths, max_non_sharded_length: Self::SHORT_NAME, overrides: Vec::new() }
    }

    /// No directories.
    pub(super) fn none() -> Self {
        Self::by(Vec::new())
    }

    /// Reads the content of `.shards`. Bytes after the first JSON value are ignored, as Kopia does.
    ///
    /// # Errors
    /// The reason, as text, when the rule is malformed or outside sane bounds.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let mut values = serde_json::Deserializer::from_slice(bytes).into_iter::<Stored>();
        let stored = match values.next() {
            Some(Ok(stored)) => stored,
            Some(Err(e)) => return Err(e.to_string()),
            None => return Err("it is empty".into()),
        };
        let max_non_sharded_length = usize::try_from(stored.max_non_sharded_length)
            .ok()
            .filter(|n| *n <= MAX_NON_SHARDED)
            .ok_or_else(|| format!("maxNonShardedLength is {}", stored.max_non_sharded_length))?;
        let overrides = stored
            .overrides
            .into_iter()
            .map(|o| Ok((o.prefix, shard_lengths(&o.shards)?)))
            .collect::<Result<_, String>>()?;
        Ok(Self { default: shard_lengths(&stored.default)?, max_non_sharded_length, overrides })
    }

    /// The path of a blob below the root of the store, with `/` between directories.
    ///
    /// ```
    /// use rokopia::blob::Sharding;
    /// let rule = Sharding::parse(br#"{"default":[1,3],"maxNonShardedLength":20}"#).unwrap();
    /// assert_eq!(rule.path("kopia.repository"), "kopia.repository.f");
    /// assert_eq!(rule.path("xn0_b3dc39b1f3223aa6edc80e4571cb1f83"), "x/n0_/b3dc39b1f3223aa6edc80e4571cb1f83.f");
    /// ```
    #[cfg_attr(not(feature = "testkit"), allow(dead_code, reason = "only tests ask for it"))]
    pub fn path(&self, name: &str) -> String {
        let mut path = self.directories(name);
        path.push_str(SUFFIX);
        path
    }

    /// The path without the ending of files.
    pub(super) fn directories(&self, name: &str) -> String {
        let mut path = String::with_capacity(name.len() + 8);
        let mut rest = name;
        if name.len() > self.max_non_sharded_length {
            for &length in self.shards(name) {
                if length == 0 {
                    continue;
                }
                let Some((directory, tail)) = rest.split_at_checked(length).filter(|(_, t)| !t.is_empty())
                else {
                    break;
                };
                path.push_str(directory);
                path.push('/');
                rest = tail;
            }
        }
        path.push_str(rest);
        path
    }

    /// The content of a `.shards` that says the same, without overrides.
    pub(super) fn file(&self) -> String {
        format!(r#"{{"default":{:?},"maxNonShardedLength":{}}}"#, self.default, self.max_non_sharded_length)
    }

    fn shards(&self, name: &str) -> &[usize] {
        self.overrides
            .iter()
            .find(|(prefix, _)| name.starts_with(prefix.as_str()))
            .map_or(&self.default, |(_, shards)| shards)
    }
}

fn shard_lengths(stored: &[i64]) -> Result<Vec<usize>, String> {
    if stored.len() > MAX_SHARDS {
        return Err(format!("{} levels of directories", stored.len()));
    }
    stored
        .iter()
        .map(|&n| {
            usize::try_from(n)
                .ok()
                .filter(|n| *n <= MAX_SHARD_LENGTH)
                .ok_or_else(|| format!("shard length {n}"))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(json: &str) -> Sharding {
        Sharding::parse(json.as_bytes()).unwrap()
    }

    #[test]
    fn default_layout_without_the_file() {
        let rule = Sharding::default();
        assert_eq!(rule.path("p2f09ebc80929c10afce9d8ad8ae3bed7"), "p2f/09e/bc80929c10afce9d8ad8ae3bed7.f");
        assert_eq!(rule.path(&"a".repeat(20)), format!("{}.f", "a".repeat(20)));
    }

    #[test]
    fn overrides_and_short_names() {
        let rule = rule(
            r#"{"default":[3,2,1],"maxNonShardedLength":2,
                "overrides":[{"prefix":"p","shards":[2,2]},{"prefix":"x","shards":[1,1,1]}]}"#,
        );
        for (name, path) in [
            ("ab", "ab.f"),
            ("defaultsharded", "def/au/l/tsharded.f"),
            ("phello", "ph/el/lo.f"),
            ("xo", "xo.f"),
            ("xbye", "x/b/y/e.f"),
        ] {
            assert_eq!(rule.path(name), path);
        }
    }

    #[test]
    fn a_shard_never_takes_the_whole_rest() {
        let rule = rule(r#"{"default":[3,3],"maxNonShardedLength":0}"#);
        for (name, path) in
            [("foo", "foo.f"), ("foob", "foo/b.f"), ("foobar", "foo/bar.f"), ("foobar2", "foo/bar/2.f")]
        {
            assert_eq!(rule.path(name), path);
        }
    }

    #[test]
    fn trailing_bytes_are_ignored_and_nonsense_is_refused() {
        assert!(Sharding::parse(b"{\"default\":[1,3],\"maxNonShardedLength\":20} trailing").is_ok());
        for bad in
            ["", "x", "[]", r#"{"default":[-1]}"#, r#"{"maxNonShardedLength":-2}"#, r#"{"default":[1000]}"#]
        {
            assert!(Sharding::parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}

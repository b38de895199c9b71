//! JSON as Go's `encoding/json` reads and writes it, which is what everything above the content layer is made of
//! (`format-spec`, manifests and snapshots).
//!
//! Three things differ from a plain `serde` derive: keys match without regard to case, `null` leaves any field at
//! its zero value, and the writer escapes `<`, `>`, `&`. [`stream`] reads documents of any size entry by entry.

pub(crate) mod duration;
pub(crate) mod stream;
pub(crate) mod time;
pub(crate) mod write;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

/// Whether `key` addresses the field `name` (ASCII) in Go: equal, or equal after simple case folding. Unicode
/// folds two letters onto ASCII ones: U+017F onto `s` and U+212A onto `k`.
pub(crate) fn key_matches(name: &str, key: &str) -> bool {
    if name == key {
        return true;
    }
    let folded = |c: char| match c {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        c => c.to_ascii_lowercase(),
    };
    let mut name = name.chars();
    for c in key.chars() {
        match name.next() {
            Some(n) if folded(n) == folded(c) => {}
            _ => return false,
        }
    }
    name.next().is_none()
}

/// Reads a key of an object and yields the field it addresses, if any.
pub(crate) struct Field(pub(crate) &'static [&'static str]);

impl<'de> DeserializeSeed<'de> for Field {
    type Value = Option<&'static str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Field {
    type Value = Option<&'static str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: serde::de::Error>(self, key: &str) -> Result<Self::Value, E> {
        // An exact match goes before a folded one: an object may hold both spellings.
        let exact = self.0.iter().find(|name| **name == key);
        Ok(exact.or_else(|| self.0.iter().find(|name| key_matches(name, key))).copied())
    }
}

/// Implements `Deserialize` for a struct with `Default` the way Go decodes into one.
///
/// `"key" => field` leaves the field alone on `null`; `(raw)` behind the field hands `null` to its own `Deserialize`,
/// `(list)` and `(map)` read a `Vec` and a map of strings whose elements may be `null`. Unknown keys are ignored, of repeated ones the last counts.
macro_rules! go_object {
    ($type:ident $(<$life:lifetime>)? { $($key:literal => $field:ident $(($raw:ident))?),+ $(,)? }) => {
        impl<'de $(: $life, $life)?> serde::Deserialize<'de> for $type $(<$life>)? {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct GoObjectVisitor<T>(std::marker::PhantomData<T>);

                impl<'de $(: $life, $life)?> serde::de::Visitor<'de> for GoObjectVisitor<$type $(<$life>)?> {
                    type Value = $type $(<$life>)?;

                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str("a JSON object")
                    }

                    fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                        let mut value = <Self::Value>::default();
                        while let Some(name) = map.next_key_seed($crate::gojson::Field(&[$($key),+]))? {
                            match name {
                                $(Some($key) => $crate::gojson::go_object!(@ map, value, $field $($raw)?),)+
                                _ => { map.next_value::<serde::de::IgnoredAny>()?; }
                            }
                        }
                        Ok(value)
                    }
                }
                deserializer.deserialize_map(GoObjectVisitor(std::marker::PhantomData))
            }
        }
    };
    (@ $map:ident, $value:ident, $field:ident) => {
        if let Some(v) = $map.next_value::<Option<_>>()? { $value.$field = v; }
    };
    (@ $map:ident, $value:ident, $field:ident raw) => {
        $value.$field = $map.next_value()?
    };
    (@ $map:ident, $value:ident, $field:ident list) => {
        if let Some($crate::gojson::List(v)) = $map.next_value::<Option<_>>()? { $value.$field = v; }
    };
    (@ $map:ident, $value:ident, $field:ident map) => {
        if let Some($crate::gojson::StringMap(v)) = $map.next_value::<Option<_>>()? { $value.$field = v; }
    };
}
pub(crate) use go_object;

/// A string that borrows from the input unless it holds escapes.
#[derive(Default, Debug, Clone, PartialEq, Eq)]
pub(crate) struct Text<'a>(pub(crate) Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Borrowing;
        impl<'de> Visitor<'de> for Borrowing {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E: serde::de::Error>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Borrowed(text)))
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(Borrowing)
    }
}

/// Go's `[]T` or `[]*T`: a `null` element is a zero value.
#[derive(Default, Debug, Clone, PartialEq, Eq)]
pub(crate) struct List<T>(pub(crate) Vec<T>);

impl<'de, T: Deserialize<'de> + Default> Deserialize<'de> for List<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Elements<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de> + Default> Visitor<'de> for Elements<T> {
            type Value = List<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<List<T>, A::Error> {
                let mut all = Vec::new();
                while let Some(element) = seq.next_element::<Option<T>>()? {
                    all.push(element.unwrap_or_default());
                }
                Ok(List(all))
            }
        }
        deserializer.deserialize_seq(Elements(PhantomData))
    }
}

/// Go's `map[string]string`: a `null` value is an empty string, of repeated keys the last counts.
#[derive(Default, Debug, Clone, PartialEq, Eq)]
pub(crate) struct StringMap(pub(crate) BTreeMap<String, String>);

impl<'de> Deserialize<'de> for StringMap {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs;
        impl<'de> Visitor<'de> for Pairs {
            type Value = StringMap;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of strings")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<StringMap, A::Error> {
                let mut all = BTreeMap::new();
                while let Some((key, value)) = map.next_entry::<String, Option<String>>()? {
                    all.insert(key, value.unwrap_or_default());
                }
                Ok(StringMap(all))
            }
        }
        deserializer.deserialize_map(Pairs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default, Debug, PartialEq)]
    struct Sample {
        size: i64,
        key: String,
        tags: BTreeMap<String, String>,
        pins: Vec<String>,
    }
    go_object!(Sample { "size" => size, "key" => key, "tags" => tags (map), "pins" => pins (list) });

    fn parse(text: &str) -> Sample {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn keys_fold_like_go() {
        assert_eq!(parse(r#"{"SIZE":3}"#).size, 3);
        assert_eq!(
            parse(r#"{"ſize":3,"Key":"a"}"#),
            Sample { size: 3, key: "a".into(), ..Sample::default() }
        );
        assert_eq!(parse("{\"\u{212a}ey\":\"b\"}").key, "b");
        assert_eq!(parse(r#"{"sizes":3,"siz":4,"":5}"#).size, 0);
        assert_eq!(parse(r#"{"size":1,"Size":2,"size":3,"SIZE":4}"#).size, 4, "the last one counts");
    }

    #[test]
    fn null_is_the_zero_value() {
        assert_eq!(
            parse(r#"{"size":null,"key":null,"tags":null,"pins":null,"x":{"y":[1]}}"#),
            Sample::default()
        );
        let sample = parse(r#"{"tags":{"a":null,"b":"1","b":"2"},"pins":[null,"p"]}"#);
        assert_eq!(sample.pins, ["", "p"]);
        assert_eq!(sample.tags.get("a").unwrap(), "");
        assert_eq!(sample.tags.get("b").unwrap(), "2");
    }

    #[test]
    fn wrong_types_are_errors() {
        for text in [
            r#"{"size":"1"}"#,
            r#"{"size":1.5}"#,
            r#"{"key":1}"#,
            r#"{"pins":{}}"#,
            r#"{"tags":[]}"#,
            "[]",
            "1",
        ] {
            assert!(serde_json::from_str::<Sample>(text).is_err(), "{text}");
        }
    }
}

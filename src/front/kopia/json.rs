//! JSON text: laid out as Go does, and objects whose keys keep their order and their unknown members.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::gojson::{key_matches, write};

/// Lays out valid JSON as Go's `json.Indent`, two spaces a level, each line but the first after `prefix`.
pub(super) fn indent(json: &str, prefix: &str) -> String {
    let mut out = String::with_capacity(json.len() * 2);
    let mut depth = 0_usize;
    let mut characters = json.chars().peekable();
    let line = |out: &mut String, depth: usize| {
        out.push('\n');
        out.push_str(prefix);
        out.extend(std::iter::repeat_n("  ", depth));
    };
    while let Some(c) = characters.next() {
        match c {
            '"' => {
                out.push(c);
                while let Some(inner) = characters.next() {
                    out.push(inner);
                    match inner {
                        '\\' => out.extend(characters.next()),
                        '"' => break,
                        _ => {}
                    }
                }
            }
            '{' | '[' => {
                out.push(c);
                while characters.next_if(|next| next.is_ascii_whitespace()).is_some() {}
                match characters.next_if(|next| matches!(next, '}' | ']')) {
                    Some(close) => out.push(close),
                    None => {
                        depth += 1;
                        line(&mut out, depth);
                    }
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                line(&mut out, depth);
                out.push(c);
            }
            ',' => {
                out.push(c);
                line(&mut out, depth);
            }
            ':' => out.push_str(": "),
            c if c.is_ascii_whitespace() => {}
            c => out.push(c),
        }
    }
    out
}

/// Valid JSON without white space between its parts.
pub(super) fn compact(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    let mut quoted = false;
    let mut escaped = false;
    for c in json.chars() {
        if quoted || !c.is_ascii_whitespace() {
            out.push(c);
        }
        match c {
            '"' if !escaped => quoted = !quoted,
            _ => {}
        }
        escaped = quoted && c == '\\' && !escaped;
    }
    out
}

/// An object whose members are not looked into: in the order in which they came, the unknown ones, too.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Object(Vec<(String, String)>);

impl Object {
    /// The JSON of a member, unless it is `null`.
    pub(super) fn raw(&self, key: &str) -> Option<&str> {
        let named = |(name, _): &&(String, String)| key_matches(key, name);
        self.0.iter().rev().find(named).map(|(_, value)| value.as_str()).filter(|value| *value != "null")
    }

    /// The value of a member; an error when it is of another type.
    pub(super) fn get<T: for<'de> Deserialize<'de>>(
        &self,
        key: &str,
    ) -> Result<Option<T>, serde_json::Error> {
        self.raw(key).map(serde_json::from_str).transpose()
    }

    /// Sets a member. A new one goes before the first that `order` names after it.
    pub(super) fn set(&mut self, order: &[&str], key: &str, json: String) {
        if let Some(member) = self.0.iter_mut().rev().find(|(name, _)| key_matches(key, name)) {
            member.1 = json;
            return;
        }
        let after = order.iter().skip_while(|name| **name != key).skip(1);
        let at = after.filter_map(|later| self.0.iter().position(|(name, _)| key_matches(later, name))).min();
        self.0.insert(at.unwrap_or(self.0.len()), (key.to_owned(), json));
    }

    /// Takes a member away.
    pub(super) fn remove(&mut self, key: &str) {
        self.0.retain(|(name, _)| !key_matches(key, name));
    }

    /// As compact JSON.
    pub(super) fn to_json(&self) -> Result<String, serde_json::Error> {
        let members = self.0.iter().map(|(name, value)| Ok(format!("{}:{value}", write::to_string(name)?)));
        Ok(format!("{{{}}}", members.collect::<Result<Vec<_>, serde_json::Error>>()?.join(",")))
    }
}

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Object;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object, A::Error> {
                let mut members = Vec::new();
                while let Some((name, value)) = map.next_entry::<String, Box<RawValue>>()? {
                    members.push((name, compact(value.get())));
                }
                Ok(Object(members))
            }
        }
        deserializer.deserialize_map(Members)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layout_is_that_of_go() {
        let json = r#"{"a":[1,{"b":"x:{,\"}"}],"c":{},"d":[ ],"e":null}"#;
        let expected = "{\n  \"a\": [\n    1,\n    {\n      \"b\": \"x:{,\\\"}\"\n    }\n  ],\n  \"c\": {},\n  \"d\": [],\n  \"e\": null\n}";
        assert_eq!(indent(json, ""), expected);
        assert_eq!(indent(expected, ""), expected);
        assert_eq!(indent(r#"{"a":1}"#, "  "), "{\n    \"a\": 1\n  }");
        assert_eq!(compact(expected), json.replace("[ ]", "[]"));
        assert_eq!(compact(r#"{ "a\\" : "b \" c" }"#), r#"{"a\\":"b \" c"}"#);
    }

    #[test]
    fn members_keep_their_order() {
        let mut object: Object =
            serde_json::from_str(r#"{ "storage" : {"x": [1, 2]}, "new":"?", "hostname":"h", "z":null }"#)
                .unwrap();
        let order = ["storage", "hostname", "username", "readonly", "throttlingLimits"];
        object.set(&order, "hostname", r#""i""#.into());
        object.set(&order, "throttlingLimits", "{}".into());
        object.set(&["hostname", "username", "z"], "username", r#""u""#.into());
        assert_eq!(
            object.to_json().unwrap(),
            r#"{"storage":{"x":[1,2]},"new":"?","hostname":"i","username":"u","z":null,"throttlingLimits":{}}"#
        );
        assert_eq!(object.get::<String>("HostName").unwrap().as_deref(), Some("i"));
        assert_eq!(object.raw("z"), None);
        assert!(object.get::<bool>("hostname").is_err());
        object.remove("new");
        assert!(object.raw("new").is_none());
        assert!(serde_json::from_str::<Object>("[]").is_err());
    }
}

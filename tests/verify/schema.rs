//! Reports against `docs/verify-report.schema.json`.

use std::path::Path;

use serde_json::Value;

/// What of a value does not fit the schema, as far as this schema uses the language.
pub(crate) fn violations(report: &Value) -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/verify-report.schema.json");
    let root = super::common::json(&path);
    let mut found = Vec::new();
    check(&root, &root, report, "$", &mut found);
    found
}

const KEYWORDS: [&str; 13] = [
    "$schema",
    "$defs",
    "$ref",
    "title",
    "description",
    "format",
    "type",
    "enum",
    "minimum",
    "properties",
    "required",
    "additionalProperties",
    "items",
];

fn check(root: &Value, schema: &Value, value: &Value, at: &str, found: &mut Vec<String>) {
    for keyword in schema.as_object().unwrap().keys() {
        assert!(KEYWORDS.contains(&keyword.as_str()), "the test does not know {keyword}");
    }
    if let Some(reference) = schema["$ref"].as_str() {
        let target = root.pointer(reference.trim_start_matches('#')).expect("the reference leads nowhere");
        return check(root, target, value, at, found);
    }
    if let Some(kind) = schema["type"].as_str() {
        let fits = match kind {
            "object" => value.is_object(),
            "array" => value.is_array(),
            "string" => value.is_string(),
            "boolean" => value.is_boolean(),
            "integer" => value.is_u64() || value.is_i64(),
            "number" => value.is_number(),
            other => panic!("unknown type {other}"),
        };
        if !fits {
            return found.push(format!("{at} is no {kind}: {value}"));
        }
    }
    if schema["format"] == "date-time" && value.as_str().unwrap().parse::<jiff::Timestamp>().is_err() {
        found.push(format!("{at} is no time: {value}"));
    }
    if schema["enum"].as_array().is_some_and(|allowed| !allowed.contains(value)) {
        found.push(format!("{at} is none of those allowed: {value}"));
    }
    if schema["minimum"].as_f64().is_some_and(|least| value.as_f64().unwrap() < least) {
        found.push(format!("{at} is too small: {value}"));
    }
    for (number, item) in value.as_array().into_iter().flatten().enumerate() {
        check(root, &schema["items"], item, &format!("{at}[{number}]"), found);
    }
    let Some(fields) = value.as_object() else { return };
    for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if !fields.contains_key(name) {
            found.push(format!("{at}.{name} is missing"));
        }
    }
    for (name, field) in fields {
        let at = format!("{at}.{name}");
        match (&schema["properties"][name], &schema["additionalProperties"]) {
            (Value::Null, Value::Bool(false)) => found.push(format!("{at} is not foreseen")),
            (Value::Null, other) => check(root, other, field, &at, found),
            (property, _) => check(root, property, field, &at, found),
        }
    }
}

#[test]
fn what_does_not_fit_is_noticed() {
    let report = serde_json::json!({ "result": "fine", "seconds": -1, "extra": 1, "shard": 7 });
    let found = violations(&report).join("\n");
    for part in [
        "$.result is none",
        "$.seconds is too small",
        "$.extra is not",
        "$.shard is no string",
        "$.ecc is missing",
    ] {
        assert!(found.contains(part), "{part} in {found}");
    }
}

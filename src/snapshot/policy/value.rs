//! Values of settings.

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::gojson::{List, go_object};

/// The value of a setting.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum PolicyValue {
    /// A number.
    Number(i64),
    /// Yes or no.
    Flag(bool),
    /// A text.
    Text(String),
    /// Several texts.
    Texts(Vec<String>),
    /// Times of the day.
    Times(Vec<TimeOfDay>),
    /// Something to run.
    Action(Action),
}

/// A time of the day, to the minute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize)]
pub struct TimeOfDay {
    /// 0 to 23.
    pub hour: i64,
    /// 0 to 59.
    #[serde(rename = "min")]
    pub minute: i64,
}
go_object!(TimeOfDay { "hour" => hour, "min" => minute });

/// A program that a client runs before or after it makes a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Action {
    /// The program.
    #[serde(rename = "path", skip_serializing_if = "String::is_empty")]
    pub command: String,
    /// Its arguments.
    #[serde(rename = "args", skip_serializing_if = "Vec::is_empty")]
    pub arguments: Vec<String>,
    /// A script in place of a program.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub script: String,
    /// Seconds it may take.
    #[serde(rename = "timeout", skip_serializing_if = "is_zero")]
    pub timeout_seconds: i64,
    /// `essential`, `optional` or `async`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub mode: String,
}
go_object!(Action {
    "path" => command,
    "args" => arguments (list),
    "script" => script,
    "timeout" => timeout_seconds,
    "mode" => mode,
});

fn is_zero(number: &i64) -> bool {
    *number == 0
}

/// Reads a value of a known type.
pub(super) fn number(json: &Json) -> Result<PolicyValue, serde_json::Error> {
    i64::deserialize(json).map(PolicyValue::Number)
}

pub(super) fn flag(json: &Json) -> Result<PolicyValue, serde_json::Error> {
    bool::deserialize(json).map(PolicyValue::Flag)
}

pub(super) fn text(json: &Json) -> Result<PolicyValue, serde_json::Error> {
    String::deserialize(json).map(PolicyValue::Text)
}

pub(super) fn texts(json: &Json) -> Result<PolicyValue, serde_json::Error> {
    List::deserialize(json).map(|list| PolicyValue::Texts(list.0))
}

pub(super) fn times(json: &Json) -> Result<PolicyValue, serde_json::Error> {
    List::deserialize(json).map(|list| PolicyValue::Times(list.0))
}

pub(super) fn action(json: &Json) -> Result<PolicyValue, serde_json::Error> {
    Action::deserialize(json).map(PolicyValue::Action)
}

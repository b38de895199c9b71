//! Every setting of a policy: where it is, what it holds, and how it is inherited.

use serde_json::Value as Json;

use super::Policy;
use super::value::{self, PolicyValue};

/// A setting.
pub(super) struct Field {
    pub(super) path: &'static [&'static str],
    pub(super) rule: Rule,
}

/// What a setting holds, and how it is inherited.
#[derive(Clone, Copy)]
pub(super) enum Rule {
    /// A number; zero is a value like any other.
    Number,
    /// Yes or no; no is a value like any other.
    Choice,
    /// A number; zero means that it is not set.
    NonZero,
    /// A text; an empty one means that it is not set.
    Text,
    /// Yes, or not set.
    Flag,
    /// A list that replaces those farther up.
    Replaced,
    /// A list that adds to those farther up, until one has the flag beside it.
    Added(&'static [&'static str]),
    /// Times of the day that add to those farther up, until one has the flag beside it.
    Times(&'static [&'static str]),
    /// Something to run.
    Action,
    /// Something to run for the one folder alone.
    OwnAction,
}

impl Rule {
    /// Reads a value that is not `null`.
    pub(super) fn read(self, json: &Json) -> Result<PolicyValue, serde_json::Error> {
        match self {
            Self::Number | Self::NonZero => value::number(json),
            Self::Choice | Self::Flag => value::flag(json),
            Self::Text => value::text(json),
            Self::Replaced | Self::Added(_) => value::texts(json),
            Self::Times(_) => value::times(json),
            Self::Action | Self::OwnAction => value::action(json),
        }
    }

    /// Whether a value counts as one, rather than as not set.
    pub(super) fn is_set(self, value: &PolicyValue) -> bool {
        match (self, value) {
            (Self::NonZero, PolicyValue::Number(number)) => *number != 0,
            (Self::Flag, PolicyValue::Flag(flag)) => *flag,
            (_, PolicyValue::Text(text)) => !text.is_empty(),
            (_, PolicyValue::Texts(texts)) => !texts.is_empty(),
            (_, PolicyValue::Times(times)) => !times.is_empty(),
            _ => true,
        }
    }

    pub(super) fn is_inherited(self) -> bool {
        !matches!(self, Self::OwnAction)
    }

    /// The flag that ends adding to a list.
    pub(super) fn stopped_by(self) -> Option<&'static [&'static str]> {
        match self {
            Self::Added(flag) | Self::Times(flag) => Some(flag),
            _ => None,
        }
    }

    /// The value of a setting that a more and a less specific policy both have.
    pub(super) fn merge(self, specific: PolicyValue, general: &PolicyValue) -> PolicyValue {
        match (self, specific, general) {
            (Self::Added(_), PolicyValue::Texts(ours), PolicyValue::Texts(theirs)) => {
                PolicyValue::Texts(union(ours, theirs))
            }
            (Self::Times(_), PolicyValue::Times(ours), PolicyValue::Times(theirs)) => {
                PolicyValue::Times(union(ours, theirs))
            }
            (_, specific, _) => specific,
        }
    }

    /// The form in which Kopia keeps a merged value even if only one policy has it.
    pub(super) fn normalized(self, value: &PolicyValue) -> PolicyValue {
        self.merge(value.clone(), value)
    }
}

fn union<T: Ord + Clone>(mut ours: Vec<T>, theirs: &[T]) -> Vec<T> {
    ours.extend_from_slice(theirs);
    ours.sort();
    ours.dedup();
    ours
}

/// The sections, which are written even when they are empty.
pub(super) const SECTIONS: [&str; 11] = [
    "retention",
    "files",
    "errorHandling",
    "scheduling",
    "compression",
    "metadataCompression",
    "splitter",
    "actions",
    "osSnapshots",
    "logging",
    "upload",
];

const fn field(path: &'static [&'static str], rule: Rule) -> Field {
    Field { path, rule }
}

const NO_PARENT_ONLY: &[&str] = &["compression", "noParentOnlyCompress"];
const NO_PARENT_NEVER: &[&str] = &["compression", "noParentNeverCompress"];
const NO_PARENT_TIMES: &[&str] = &["scheduling", "noParentTimeOfDay"];

/// All settings in the order in which Kopia writes them.
pub(super) const FIELDS: &[Field] = &[
    field(&["retention", "keepLatest"], Rule::Number),
    field(&["retention", "keepHourly"], Rule::Number),
    field(&["retention", "keepDaily"], Rule::Number),
    field(&["retention", "keepWeekly"], Rule::Number),
    field(&["retention", "keepMonthly"], Rule::Number),
    field(&["retention", "keepAnnual"], Rule::Number),
    field(&["retention", "ignoreIdenticalSnapshots"], Rule::Choice),
    field(&["files", "ignore"], Rule::Replaced),
    field(&["files", "noParentIgnore"], Rule::Flag),
    field(&["files", "ignoreDotFiles"], Rule::Replaced),
    field(&["files", "noParentDotFiles"], Rule::Flag),
    field(&["files", "ignoreCacheDirs"], Rule::Choice),
    field(&["files", "maxFileSize"], Rule::NonZero),
    field(&["files", "oneFileSystem"], Rule::Choice),
    field(&["errorHandling", "ignoreFileErrors"], Rule::Choice),
    field(&["errorHandling", "ignoreDirectoryErrors"], Rule::Choice),
    field(&["errorHandling", "ignoreUnknownTypes"], Rule::Choice),
    field(&["scheduling", "intervalSeconds"], Rule::NonZero),
    field(&["scheduling", "timeOfDay"], Rule::Times(NO_PARENT_TIMES)),
    field(NO_PARENT_TIMES, Rule::Flag),
    field(&["scheduling", "manual"], Rule::Flag),
    field(&["scheduling", "cron"], Rule::Replaced),
    field(&["scheduling", "runMissed"], Rule::Choice),
    field(&["compression", "compressorName"], Rule::Text),
    field(&["compression", "onlyCompress"], Rule::Added(NO_PARENT_ONLY)),
    field(NO_PARENT_ONLY, Rule::Flag),
    field(&["compression", "neverCompress"], Rule::Added(NO_PARENT_NEVER)),
    field(NO_PARENT_NEVER, Rule::Flag),
    field(&["compression", "minSize"], Rule::NonZero),
    field(&["compression", "maxSize"], Rule::NonZero),
    field(&["metadataCompression", "compressorName"], Rule::Text),
    field(&["splitter", "algorithm"], Rule::Text),
    field(&["actions", "beforeFolder"], Rule::OwnAction),
    field(&["actions", "afterFolder"], Rule::OwnAction),
    field(&["actions", "beforeSnapshotRoot"], Rule::Action),
    field(&["actions", "afterSnapshotRoot"], Rule::Action),
    field(&["osSnapshots", "volumeShadowCopy", "enable"], Rule::Number),
    field(&["logging", "directories", "snapshotted"], Rule::Number),
    field(&["logging", "directories", "ignored"], Rule::Number),
    field(&["logging", "entries", "snapshotted"], Rule::Number),
    field(&["logging", "entries", "ignored"], Rule::Number),
    field(&["logging", "entries", "cacheHit"], Rule::Number),
    field(&["logging", "entries", "cacheMiss"], Rule::Number),
    field(&["upload", "maxParallelSnapshots"], Rule::Number),
    field(&["upload", "maxParallelFileReads"], Rule::Number),
    field(&["upload", "parallelUploadAboveSize"], Rule::Number),
];

/// What applies where no policy says anything.
pub(super) fn defaults() -> Policy {
    use PolicyValue::{Flag, Number, Text, Texts};
    let values: [(&'static [&'static str], PolicyValue); 23] = [
        (&["retention", "keepLatest"], Number(10)),
        (&["retention", "keepHourly"], Number(48)),
        (&["retention", "keepDaily"], Number(7)),
        (&["retention", "keepWeekly"], Number(4)),
        (&["retention", "keepMonthly"], Number(24)),
        (&["retention", "keepAnnual"], Number(3)),
        (&["retention", "ignoreIdenticalSnapshots"], Flag(false)),
        (&["files", "ignoreDotFiles"], Texts(vec![".kopiaignore".to_owned()])),
        (&["errorHandling", "ignoreFileErrors"], Flag(false)),
        (&["errorHandling", "ignoreDirectoryErrors"], Flag(false)),
        (&["errorHandling", "ignoreUnknownTypes"], Flag(true)),
        (&["scheduling", "runMissed"], Flag(true)),
        (&["compression", "compressorName"], Text("none".to_owned())),
        (&["metadataCompression", "compressorName"], Text("zstd-fastest".to_owned())),
        (&["osSnapshots", "volumeShadowCopy", "enable"], Number(0)),
        (&["logging", "directories", "snapshotted"], Number(5)),
        (&["logging", "directories", "ignored"], Number(5)),
        (&["logging", "entries", "snapshotted"], Number(0)),
        (&["logging", "entries", "ignored"], Number(5)),
        (&["logging", "entries", "cacheHit"], Number(0)),
        (&["logging", "entries", "cacheMiss"], Number(0)),
        (&["upload", "maxParallelSnapshots"], Number(1)),
        (&["upload", "parallelUploadAboveSize"], Number(2 << 30)),
    ];
    Policy { values: values.into(), no_parent: false }
}

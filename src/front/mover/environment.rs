//! What the operator says through environment variables.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

/// The environment at the start. An empty variable counts as unset, as in the operator's own images.
pub(super) struct Environment(BTreeMap<OsString, OsString>);

/// Where the destination volume is mounted when the operator decides.
const DATA_DIR: &str = "DATA_DIR";

impl Environment {
    pub(super) fn of_process() -> Self {
        std::env::vars_os().collect()
    }

    pub(super) fn raw(&self, name: &str) -> Option<&OsStr> {
        self.0.get(OsStr::new(name)).map(OsString::as_os_str).filter(|value| !value.is_empty())
    }

    /// The value as text; what is not UTF-8 is replaced, which no valid setting survives unnoticed.
    pub(super) fn text(&self, name: &str) -> Option<Cow<'_, str>> {
        self.raw(name).map(OsStr::to_string_lossy)
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.raw(name).is_some()
    }

    /// The script compares with this very text.
    pub(super) fn is_true(&self, name: &str) -> bool {
        self.raw(name).is_some_and(|value| value == "true")
    }

    pub(super) fn data_dir(&self) -> Option<PathBuf> {
        self.raw(DATA_DIR).map(PathBuf::from)
    }
}

impl<K: Into<OsString>, V: Into<OsString>> FromIterator<(K, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Self {
        Self(pairs.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }
}

//! What every error of this crate says about itself, besides its sentence.

use crate::id::{BlobId, ContentId, ManifestId};

/// What is known of a failure. The error of a layer starts with that of the layer below where there is one, and adds
/// what it knows itself.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Facts<'a> {
    pub(crate) code: &'static str,
    pub(crate) is_retryable: bool,
    pub(crate) blob: Option<&'a BlobId>,
    pub(crate) content: Option<ContentId>,
    pub(crate) path: Option<&'a str>,
    pub(crate) snapshot: Option<&'a ManifestId>,
}

/// An error of this crate.
pub(crate) trait Failure {
    /// What is known of it.
    fn facts(&self) -> Facts<'_>;
}

impl<'a> Facts<'a> {
    /// A failure that will be the same the next time.
    pub(crate) fn new(code: &'static str) -> Self {
        Self { code, is_retryable: false, blob: None, content: None, path: None, snapshot: None }
    }

    pub(crate) fn code(self, code: &'static str) -> Self {
        Self { code, ..self }
    }

    pub(crate) fn retryable(self, is_retryable: bool) -> Self {
        Self { is_retryable, ..self }
    }

    pub(crate) fn blob(self, blob: &'a BlobId) -> Self {
        Self { blob: Some(blob), ..self }
    }

    pub(crate) fn content(self, content: ContentId) -> Self {
        Self { content: Some(content), ..self }
    }

    pub(crate) fn path(self, path: &'a str) -> Self {
        Self { path: Some(path), ..self }
    }

    pub(crate) fn snapshot(self, snapshot: &'a ManifestId) -> Self {
        Self { snapshot: Some(snapshot), ..self }
    }
}

/// Gives an error that is a [`Failure`] public methods of the same names: `code` and `is_retryable` always, and those that
/// are listed.
macro_rules! failure_methods {
    ($error:ty $(, $also:ident)*) => {
        impl $error {
            /// The stable code of this failure, as listed in `docs/errors.md`.
            #[must_use]
            pub fn code(&self) -> &'static str {
                $crate::failure::Failure::facts(self).code
            }

            /// Whether the same operation may succeed when tried again.
            #[must_use]
            pub fn is_retryable(&self) -> bool {
                $crate::failure::Failure::facts(self).is_retryable
            }

            $($crate::failure::failure_methods!(@ $also);)*
        }
    };
    (@ blob) => {
        /// The blob concerned.
        #[must_use]
        pub fn blob(&self) -> Option<&$crate::id::BlobId> {
            $crate::failure::Failure::facts(self).blob
        }
    };
    (@ content) => {
        /// The content concerned.
        #[must_use]
        pub fn content(&self) -> Option<$crate::id::ContentId> {
            $crate::failure::Failure::facts(self).content
        }
    };
    (@ path) => {
        /// The path inside a snapshot concerned.
        #[must_use]
        pub fn path(&self) -> Option<&str> {
            $crate::failure::Failure::facts(self).path
        }
    };
    (@ snapshot) => {
        /// The snapshot, or other manifest, concerned.
        #[must_use]
        pub fn snapshot(&self) -> Option<&$crate::id::ManifestId> {
            $crate::failure::Failure::facts(self).snapshot
        }
    };
}

pub(crate) use failure_methods;

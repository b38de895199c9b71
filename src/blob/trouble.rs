//! What keeps a storage over the network from answering as it should.

use std::fmt;
use std::time::Duration;

use super::BlobId;
use crate::failure::Facts;

/// Longest text of a server that is passed on to people.
const MAX_DETAIL: usize = 400;

/// Why a storage over the network did not do what was asked.
///
/// None of these says that something is absent: whatever they are about may be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Cause {
    /// No credentials were found, or none that can be used.
    CredentialsMissing,
    /// The storage does not take the credentials: wrong, expired or revoked.
    CredentialsRefused,
    /// The credentials are good, but may not do this.
    AccessDenied,
    /// There is no bucket, container or folder of that name.
    BucketMissing,
    /// The storage keeps no versions, of which an older one was asked for.
    VersionsMissing,
    /// The bucket is in another region than the request was made for.
    RegionWrong,
    /// The clocks of this machine and of the storage differ by too much.
    ClockSkewed,
    /// No secure connection: the certificate is not trusted, or there are no roots to trust.
    Tls,
    /// The server is not the one that is known by this name, or none is known.
    HostKey,
    /// The name of the server is not known.
    HostUnknown,
    /// No connection to the server.
    Unreachable,
    /// The server took too long.
    Timeout,
    /// The connection ended in the middle of an answer.
    CutOff,
    /// The server has too much to do, and asks to come back later.
    Busy,
    /// The server failed by itself.
    ServerFailed,
    /// The server sends elsewhere; that is not followed, because credentials would be.
    Redirected,
    /// A "not found" that does not come from the storage itself, such as the page of a proxy.
    NotTheStorage,
    /// An answer that is not what the protocol demands.
    AnswerInvalid,
    /// Two listings of the same differ, or one goes on behind its end.
    ListingUncertain,
    /// The program through which the storage is read cannot be started, or has ended.
    ProgramEnded,
    /// The server refuses, for another reason.
    Refused,
}

impl Cause {
    /// What a status of HTTP says by itself. What 404 means, each storage knows.
    #[cfg(feature = "remote")]
    pub(crate) fn of_status(status: reqwest::StatusCode) -> Self {
        match status.as_u16() {
            401 => Self::CredentialsRefused,
            403 => Self::AccessDenied,
            408 | 500 | 502 | 504 => Self::ServerFailed,
            429 | 503 => Self::Busy,
            301 | 302 | 303 | 307 | 308 => Self::Redirected,
            _ => Self::Refused,
        }
    }

    /// The stable code of this cause, as listed in `docs/errors.md`.
    pub fn code(self) -> &'static str {
        match self {
            Self::CredentialsMissing => "credentials-missing",
            Self::CredentialsRefused => "credentials-refused",
            Self::AccessDenied => "access-denied",
            Self::BucketMissing => "bucket-missing",
            Self::VersionsMissing => "versions-missing",
            Self::RegionWrong => "region-wrong",
            Self::ClockSkewed => "clock-skewed",
            Self::Tls => "tls-failed",
            Self::HostKey => "host-key-unknown",
            Self::HostUnknown => "host-unknown",
            Self::Unreachable => "storage-unreachable",
            Self::Timeout => "storage-timeout",
            Self::CutOff => "answer-cut-off",
            Self::Busy => "storage-busy",
            Self::ServerFailed => "storage-failed",
            Self::Redirected => "storage-redirects",
            Self::NotTheStorage => "not-the-storage",
            Self::AnswerInvalid => "answer-invalid",
            Self::ListingUncertain => "listing-uncertain",
            Self::ProgramEnded => "rclone-ended",
            Self::Refused => "storage-refused",
        }
    }

    /// Whether the same request may succeed when made again.
    pub fn is_retryable(self) -> bool {
        matches!(
            self,
            Self::HostUnknown
                | Self::Unreachable
                | Self::Timeout
                | Self::CutOff
                | Self::Busy
                | Self::ServerFailed
                | Self::NotTheStorage
                | Self::AnswerInvalid
                | Self::ListingUncertain
        )
    }

    fn words(self) -> &'static str {
        match self {
            Self::CredentialsMissing => "there are no credentials",
            Self::CredentialsRefused => "the storage does not take the credentials",
            Self::AccessDenied => "the credentials do not allow it",
            Self::BucketMissing => "there is no such bucket or folder",
            Self::VersionsMissing => "the bucket keeps no versions",
            Self::RegionWrong => "the bucket is in another region",
            Self::ClockSkewed => "the clock of this machine differs too much from that of the storage",
            Self::Tls => "no secure connection",
            Self::HostKey => "the server is not known to be the right one",
            Self::HostUnknown => "the name of the server is not known",
            Self::Unreachable => "no connection",
            Self::Timeout => "no answer in time",
            Self::CutOff => "the answer was cut off",
            Self::Busy => "the storage is busy",
            Self::ServerFailed => "the storage failed",
            Self::Redirected => "the server sends elsewhere, which is not followed",
            Self::NotTheStorage => "the answer \"not found\" is not one of the storage itself",
            Self::AnswerInvalid => "the answer is not valid",
            Self::ListingUncertain => "the listing is not certain to be complete",
            Self::ProgramEnded => "rclone does not serve it",
            Self::Refused => "the storage refuses",
        }
    }
}

/// One failure of a storage over the network, with what was asked of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    cause: Cause,
    detail: String,
    doing: String,
    blob: Option<BlobId>,
    retry_after: Option<Duration>,
}

impl Trouble {
    /// A failure; `detail` is what the server or the system says of it, without secrets.
    pub fn new(cause: Cause, detail: impl Into<String>) -> Self {
        let detail: String = detail.into();
        let detail = detail.chars().filter(|c| !c.is_control()).take(MAX_DETAIL).collect();
        Self { cause, detail, doing: String::new(), blob: None, retry_after: None }
    }

    /// The server asks not to come back before this time is over.
    #[must_use]
    pub fn retry_after(mut self, pause: Option<Duration>) -> Self {
        self.retry_after = pause;
        self
    }

    /// It happened while doing this.
    #[must_use]
    pub fn during(mut self, doing: impl Into<String>) -> Self {
        self.doing = doing.into();
        self
    }

    /// It is about this blob.
    #[must_use]
    pub fn of(mut self, blob: &BlobId) -> Self {
        self.blob = Some(blob.clone());
        self
    }

    /// Why.
    pub fn cause(&self) -> Cause {
        self.cause
    }

    /// The blob concerned.
    pub fn blob(&self) -> Option<&BlobId> {
        self.blob.as_ref()
    }

    pub(super) fn facts(&self) -> Facts<'_> {
        let facts = Facts::new(self.cause.code()).retryable(self.cause.is_retryable());
        self.blob.iter().fold(facts, Facts::blob)
    }

    /// How long the server asks to wait.
    pub fn pause(&self) -> Option<Duration> {
        self.retry_after
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.doing.is_empty() {
            write!(f, "{}: ", self.doing)?;
        }
        f.write_str(self.cause.words())?;
        if !self.detail.is_empty() {
            write!(f, ": {}", self.detail)?;
        }
        Ok(())
    }
}

impl std::error::Error for Trouble {}

//! Bodies of answers, held to what their heads say.

use std::ops::{Deref, Range};
use std::time::{Duration, Instant};

use reqwest::StatusCode;
use reqwest::header::{CONTENT_ENCODING, CONTENT_RANGE};

use super::{Answer, header};
use crate::blob::{Cause, Trouble};

/// What is read of the text of an error.
const MAX_ERROR: usize = 64 << 10;

/// Reserved before the first byte is there.
const FIRST_ROOM: u64 = 1 << 20;

/// A body comes with at least this many bytes a second, on average, after a while: else it has no end.
const LEAST_RATE: u64 = 1 << 10;
const GRACE: Duration = Duration::from_secs(60);

/// How fast a body comes.
struct Pace {
    begun: Instant,
    bytes: u64,
}

impl Pace {
    fn begin() -> Self {
        Self { begun: Instant::now(), bytes: 0 }
    }

    /// The next bytes of a body.
    async fn next(
        &mut self,
        response: &mut Answer,
    ) -> Result<Option<impl Deref<Target = [u8]> + use<>>, Trouble> {
        let chunk = response.chunk().await?;
        self.bytes += chunk.as_ref().map_or(0, |chunk| chunk.len() as u64);
        match self.is_too_slow(self.begun.elapsed()) {
            true => Err(Trouble::new(Cause::Timeout, format!("{} bytes in a minute and more", self.bytes))),
            false => Ok(chunk),
        }
    }

    fn is_too_slow(&self, elapsed: Duration) -> bool {
        elapsed > GRACE && self.bytes < elapsed.as_secs() * LEAST_RATE
    }
}

fn invalid(detail: impl Into<String>) -> Trouble {
    Trouble::new(Cause::AnswerInvalid, detail)
}

/// Bytes that were changed on the way are not those that were stored.
fn check_encoding(response: &Answer) -> Result<(), Trouble> {
    match header(response.headers(), CONTENT_ENCODING.as_str()) {
        None | Some("" | "identity") => Ok(()),
        // Some clients leave this header on what they upload, although the stored data is not chunked.
        Some("aws-chunked") => Ok(()),
        Some(other) => Err(invalid(format!("it is encoded as {other:?}"))),
    }
}

/// A body of at most `limit` bytes; else its size, as far as that is known.
pub(crate) async fn whole(response: Answer, limit: u64) -> Result<Result<Vec<u8>, u64>, Trouble> {
    match response.status() {
        StatusCode::OK => body(response, limit).await,
        status => Err(invalid(format!("status {} for a whole body", status.as_u16()))),
    }
}

/// The same of an answer whose status was looked at.
pub(crate) async fn body(mut response: Answer, limit: u64) -> Result<Result<Vec<u8>, u64>, Trouble> {
    check_encoding(&response)?;
    let announced = response.content_length();
    if let Some(size) = announced.filter(|size| *size > limit) {
        return Ok(Err(size));
    }
    let room = announced.unwrap_or_default().min(FIRST_ROOM);
    let mut bytes = Vec::with_capacity(usize::try_from(room).unwrap_or_default());
    let mut pace = Pace::begin();
    while let Some(chunk) = pace.next(&mut response).await? {
        bytes.extend_from_slice(&chunk);
        if bytes.len() as u64 > limit {
            return Ok(Err(bytes.len() as u64));
        }
    }
    match announced {
        Some(size) if size != bytes.len() as u64 => {
            Err(Trouble::new(Cause::CutOff, format!("{} of {size} bytes", bytes.len())))
        }
        _ => Ok(Ok(bytes)),
    }
}

/// The range that an answer says it is, and the size of the whole.
fn content_range(response: &Answer) -> Option<(Range<u64>, u64)> {
    let text = header(response.headers(), CONTENT_RANGE.as_str())?.strip_prefix("bytes ")?;
    let (range, total) = text.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let (first, last): (u64, u64) = (first.parse().ok()?, last.parse().ok()?);
    let (end, total) = (last.checked_add(1)?, total.parse().ok()?);
    (first < end && end <= total).then_some((first..end, total))
}

/// The size of a blob, and of the range from `offset` as many bytes as it has, filled into `buffer`.
///
/// The answer has to be the range that was asked for, or the part of it that the blob has.
pub(crate) async fn fill(
    mut response: Answer,
    offset: u64,
    buffer: &mut [u8],
) -> Result<(usize, u64), Trouble> {
    if response.status() != StatusCode::PARTIAL_CONTENT {
        return Err(invalid(format!("status {} for a part", response.status().as_u16())));
    }
    check_encoding(&response)?;
    let (range, total) =
        content_range(&response).ok_or_else(|| invalid("it does not say which part it is"))?;
    let wanted = offset.saturating_add(buffer.len() as u64).min(total);
    if range != (offset..wanted) {
        return Err(invalid(format!("{range:?} was sent for the part {offset}..{wanted}")));
    }
    let length = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
    let mut rest = buffer.get_mut(..length).unwrap_or_default();
    let mut pace = Pace::begin();
    while let Some(chunk) = pace.next(&mut response).await? {
        let (place, behind) =
            rest.split_at_mut_checked(chunk.len()).ok_or_else(|| invalid("it is longer than it says"))?;
        place.copy_from_slice(&chunk);
        rest = behind;
    }
    match rest.len() {
        0 => Ok((length, total)),
        missing => Err(Trouble::new(Cause::CutOff, format!("{missing} of {length} bytes are missing"))),
    }
}

/// The text of an error, as much of it as can be had.
pub(crate) async fn error_text(mut response: Answer) -> String {
    let mut bytes = Vec::new();
    let mut pace = Pace::begin();
    while let Ok(Some(chunk)) = pace.next(&mut response).await {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > MAX_ERROR {
            break;
        }
    }
    bytes.truncate(MAX_ERROR);
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_that_trickles_comes_to_an_end() {
        let pace = |bytes| Pace { bytes, ..Pace::begin() };
        assert!(!pace(0).is_too_slow(GRACE));
        assert!(pace(60).is_too_slow(GRACE * 2));
        assert!(!pace(20 << 20).is_too_slow(GRACE * 60));
    }
}

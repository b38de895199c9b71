//! What a server of S3 answers: lists and errors.

use reqwest::StatusCode;
use reqwest::header::{DATE, HeaderMap};

use crate::blob::object::service::{Item, Page, not_a_listing};
use crate::blob::remote::{Element, header, retry_after};
use crate::blob::{Cause, Trouble};

const REGION_HEADER: &str = "x-amz-bucket-region";

/// A request that was not fulfilled.
#[derive(Debug)]
pub(super) struct Denied {
    /// Of an answer; there is none where there is no answer.
    pub(super) status: Option<StatusCode>,
    /// The code of a well-formed error of S3; empty for any other answer.
    pub(super) code: String,
    /// The region that the bucket is in, where the server says so.
    pub(super) region: Option<String>,
    pub(super) trouble: Trouble,
}

impl From<Trouble> for Denied {
    fn from(trouble: Trouble) -> Self {
        Self { status: None, code: String::new(), region: None, trouble }
    }
}

impl Denied {
    pub(super) fn is_about_the_region(&self) -> bool {
        self.trouble.cause() == Cause::RegionWrong
    }

    /// Reads an answer that is no success.
    pub(super) fn read(status: StatusCode, headers: &HeaderMap, body: &str, anonymous: bool) -> Self {
        let error = Element::parse(body.as_bytes()).filter(|element| element.name() == "Error");
        let value = |name| error.as_ref().and_then(|error| error.value(name)).unwrap_or_default().to_owned();
        let (code, message) = (value("Code"), value("Message"));
        let cause = cause(status, &code, anonymous);
        let named = Some(value("Region")).filter(|region| !region.is_empty());
        let region = named
            .or_else(|| header(headers, REGION_HEADER).map(str::to_owned))
            .filter(|region| is_region(region));
        let region = region.filter(|_| matches!(cause, Cause::RegionWrong | Cause::AccessDenied));
        let mut detail = match code.as_str() {
            "" => format!("status {}", status.as_u16()),
            code => format!("{code}: {message}"),
        };
        if cause == Cause::ClockSkewed
            && let Some(theirs) = header(headers, DATE.as_str())
        {
            detail.push_str(&format!(" (its clock says {theirs}, ours {})", jiff::Timestamp::now()));
        }
        if cause == Cause::CredentialsMissing {
            detail.push_str(" (asked without credentials: none were given or found)");
        }
        if let Some(region) = region.as_ref().filter(|_| cause == Cause::RegionWrong) {
            detail.push_str(&format!(" (it is in {region})"));
        }
        Self {
            status: Some(status),
            code,
            region,
            trouble: Trouble::new(cause, detail).retry_after(retry_after(headers)),
        }
    }
}

/// A region becomes a part of names of servers.
fn is_region(text: &str) -> bool {
    !text.is_empty()
        && text.len() < 64
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
}

fn cause(status: StatusCode, code: &str, anonymous: bool) -> Cause {
    match code {
        "NoSuchBucket" => Cause::BucketMissing,
        "RequestTimeTooSkewed" | "RequestExpired" => Cause::ClockSkewed,
        "AuthorizationHeaderMalformed"
        | "InvalidRegion"
        | "PermanentRedirect"
        | "IllegalLocationConstraintException" => Cause::RegionWrong,
        "InvalidAccessKeyId"
        | "SignatureDoesNotMatch"
        | "ExpiredToken"
        | "InvalidToken"
        | "TokenRefreshRequired"
        | "InvalidSecurity"
        | "XAdminUserNotFound"
        | "NotSignedUp"
        | "UnauthorizedAccess" => Cause::CredentialsRefused,
        "SlowDown"
        | "Throttling"
        | "ThrottlingException"
        | "RequestLimitExceeded"
        | "TooManyRequests"
        | "ServiceUnavailable"
        | "SlowDownRead" => Cause::Busy,
        "InternalError" | "RequestTimeout" | "OperationAborted" => Cause::ServerFailed,
        // A redirection comes without a body where it is not the answer to the read of an object.
        _ => match status.as_u16() {
            401 | 403 if anonymous => Cause::CredentialsMissing,
            404 if code.is_empty() => Cause::NotTheStorage,
            _ => Cause::of_status(status),
        },
    }
}

/// Reads a page of a list, which has to be one of this bucket and prefix, with all that a page has.
pub(super) fn page(body: &[u8], bucket: &str, prefix: &str) -> Result<Page, Trouble> {
    let invalid = |why: &str| not_a_listing(format!("it is no list of objects: {why}"));
    let root = list(body, "ListBucketResult", bucket, prefix).map_err(|why| invalid(&why))?;
    let decoded = |text: &str| decoded_in(&root, text);
    let items: Vec<Item> = root
        .all("Contents")
        .map(|entry| {
            let key = entry.value("Key").and_then(decoded).ok_or_else(|| invalid("an object has no name"))?;
            let size = entry
                .value("Size")
                .and_then(|size| size.trim().parse().ok())
                .ok_or_else(|| invalid("an object has no size"))?;
            let modified: Option<jiff::Timestamp> =
                entry.value("LastModified").and_then(|time| time.trim().parse().ok());
            Ok(Item { key, size, modified: modified.map(Into::into) })
        })
        .collect::<Result<_, Trouble>>()?;
    let folders = root.all("CommonPrefixes").map(|folder| folder.all("Prefix").count()).sum();
    if let Some(count) = root.value("KeyCount")
        && count.trim().parse() != Ok(items.len() + folders)
    {
        return Err(invalid(&format!(
            "it says that it has {count} names, and has {}",
            items.len() + folders
        )));
    }
    let next = match root.value("IsTruncated").map(str::trim) {
        Some("false") => None,
        Some("true") => {
            let token = root.value("NextContinuationToken").filter(|token| !token.is_empty());
            Some(token.ok_or_else(|| invalid("it goes on, but does not say where"))?.to_owned())
        }
        _ => return Err(invalid("it does not say whether it goes on")),
    };
    Ok(Page { items, next, folders })
}

/// A list of this kind of this bucket and prefix, or why it is none.
pub(super) fn list(body: &[u8], kind: &str, bucket: &str, prefix: &str) -> Result<Element, String> {
    let root = Element::parse(body).ok_or("it is not well-formed")?;
    if root.name() != kind {
        return Err(format!("it is a {:?}", root.name()));
    }
    if root.value("Name") != Some(bucket) {
        return Err("it is of another bucket".to_owned());
    }
    if decoded_in(&root, root.value("Prefix").unwrap_or_default()).as_deref() != Some(prefix) {
        return Err("it is of another prefix".to_owned());
    }
    Ok(root)
}

/// A name of a list, which says whether its names are encoded.
pub(super) fn decoded_in(list: &Element, text: &str) -> Option<String> {
    if list.value("EncodingType") == Some("url") { decoded(text) } else { Some(text.to_owned()) }
}

/// A name as it stands in a list with encoded names.
fn decoded(text: &str) -> Option<String> {
    let spaced = text.replace('+', " ");
    percent_encoding::percent_decode_str(&spaced).decode_utf8().ok().map(std::borrow::Cow::into_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\
        <ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Name>b</Name><Prefix>k/x</Prefix>\
        <KeyCount>2</KeyCount><MaxKeys>1000</MaxKeys><IsTruncated>true</IsTruncated>\
        <NextContinuationToken>t==</NextContinuationToken>\
        <Contents><Key>k/xn0</Key><LastModified>2026-11-30T20:12:48.000Z</LastModified><Size>7</Size></Contents>\
        <CommonPrefixes><Prefix>k/xs/</Prefix></CommonPrefixes></ListBucketResult>";

    #[test]
    fn a_page_is_read() {
        let page = page(PAGE.as_bytes(), "b", "k/x").unwrap();
        assert_eq!((page.items[0].key.as_str(), page.items[0].size, page.folders), ("k/xn0", 7, 1));
        assert_eq!(page.next.as_deref(), Some("t=="));
        assert!(page.items[0].modified.is_some());
    }

    #[test]
    fn a_page_of_something_else_is_refused() {
        let changed = |from: &str, to: &str| {
            assert!(PAGE.contains(from), "{from}");
            page(PAGE.replace(from, to).as_bytes(), "b", "k/x").unwrap_err()
        };
        for (from, to) in [
            ("<Name>b</Name>", "<Name>c</Name>"),
            ("<Name>b</Name>", ""),
            ("<Prefix>k/x</Prefix>", ""),
            ("<Prefix>k/x</Prefix>", "<Prefix></Prefix>"),
            ("<KeyCount>2<", "<KeyCount>0<"),
            ("<IsTruncated>true</IsTruncated>", ""),
            ("t==", ""),
            ("<Size>7</Size>", ""),
            ("<Size>7</Size>", "<Size>-7</Size>"),
            ("<Key>k/xn0</Key>", ""),
            ("ListBucketResult", "ListAllMyBucketsResult"),
            ("</ListBucketResult>", ""),
        ] {
            let trouble = changed(from, to);
            assert_eq!(trouble.cause(), Cause::AnswerInvalid, "{from} {to}");
        }
        let empty = PAGE.split("<Name>").next().unwrap();
        assert!(page(format!("{empty}</ListBucketResult>").as_bytes(), "b", "").is_err());
    }

    #[test]
    fn refusals_are_told_apart() {
        let cause = |status: u16, code: &str| {
            let body = format!("<Error><Code>{code}</Code><Message>m</Message><Region>eu-1</Region></Error>");
            let status = StatusCode::from_u16(status).unwrap();
            Denied::read(status, &HeaderMap::new(), &body, false)
        };
        for (status, code, expected) in [
            (404, "NoSuchBucket", Cause::BucketMissing),
            (403, "SignatureDoesNotMatch", Cause::CredentialsRefused),
            (403, "AccessDenied", Cause::AccessDenied),
            (403, "RequestTimeTooSkewed", Cause::ClockSkewed),
            (400, "AuthorizationHeaderMalformed", Cause::RegionWrong),
            (503, "SlowDown", Cause::Busy),
            (404, "", Cause::NotTheStorage),
            (301, "PermanentRedirect", Cause::RegionWrong),
            (501, "NotImplemented", Cause::Refused),
        ] {
            assert_eq!(cause(status, code).trouble.cause(), expected, "{status} {code}");
        }
        assert_eq!(cause(301, "PermanentRedirect").region.as_deref(), Some("eu-1"));
        let page = Denied::read(StatusCode::NOT_FOUND, &HeaderMap::new(), "<html>NoSuchKey</html>", false);
        assert_eq!((page.code.as_str(), page.trouble.cause()), ("", Cause::NotTheStorage));
        let anonymous = Denied::read(StatusCode::FORBIDDEN, &HeaderMap::new(), "", true);
        assert_eq!(anonymous.trouble.cause(), Cause::CredentialsMissing);
    }
}

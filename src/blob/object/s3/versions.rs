//! What a server of S3 answers about versions: lists of them, and whether a bucket keeps and locks them.

use super::answers::{decoded_in, list};
use crate::blob::object::service::{Version, VersionMarker, VersionPage, not_a_listing};
use crate::blob::remote::Element;
use crate::blob::{ObjectLock, Trouble};

/// Reads a page of a list of versions, which has to be one of this bucket and prefix, with all that a page has.
pub(super) fn page(body: &[u8], bucket: &str, prefix: &str) -> Result<VersionPage, Trouble> {
    let invalid = |why: &str| not_a_listing(format!("it is no list of versions: {why}"));
    let root = list(body, "ListVersionsResult", bucket, prefix).map_err(|why| invalid(&why))?;
    let decoded = |text: &str| decoded_in(&root, text);
    let version = |entry: &Element| {
        let lacks = |what: &str| invalid(&format!("a version has no {what}"));
        let deleted = entry.name() == "DeleteMarker";
        let number = |text: &str| text.trim().parse().ok();
        let size = if deleted { Some(0) } else { entry.value("Size").and_then(number) };
        Ok(Version {
            key: entry.value("Key").and_then(decoded).ok_or_else(|| lacks("name"))?,
            id: entry.value("VersionId").map(str::to_owned).ok_or_else(|| lacks("ID"))?,
            size: size.ok_or_else(|| lacks("size"))?,
            modified: entry
                .value("LastModified")
                .and_then(|time| time.trim().parse().ok())
                .ok_or_else(|| lacks("time"))?,
            latest: entry.value("IsLatest").map(str::trim) == Some("true"),
            deleted,
        })
    };
    let entries = root.children().filter(|child| matches!(child.name(), "Version" | "DeleteMarker"));
    let versions = entries.map(version).collect::<Result<_, Trouble>>()?;
    let next = match root.value("IsTruncated").map(str::trim) {
        Some("false") => None,
        Some("true") => {
            let key = root.value("NextKeyMarker").and_then(decoded).filter(|key| !key.is_empty());
            let key = key.ok_or_else(|| invalid("it goes on, but does not say where"))?;
            let id = root.value("NextVersionIdMarker").filter(|id| !id.is_empty()).map(str::to_owned);
            Some(VersionMarker { key, id })
        }
        _ => return Err(invalid("it does not say whether it goes on")),
    };
    Ok(VersionPage { versions, next })
}

/// Whether a bucket keeps all versions from now on; `None` where the answer is no such thing.
pub(super) fn are_kept(body: &[u8]) -> Option<bool> {
    let root = Element::parse(body)?;
    // The second is how moto calls it.
    let valid = matches!(root.name(), "VersioningConfiguration" | "GetBucketVersioningResponse");
    valid.then(|| root.value("Status").map(str::trim) == Some("Enabled"))
}

/// How a bucket is locked; `None` where the answer is no such thing.
pub(super) fn lock(body: &[u8]) -> Option<ObjectLock> {
    let root = Element::parse(body).filter(|root| root.name() == "ObjectLockConfiguration")?;
    let enabled = root.value("ObjectLockEnabled").map(str::trim) == Some("Enabled");
    let retention = root.one("Rule").and_then(|rule| rule.one("DefaultRetention"));
    let value = |name| retention.and_then(|retention| retention.value(name)).map(str::trim);
    let number = |name| value(name).and_then(|text| text.parse::<u32>().ok());
    Some(ObjectLock {
        enabled,
        mode: value("Mode").filter(|mode| !mode.is_empty()).map(str::to_ascii_lowercase),
        days: number("Days").or_else(|| number("Years").map(|years| years.saturating_mul(365))),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blob::Cause;

    const PAGE: &str = "<ListVersionsResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Name>b</Name><Prefix>k/</Prefix>\
        <MaxKeys>1000</MaxKeys><IsTruncated>true</IsTruncated><NextKeyMarker>k/q</NextKeyMarker>\
        <NextVersionIdMarker>v1</NextVersionIdMarker>\
        <DeleteMarker><Key>k/p</Key><VersionId>v3</VersionId><LastModified>2026-11-30T20:12:50.000Z</LastModified></DeleteMarker>\
        <Version><Key>k/p</Key><VersionId>v2</VersionId><LastModified>2026-11-30T20:12:48.000Z</LastModified><Size>7</Size></Version>\
        <Version><Key>k/q</Key><VersionId>v1</VersionId><LastModified>2026-11-30T20:12:48.000Z</LastModified><Size>9</Size></Version>\
        </ListVersionsResult>";

    #[test]
    fn a_page_is_read_in_its_order() {
        let page = page(PAGE.as_bytes(), "b", "k/").unwrap();
        let seen: Vec<_> = page.versions.iter().map(|v| (v.key.as_str(), v.id.as_str(), v.deleted)).collect();
        assert_eq!(seen, [("k/p", "v3", true), ("k/p", "v2", false), ("k/q", "v1", false)]);
        assert_eq!(page.next, Some(VersionMarker { key: "k/q".into(), id: Some("v1".into()) }));
    }

    #[test]
    fn a_page_of_something_else_is_refused() {
        for (from, to) in [
            ("<Name>b</Name>", "<Name>c</Name>"),
            ("<Prefix>k/</Prefix>", ""),
            ("<IsTruncated>true</IsTruncated>", ""),
            ("<NextKeyMarker>k/q</NextKeyMarker>", ""),
            ("<Size>9</Size>", ""),
            ("<VersionId>v2</VersionId>", ""),
            ("2026-11-30T20:12:50.000Z", "yesterday"),
            ("ListVersionsResult", "ListBucketResult"),
        ] {
            assert!(PAGE.contains(from), "{from}");
            let refused = page(PAGE.replace(from, to).as_bytes(), "b", "k/").unwrap_err();
            assert_eq!(refused.cause(), Cause::AnswerInvalid, "{from}");
        }
    }

    #[test]
    fn how_a_bucket_keeps_what_was_deleted() {
        let kept = |status: &str| {
            are_kept(format!("<VersioningConfiguration>{status}</VersioningConfiguration>").as_bytes())
        };
        assert_eq!(kept("<Status>Enabled</Status>"), Some(true));
        assert_eq!((kept("<Status>Suspended</Status>"), kept("")), (Some(false), Some(false)));
        assert_eq!(are_kept(b"<html/>"), None);
        let locked = b"<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled><Rule><DefaultRetention>\
            <Mode>COMPLIANCE</Mode><Days>30</Days></DefaultRetention></Rule></ObjectLockConfiguration>";
        let expected = ObjectLock { enabled: true, mode: Some("compliance".into()), days: Some(30) };
        assert_eq!(lock(locked), Some(expected));
    }
}

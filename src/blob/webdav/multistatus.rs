//! Lists of a WebDAV server.

use std::time::SystemTime;

use jiff::fmt::rfc2822;
use percent_encoding::percent_decode_str;

use crate::blob::folders::{Entry, EntryKind};
use crate::blob::remote::Element;
use crate::blob::{Cause, Trouble};

/// What a server says of one thing, and of what is in it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Listed {
    pub(super) itself: EntryKind,
    pub(super) within: Vec<Entry>,
}

fn invalid(why: impl Into<String>) -> Trouble {
    Trouble::new(Cause::AnswerInvalid, why)
}

/// Reads an answer about `path`, which begins with a slash and is not encoded. It has to be about exactly that: itself, and
/// what lies directly in it.
pub(super) fn read(body: &[u8], path: &str) -> Result<Listed, Trouble> {
    let root = Element::parse(body).ok_or_else(|| invalid("it is no XML document"))?;
    if root.name() != "multistatus" {
        return Err(invalid(format!("it is a {:?} and no list of files", root.name())));
    }
    let asked = path.trim_end_matches('/');
    let (mut itself, mut within) = (None, Vec::new());
    for response in root.all("response") {
        let href = response.value("href").ok_or_else(|| invalid("something in it has no name"))?;
        let found = path_of(href).ok_or_else(|| invalid(format!("{href:?} is no address")))?;
        let (kind, modified) = properties(response)?;
        match found.trim_end_matches('/').strip_prefix(asked) {
            Some("") if itself.is_none() => itself = Some(kind),
            Some(rest) if rest.strip_prefix('/').is_some_and(|name| !name.contains('/')) => {
                within.push(Entry { name: rest.trim_start_matches('/').to_owned(), kind, modified });
            }
            _ => return Err(invalid(format!("it lists {found:?}, asked for {asked:?}"))),
        }
    }
    match itself {
        Some(itself) => Ok(Listed { itself, within }),
        None => Err(invalid("it says nothing of the folder itself")),
    }
}

/// The path of an address, decoded, with or without a server before it.
fn path_of(href: &str) -> Option<String> {
    let href = href.trim();
    let path = match href.split_once("://") {
        Some((_, rest)) if !href.starts_with('/') => rest.get(rest.find('/')?..)?,
        _ => href,
    };
    let decoded = percent_decode_str(path).decode_utf8().ok()?;
    decoded.starts_with('/').then(|| decoded.into_owned())
}

/// What is said of a thing with success.
fn properties(response: &Element) -> Result<(EntryKind, Option<SystemTime>), Trouble> {
    let is_good = |status: &str| status.split_ascii_whitespace().nth(1) == Some("200");
    let mut good = response.all("propstat").filter(|stat| stat.value("status").is_some_and(is_good));
    let found = good.next().and_then(|stat| stat.one("prop"));
    let found = found.ok_or_else(|| invalid("something in it has no properties"))?;
    // A folder that is taken for a file would lose all that is in it.
    let kind = found
        .one("resourcetype")
        .ok_or_else(|| invalid("something in it is said to be no file and no folder"))?;
    let is_folder = kind.one("collection").is_some();
    let kind = match found.value("getcontentlength").map(|text| text.trim().parse()) {
        _ if is_folder => EntryKind::Folder,
        Some(Ok(size)) => EntryKind::File(size),
        _ => return Err(invalid("a file in it has no size")),
    };
    let modified = found.value("getlastmodified").and_then(|text| rfc2822::parse(text.trim()).ok());
    Ok((kind, modified.map(|time| time.timestamp().into())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(href: &str, properties: &str) -> String {
        format!(
            "<D:response><D:href>{href}</D:href><D:propstat><D:prop>{properties}</D:prop>\
             <D:status>HTTP/1.1 200 OK</D:status></D:propstat><D:propstat><D:prop><D:getetag/></D:prop>\
             <D:status>HTTP/1.1 404 Not Found</D:status></D:propstat></D:response>"
        )
    }

    fn document(responses: &[String]) -> String {
        format!(
            "<?xml version=\"1.0\"?><D:multistatus xmlns:D=\"DAV:\">{}</D:multistatus>",
            responses.concat()
        )
    }

    const FOLDER: &str = "<D:resourcetype><D:collection/></D:resourcetype>";
    const FILE: &str = "<D:resourcetype/><D:getcontentlength>7</D:getcontentlength>";

    #[test]
    fn a_folder_with_what_is_in_it() {
        for (itself, prefix) in
            [("/a%20b/", "/a%20b/"), ("/a%20b", "http://nas:80/a%20b/"), ("https://nas/a%20b/", "/a%20b/")]
        {
            let body = document(&[
                response(itself, FOLDER),
                response(&format!("{prefix}p/"), FOLDER),
                response(&format!("{prefix}x%2Bn.f"), FILE),
            ]);
            let listed = read(body.as_bytes(), "/a b").unwrap();
            let names: Vec<_> = listed.within.iter().map(|entry| (entry.name.as_str(), entry.kind)).collect();
            assert_eq!(names, [("p", EntryKind::Folder), ("x+n.f", EntryKind::File(7))]);
            assert_eq!(listed.itself, EntryKind::Folder);
        }
        let root = document(&[response("/", FOLDER), response("/p/", FOLDER)]);
        assert_eq!(read(root.as_bytes(), "/").unwrap().within[0].name, "p");
    }

    #[test]
    fn what_is_not_about_exactly_this_folder_is_refused() {
        for responses in [
            vec![],
            vec![response("/other/", FOLDER)],
            vec![response("/r/p/", FOLDER)],
            vec![response("/r/", FOLDER), response("/r/p/inner.f", FILE)],
            vec![response("/r/", FOLDER), response("/rx.f", FILE)],
            vec![response("/r/", FOLDER), response("/r", FOLDER)],
            vec![response("/r/", FOLDER), response("/r/x.f", "<D:resourcetype/>")],
            vec![response("/r/", FOLDER), response("x.f", FILE)],
            vec![
                response("/r/", FOLDER),
                response("/r/p12", "<D:getcontentlength>4096</D:getcontentlength>"),
            ],
        ] {
            assert!(read(document(&responses).as_bytes(), "/r").is_err(), "{responses:?}");
        }
        for bad in ["", "<html></html>", "<D:multistatus>", "not found"] {
            assert!(read(bad.as_bytes(), "/r").is_err(), "{bad}");
        }
    }
}

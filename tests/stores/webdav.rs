//! A WebDAV server in this process that lies on demand, and what is read from it.

use std::collections::BTreeMap;
use std::net::TcpStream;
use std::sync::atomic::Ordering;

use rokopia::blob::remote::Hidden;
use rokopia::blob::webdav::WebDavOptions;
use rokopia::blob::{BlobId, BlobStore, FileSystem, Folders, Retry, Traffic};

use crate::common::{say, testdata};
use crate::lies::{Answers, patience, truth};
use crate::server::{LIES, Lie, Server, State, WRONG_SIZES, answer, escaped, object, read};
use crate::suite::{behaves, blobs};

const FOLDER: &str = "dav/my repo";
const SHARDS: &str = "{\"default\":[1,3],\"maxNonShardedLength\":20}";

fn sharded(name: &str) -> String {
    match name.len() > 20 {
        true => format!("{FOLDER}/{}/{}/{}.f", &name[..1], &name[1..4], &name[4..]),
        false => format!("{FOLDER}/{name}.f"),
    }
}

/// A server with these blobs as Kopia lays them out.
fn with<'b>(blobs: impl IntoIterator<Item = (&'b str, Vec<u8>)>) -> Server {
    let server = Server::serving(serve);
    server.put(&format!("{FOLDER}/.shards"), SHARDS);
    for (name, bytes) in blobs {
        server.put(&sharded(name), bytes);
    }
    server
}

fn options(server: &Server) -> WebDavOptions {
    WebDavOptions {
        host: server.address.to_string(),
        path: FOLDER.into(),
        plain_http: true,
        username: "u".into(),
        password: Hidden::new("hunter2"),
        ..WebDavOptions::default()
    }
}

fn store(server: &Server) -> Folders {
    options(server).open(&Traffic::default()).unwrap()
}

fn serve(stream: &TcpStream, state: &State) -> Option<()> {
    let request = read(stream)?;
    if request.authorization != "Basic dTpodW50ZXIy" {
        return answer(stream, "401 Unauthorized", "WWW-Authenticate: Basic realm=\"x\"\r\n", b"");
    }
    let lie = state.next_lie();
    match lie {
        Some(Lie::Empty) => return answer(stream, "200 OK", "", b""),
        Some(Lie::RedirectRegion) => {
            return answer(stream, "301 Moved Permanently", "Location: http://127.0.0.1:1/\r\n", b"");
        }
        Some(Lie::Forbidden) => return answer(stream, "403 Forbidden", "", b"no"),
        Some(Lie::HtmlNotFound | Lie::NoSuchBucket) => {
            return answer(stream, "404 Not Found", "", b"<html><body>not found</body></html>");
        }
        Some(Lie::TooManyRequests) => return answer(stream, "429 Too Many Requests", "", b""),
        Some(Lie::InternalError) => return answer(stream, "500 Internal Server Error", "", b""),
        Some(Lie::Unavailable) => return answer(stream, "503 Service Unavailable", "", b""),
        Some(Lie::UnavailableRetryAfter) => {
            return answer(stream, "503 Service Unavailable", "Retry-After: 0\r\n", b"");
        }
        Some(Lie::Closed) => return None,
        _ => {}
    }
    let path = request.path.trim_matches('/');
    match request.method.as_str() {
        "PROPFIND" => properties(stream, state, path, request.depth == "1", lie),
        _ => object(stream, state, path, request.range, lie),
    }
}

fn properties(stream: &TcpStream, state: &State, path: &str, within: bool, lie: Option<Lie>) -> Option<()> {
    let objects = state.objects.lock().unwrap().clone();
    // Names in the folder, with sizes of files.
    let mut names: BTreeMap<String, Option<usize>> = BTreeMap::new();
    for (key, bytes) in &objects {
        if let Some(rest) = key.strip_prefix(&format!("{path}/")) {
            match rest.split_once('/') {
                Some((folder, _)) => names.insert(folder.to_owned(), None),
                None => names.insert(rest.to_owned(), Some(bytes.len())),
            };
        }
    }
    let itself = objects.get(path).map(Vec::len);
    if names.is_empty() && itself.is_none() {
        return answer(stream, "404 Not Found", "", b"Not Found");
    }
    if !within {
        names.clear();
    }
    let different = WRONG_SIZES.fetch_add(1, Ordering::Relaxed);
    let shortens = matches!(lie, Some(Lie::EmptyList | Lie::ShortList)) && within;
    let shortens = state.may_shorten(path, shortens);
    match lie {
        Some(Lie::EmptyList) if shortens => names.clear(),
        Some(Lie::ShortList) if shortens && !names.is_empty() => {
            let name = names.keys().nth(different % names.len()).unwrap().clone();
            names.remove(&name);
        }
        _ => {}
    }
    let shown = if lie == Some(Lie::OtherPrefix) { "other".to_owned() } else { path.replace(' ', "%20") };
    let response = |href: &str, size: Option<usize>| {
        let kind = match size {
            None => "<D:resourcetype><D:collection/></D:resourcetype>".to_owned(),
            Some(size) => {
                let size = if lie == Some(Lie::WrongSizes) { size / 2 + different } else { size };
                format!("<D:resourcetype/><D:getcontentlength>{size}</D:getcontentlength>")
            }
        };
        format!(
            "<D:response><D:href>{}</D:href><D:propstat><D:prop>{kind}</D:prop><D:status>HTTP/1.1 200 OK</D:status>\
             </D:propstat></D:response>",
            escaped(href)
        )
    };
    let root = if lie == Some(Lie::ListOfSomething) { "D:prop" } else { "D:multistatus" };
    let mut body = format!("<?xml version=\"1.0\"?><{root} xmlns:D=\"DAV:\">");
    body.push_str(&response(&format!("/{shown}"), itself));
    for (name, size) in &names {
        body.push_str(&response(&format!("/{shown}/{name}"), *size));
    }
    body.push_str(&format!("</{root}>"));
    if lie == Some(Lie::CutBody) {
        body.truncate(body.len() / 2);
    }
    answer(stream, "207 Multi-Status", "", body.as_bytes())
}

#[test]
fn a_folder_of_a_webdav_server_behaves() {
    let all = blobs();
    let server = with(all.iter().map(|(name, bytes)| (name.as_str(), bytes.clone())));
    for foreign in ["README.txt", "p/abc/inner/deep.txt", "lost+found/x", "kopia.repository.f-1234"] {
        server.put(&format!("{FOLDER}/{foreign}"), "foreign");
    }
    behaves(&store(&server), &all);
}

#[test]
fn a_folder_without_its_rule_behaves() {
    let all = blobs();
    let server = with(all.iter().map(|(name, bytes)| (name.as_str(), bytes.clone())));
    server.state.objects.lock().unwrap().remove(&format!("{FOLDER}/.shards"));
    behaves(&store(&server), &all);
}

#[test]
fn what_a_webdav_server_refuses_is_unknown_and_never_absent() {
    let server = with([("kopia.repository", b"x".to_vec())]);
    let code = |change: fn(&mut WebDavOptions)| {
        let mut options = options(&server);
        change(&mut options);
        options.open(&Traffic::default()).unwrap().list("").unwrap_err().code()
    };
    assert_eq!(code(|options| options.path = "other".into()), "bucket-missing");
    assert_eq!(code(|options| options.password = Hidden::new("wrong")), "credentials-refused");
    assert_eq!(
        code(|options| (options.username, options.password) = (String::new(), Hidden::default())),
        "credentials-missing"
    );
    assert_eq!(code(|options| options.host = "127.0.0.1:1".into()), "storage-unreachable");
    assert!(!store(&server).is_empty().unwrap());
    let shown = format!("{:?} {}", options(&server), options(&server));
    assert!(!shown.contains("hunter2"), "{shown}");
}

#[test]
fn whatever_a_webdav_server_answers_nothing_is_wrong_and_nothing_is_called_absent() {
    let directory = FileSystem::open(testdata().join("basic/repo")).unwrap();
    let truth = truth(&directory);
    let server = with(truth.iter().map(|(id, bytes)| (id.as_str(), bytes.clone())));
    let mut answers = Answers::default();
    for lie in LIES {
        for nth in [1, 2, 3, 5] {
            server.lie(lie, nth);
            let store = Retry::new(store(&server), patience(2));
            let mut note = |result| answers.note(lie, nth, result);
            note(store.list("").map(|listed| {
                let found: BTreeMap<BlobId, u64> =
                    listed.into_iter().map(|blob| (blob.id, blob.size)).collect();
                found.keys().eq(truth.keys()) && (lie == Lie::WrongSizes || found.values().eq(&sizes(&truth)))
            }));
            for (id, bytes) in &truth {
                if lie != Lie::GarbageBytes {
                    note(store.read(id, u64::MAX).map(|read| read == *bytes));
                    let mut part = vec![0; bytes.len() / 2];
                    note(store.read_at(id, 1, &mut part).map(|()| part == bytes[1..=part.len()]));
                }
                if lie != Lie::WrongSizes {
                    note(store.size(id).map(|size| size == bytes.len() as u64));
                }
            }
        }
    }
    let Answers { right, errors } = answers;
    assert!(right > 500, "{right}");
    say(&format!("lies of WebDAV: {} kinds, {right} right answers, errors {errors:?}", LIES.len()));
}

fn sizes(truth: &BTreeMap<BlobId, Vec<u8>>) -> Vec<u64> {
    truth.values().map(|bytes| bytes.len() as u64).collect()
}

//! A server that speaks enough of S3, in this process, and lies on demand.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rokopia::blob::object::{Objects, S3Options};
use rokopia::blob::remote::Hidden;
use rokopia::blob::{BlobStore, Traffic};

pub(crate) const BUCKET: &str = "bucket";

/// Names a page, fewer than a real server: lists have many pages then.
pub(crate) const PAGE: usize = 7;

/// What a server does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lie {
    Empty,
    CutBody,
    WholeForRange,
    OtherRange,
    RedirectRegion,
    Forbidden,
    HtmlNotFound,
    NoSuchBucket,
    TooManyRequests,
    InternalError,
    Unavailable,
    UnavailableRetryAfter,
    SlowBody,
    Closed,
    EmptyList,
    ShortList,
    ListWithoutEnd,
    OtherPrefix,
    ListOfSomething,
    WrongSizes,
    GarbageBytes,
}

pub(crate) const LIES: [Lie; 21] = [
    Lie::Empty,
    Lie::CutBody,
    Lie::WholeForRange,
    Lie::OtherRange,
    Lie::RedirectRegion,
    Lie::Forbidden,
    Lie::HtmlNotFound,
    Lie::NoSuchBucket,
    Lie::TooManyRequests,
    Lie::InternalError,
    Lie::Unavailable,
    Lie::UnavailableRetryAfter,
    Lie::SlowBody,
    Lie::Closed,
    Lie::EmptyList,
    Lie::ShortList,
    Lie::ListWithoutEnd,
    Lie::OtherPrefix,
    Lie::ListOfSomething,
    Lie::WrongSizes,
    Lie::GarbageBytes,
];

pub(crate) static WRONG_SIZES: AtomicUsize = AtomicUsize::new(1);

/// A version of an object, or its deletion.
#[derive(Clone)]
pub(crate) struct Kept {
    pub(crate) key: String,
    pub(crate) id: String,
    pub(crate) time: jiff::Timestamp,
    pub(crate) bytes: Option<Vec<u8>>,
}

#[derive(Default)]
pub(crate) struct State {
    pub(crate) objects: Mutex<BTreeMap<String, Vec<u8>>>,
    /// Whether the bucket says that it keeps versions.
    pub(crate) versioned: AtomicBool,
    /// All versions and deletions, oldest first.
    pub(crate) history: Mutex<Vec<Kept>>,
    /// What is done wrong, and at which of so many requests; from the first after this many.
    lie: Mutex<Option<(Lie, usize, usize)>>,
    pub(crate) requests: AtomicUsize,
    /// What the last request was signed with.
    pub(crate) authorization: Mutex<String>,
    /// Folders whose last list lacked something.
    shortened: Mutex<BTreeSet<String>>,
}

/// A running server; it ends with the process.
#[derive(Clone)]
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) state: Arc<State>,
}

impl Server {
    pub(crate) fn start() -> Self {
        Self::serving(serve)
    }

    /// One that answers requests so, until an answer ends the connection.
    pub(crate) fn serving(serve: fn(&TcpStream, &State) -> Option<()>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State::default());
        let served = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let state = Arc::clone(&served);
                std::thread::spawn(move || while serve(&stream, &state).is_some() {});
            }
        });
        Self { address, state }
    }

    /// One with the blobs of a store, their names behind `prefix`.
    pub(crate) fn with(store: &dyn BlobStore, prefix: &str) -> Self {
        let server = Self::start();
        for blob in store.list("").unwrap() {
            server.put(&format!("{prefix}{}", blob.id), store.read(&blob.id, u64::MAX).unwrap());
        }
        server
    }

    pub(crate) fn put(&self, key: &str, bytes: impl Into<Vec<u8>>) {
        let bytes = bytes.into();
        self.state.keep(key, Some(bytes.clone()));
        self.state.objects.lock().unwrap().insert(key.to_owned(), bytes);
    }

    pub(crate) fn delete(&self, key: &str) {
        self.state.keep(key, None);
        self.state.objects.lock().unwrap().remove(key);
    }

    /// Does something wrong in every `nth` answer, from the first of `nth` on.
    pub(crate) fn lie(&self, lie: Lie, nth: usize) {
        let now = self.state.requests.load(Ordering::SeqCst);
        *self.state.lie.lock().unwrap() = Some((lie, nth, now));
    }

    pub(crate) fn options(&self, prefix: &str) -> S3Options {
        S3Options {
            bucket: BUCKET.into(),
            prefix: prefix.into(),
            endpoint: self.address.to_string(),
            plain_http: true,
            access_key: Hidden::new("ak"),
            secret_key: Hidden::new("sk"),
            ..S3Options::default()
        }
    }

    pub(crate) fn store(&self, prefix: &str) -> Objects {
        self.options(prefix).open(&Traffic::default()).unwrap()
    }

    /// How the command line names it.
    pub(crate) fn location(&self, prefix: &str) -> String {
        format!("s3://{BUCKET}/{prefix}?endpoint=http://{}", self.address)
    }
}

impl State {
    /// Remembers a version, each of which is a second younger than the one before.
    fn keep(&self, key: &str, bytes: Option<Vec<u8>>) {
        let mut history = self.history.lock().unwrap();
        let number = history.len();
        let time = jiff::Timestamp::from_second(1_700_000_000 + number as i64).unwrap();
        history.push(Kept { key: key.to_owned(), id: format!("v{number}"), time, bytes });
    }

    /// The moment of the newest version.
    pub(crate) fn moment(&self) -> jiff::Timestamp {
        self.history.lock().unwrap().last().unwrap().time
    }

    /// What is done wrong with the next request.
    pub(crate) fn next_lie(&self) -> Option<Lie> {
        let number = self.requests.fetch_add(1, Ordering::SeqCst);
        let lie = *self.lie.lock().unwrap();
        lie.and_then(|(lie, nth, since)| ((number - since) % nth == nth - 1).then_some(lie))
    }

    /// Whether the list of a folder may lack something now. A server that tells the truth at times tells it in one of two lists
    /// of one folder: two that agree on a lie cannot be told from the truth.
    pub(crate) fn may_shorten(&self, folder: &str, wanted: bool) -> bool {
        let always = self.lie.lock().unwrap().is_some_and(|(_, nth, _)| nth == 1);
        let mut shortened = self.shortened.lock().unwrap();
        let shortens = wanted && (always || !shortened.contains(folder));
        if shortens {
            shortened.insert(folder.to_owned());
        } else {
            shortened.remove(folder);
        }
        shortens
    }
}

pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
    pub(crate) range: Option<(usize, usize)>,
    pub(crate) depth: String,
    pub(crate) authorization: String,
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let digits = [rest.next().unwrap(), rest.next().unwrap()];
                u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap()
            }
            b'+' => b' ',
            byte => byte,
        });
    }
    String::from_utf8(bytes).unwrap()
}

pub(crate) fn read(stream: &TcpStream) -> Option<Request> {
    let mut reader = BufReader::new(stream);
    let mut lines = reader.by_ref().lines();
    let first = lines.next()?.ok()?;
    let (method, target) = (first.split(' ').next()?.to_owned(), first.split(' ').nth(1)?.to_owned());
    // Asked of a proxy, it begins with the server.
    let target = match target.strip_prefix("http://") {
        Some(rest) => rest.split_at(rest.find('/').unwrap_or(rest.len())).1.to_owned(),
        None => target,
    };
    let (mut range, mut depth, mut authorization, mut length) = (None, String::new(), String::new(), 0);
    for line in &mut lines {
        let whole = line.ok()?;
        let line = whole.to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        if line.starts_with("authorization: ") {
            authorization = whole.split_at(15).1.to_owned();
        }
        if let Some(text) = line.strip_prefix("depth: ") {
            depth = text.to_owned();
        }
        if let Some(text) = line.strip_prefix("content-length: ") {
            length = text.parse().ok()?;
        }
        if let Some(text) = line.strip_prefix("range: bytes=") {
            let (from, to) = text.split_once('-')?;
            range = Some((from.parse().ok()?, to.parse::<usize>().ok()?));
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let pair = |pair: &str| pair.split_once('=').map(|(name, value)| (decoded(name), decoded(value)));
    let query = query.split('&').filter_map(pair).collect();
    Some(Request { method, path: decoded(path), query, body, range, depth, authorization })
}

pub(crate) fn answer(mut stream: &TcpStream, status: &str, headers: &str, body: &[u8]) -> Option<()> {
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n{headers}\r\n", body.len());
    stream.write_all(&[head.as_bytes(), body].concat()).ok()
}

pub(crate) fn error(stream: &TcpStream, status: &str, headers: &str, code: &str) -> Option<()> {
    let body = format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>no</Message></Error>");
    answer(stream, status, headers, body.as_bytes())
}

fn serve(stream: &TcpStream, state: &State) -> Option<()> {
    let request = read(stream)?;
    assert!(request.authorization.starts_with("AWS4-HMAC-SHA256"), "{} is not signed", request.path);
    state.authorization.lock().unwrap().clone_from(&request.authorization);
    let lie = state.next_lie();
    let key = request.path.strip_prefix(&format!("/{BUCKET}/")).map(str::to_owned);
    let Some(key) = key else { return error(stream, "404 Not Found", "", "NoSuchBucket") };
    let list = key.is_empty();
    match lie {
        Some(Lie::Empty) => answer(stream, "200 OK", "", b""),
        Some(Lie::RedirectRegion) => error(
            stream,
            "301 Moved Permanently",
            "Location: http://127.0.0.1:1/\r\nx-amz-bucket-region: nowhere-1\r\n",
            "PermanentRedirect",
        ),
        Some(Lie::Forbidden) => error(stream, "403 Forbidden", "", "AccessDenied"),
        Some(Lie::HtmlNotFound) => {
            answer(stream, "404 Not Found", "", b"<html><body>NoSuchKey</body></html>")
        }
        Some(Lie::NoSuchBucket) => error(stream, "404 Not Found", "", "NoSuchBucket"),
        Some(Lie::TooManyRequests) => error(stream, "429 Too Many Requests", "", "TooManyRequests"),
        Some(Lie::InternalError) => error(stream, "500 Internal Server Error", "", "InternalError"),
        Some(Lie::Unavailable) => error(stream, "503 Service Unavailable", "", "SlowDown"),
        Some(Lie::UnavailableRetryAfter) => {
            error(stream, "503 Service Unavailable", "Retry-After: 0\r\n", "SlowDown")
        }
        Some(Lie::Closed) => None,
        lie if list && request.query.contains_key("versions") => {
            crate::past::page(stream, state, &request, lie)
        }
        _ if list && request.query.contains_key("versioning") => crate::past::versioning(stream, state),
        _ if list && request.query.contains_key("object-lock") => crate::past::lock(stream, state),
        _ if request.query.contains_key("versionId") => crate::past::object(stream, state, &request, &key),
        lie if list => page(stream, state, &request, lie),
        lie => object(stream, state, &key, request.range, lie),
    }
}

pub(crate) fn object(
    mut stream: &TcpStream,
    state: &State,
    key: &str,
    range: Option<(usize, usize)>,
    lie: Option<Lie>,
) -> Option<()> {
    let objects = state.objects.lock().unwrap();
    let Some(bytes) = objects.get(key).cloned() else {
        drop(objects);
        return error(stream, "404 Not Found", "", "NoSuchKey");
    };
    drop(objects);
    let total = bytes.len();
    let (status, headers, mut body) = match range {
        Some((from, _)) if from >= total => {
            return error(stream, "416 Requested Range Not Satisfiable", "", "InvalidRange");
        }
        Some(_) if lie == Some(Lie::WholeForRange) => ("200 OK", String::new(), bytes),
        Some((from, to)) => {
            let end = (to + 1).min(total);
            let said = if lie == Some(Lie::OtherRange) { from + 1 } else { from };
            let headers = format!("Content-Range: bytes {said}-{}/{total}\r\n", end - 1);
            ("206 Partial Content", headers, bytes[from..end].to_vec())
        }
        None => ("200 OK", String::new(), bytes),
    };
    match lie {
        Some(Lie::CutBody) => {
            let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n{headers}\r\n", body.len());
            body.truncate(body.len() / 2);
            stream.write_all(&[head.as_bytes(), &body].concat()).ok()?;
            return None;
        }
        Some(Lie::SlowBody) => std::thread::sleep(Duration::from_millis(50)),
        Some(Lie::GarbageBytes) => body.iter_mut().for_each(|byte| *byte ^= 0x55),
        _ => {}
    }
    answer(stream, status, &headers, &body)
}

/// A text as it stands in XML.
pub(crate) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn page(stream: &TcpStream, state: &State, request: &Request, lie: Option<Lie>) -> Option<()> {
    let value = |name: &str| request.query.get(name).cloned().unwrap_or_default();
    let (prefix, after) = (value("prefix"), value("continuation-token").max(value("start-after")));
    let folded = value("delimiter") == "/";
    let mut names: BTreeMap<String, Option<usize>> = BTreeMap::new();
    for (key, bytes) in state.objects.lock().unwrap().iter() {
        if let Some(rest) = key.strip_prefix(&prefix)
            && *key > after
        {
            match rest.split_once('/').filter(|_| folded) {
                Some((folder, _)) => names.insert(format!("{prefix}{folder}/"), None),
                None => names.insert(key.clone(), Some(bytes.len())),
            };
        }
    }
    let mut truncated = names.len() > PAGE;
    let mut names: Vec<(String, Option<usize>)> = names.into_iter().take(PAGE).collect();
    match lie {
        Some(Lie::EmptyList) => {
            names.clear();
            truncated = false;
        }
        Some(Lie::ShortList) => {
            names.truncate(names.len() / 2);
            truncated = false;
        }
        _ => {}
    }
    let mut next = names.last().map(|(name, _)| name.clone()).unwrap_or_default();
    if lie == Some(Lie::ListWithoutEnd) {
        truncated = true;
        next = "0".into();
    }
    let shown = escaped(if lie == Some(Lie::OtherPrefix) { "other" } else { &prefix });
    let root = if lie == Some(Lie::ListOfSomething) { "ListAllMyBucketsResult" } else { "ListBucketResult" };
    let mut body = format!(
        "<?xml version=\"1.0\"?><{root}><Name>{BUCKET}</Name><Prefix>{shown}</Prefix><KeyCount>{}</KeyCount>\
         <IsTruncated>{truncated}</IsTruncated>",
        names.len()
    );
    if truncated {
        let next = escaped(&next);
        body.push_str(&format!("<NextContinuationToken>{next}</NextContinuationToken>"));
    }
    for (name, size) in &names {
        let name = escaped(name);
        match size {
            None => body.push_str(&format!("<CommonPrefixes><Prefix>{name}</Prefix></CommonPrefixes>")),
            Some(size) => {
                // No lie is like another: two listings that agree on one cannot be told from the truth.
                let size = if lie == Some(Lie::WrongSizes) {
                    size / 2 + WRONG_SIZES.fetch_add(1, Ordering::Relaxed)
                } else {
                    *size
                };
                body.push_str(&format!("<Contents><Key>{name}</Key><Size>{size}</Size></Contents>"));
            }
        }
    }
    body.push_str(&format!("</{root}>"));
    answer(stream, "200 OK", "", body.as_bytes())
}

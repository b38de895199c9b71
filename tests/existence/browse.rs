//! What is in snapshots, for people who are let in: pages, downloads, and who sees what.

use std::io::{Cursor, Read, Write};

use rokopia::testkit::{Attributes, DirectoryBuilder, NewSnapshot, RepositoryWriter, WrittenDirectory};

use crate::common;
use crate::pages::browser;
use crate::process::{Response, Server, refused, until};
use crate::world::{World, chmod};

const ALL: &str = "token-that-sees-everything";
const APPS: &str = "token-that-sees-apps-only";

/// A file name that is markup, in every page that shows it.
const MARKUP: &str = "<b>&\"x\".txt";

/// Bytes of the large file: several pieces of a download.
const LARGE: usize = 700_000;

struct Library {
    world: World,
    /// Two snapshots of one source, the older one first.
    ids: [String; 2],
    /// One of another.
    other: String,
}

impl Library {
    fn new() -> Self {
        let mut world = World::empty();
        let ids = [1, 2].map(|version| snapshot(&mut world, "db@apps:/data", version));
        let other = snapshot(&mut world, "db@media:/data", 3);
        let access = format!("# who sees what\ntoken {ALL} *\ntoken {APPS} *@apps:*\nuser alice *\n");
        std::fs::write(world.beside("access"), access).unwrap();
        chmod(&world.beside("access"), 0o644);
        Self { world, ids, other }
    }

    fn serve(&self, settings: &[(&str, &str)]) -> Server {
        let access = self.world.beside("access");
        let mut all = vec![("ROKOPIA_BROWSE", "true"), ("ROKOPIA_BROWSE_ACCESS", access.to_str().unwrap())];
        all.extend(settings);
        Server::ready(&self.world.repo(), &all)
    }
}

fn attributes() -> Attributes {
    Attributes { mode: 0o644, mtime_ns: 1_700_000_000_000_000_000, uid: 7, gid: 8 }
}

fn large() -> Vec<u8> {
    (0..LARGE).map(|at| (at * 31 % 251) as u8).collect()
}

fn file(writer: &mut RepositoryWriter, directory: &mut DirectoryBuilder, name: &str, bytes: &[u8]) {
    let object = writer.write_object(&mut &*bytes).unwrap().id;
    directory.file(name, &attributes(), bytes.len() as u64, &object);
}

/// `etc/app.conf` has another line in each version; the rest is the same in all.
fn snapshot(world: &mut World, source: &str, version: u64) -> String {
    let writer = &mut world.writer;
    let mut etc = DirectoryBuilder::new();
    file(writer, &mut etc, "app.conf", format!("first\nversion {version}\nlast\n").as_bytes());
    let mut root = DirectoryBuilder::new();
    file(writer, &mut root, MARKUP, b"<script>alert(1)</script>\n");
    file(writer, &mut root, "large.bin", &large());
    let target = writer.write_object(&mut &b"etc/app.conf"[..]).unwrap().id;
    root.link("link", &attributes(), 12, &target);
    let directory = Attributes { mode: 0o755, ..attributes() };
    let etc: WrittenDirectory = writer.write_directory(etc, directory).unwrap();
    root.directory("etc", &etc);
    let root = writer.write_directory(root, directory).unwrap();
    writer.set_now(writer.now() + 86_400);
    let id = writer.put_snapshot(&NewSnapshot::new(&source.parse().unwrap(), writer.now(), &root));
    writer.flush().unwrap();
    id
}

fn page(server: &Server, token: &str, path: &str) -> Response {
    server.request("GET", path, &[("Authorization", &format!("Bearer {token}"))], "")
}

/// The bytes of a body that need not be text.
fn bytes(server: &Server, path: &str, range: Option<&str>) -> (String, Vec<u8>) {
    let mut stream = server.connect();
    let range = range.map_or_else(String::new, |range| format!("Range: {range}\r\n"));
    // Without chunks, which version 1.0 does not know.
    write!(stream, "GET {path} HTTP/1.0\r\nAuthorization: Bearer {ALL}\r\n{range}\r\n").unwrap();
    let mut all = Vec::new();
    stream.read_to_end(&mut all).unwrap();
    let at = all.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
    (String::from_utf8(all[..at].to_vec()).unwrap().to_ascii_lowercase(), all[at + 4..].to_vec())
}

#[test]
fn pages_lead_from_sources_to_text() {
    let library = Library::new();
    let server = library.serve(&[]);
    let id = &library.ids[1];
    let all = page(&server, ALL, "/browse");
    assert_eq!(all.status, 200);
    assert!(all.body.contains("href=\"/browse/source?of=db%40apps%3A%2Fdata\""), "{}", all.body);
    let source = page(&server, ALL, "/browse/source?of=db%40apps%3A%2Fdata").body;
    assert!(source.contains(&format!("href=\"/browse/snapshot/{id}\"")), "{source}");
    let root = page(&server, ALL, &format!("/browse/snapshot/{id}")).body;
    for part in ["href=\"/browse/snapshot/ID/etc\">etc/</a>", "rw-r--r--", "7:8", "683.6 KiB"] {
        assert!(root.contains(&part.replace("ID", id)), "{part}: {root}");
    }
    let text = page(&server, ALL, &format!("/browse/snapshot/{id}/etc/app.conf")).body;
    assert!(text.contains("<pre tabindex=\"0\">first\nversion 2\nlast\n</pre>"), "{text}");
    let binary = page(&server, ALL, &format!("/browse/snapshot/{id}/large.bin")).body;
    assert!(binary.contains("It is not text."));
    assert_eq!(page(&server, ALL, &format!("/browse/snapshot/{id}/etc/none")).status, 404);
    assert_eq!(page(&server, ALL, "/browse/snapshot/none").status, 404);
    assert!(server.get("/").body.contains("href=\"/browse\""));
}

#[test]
fn names_and_data_never_become_markup() {
    let library = Library::new();
    let server = library.serve(&[]);
    let id = &library.ids[0];
    let encoded = "%3Cb%3E%26%22x%22.txt";
    for path in [
        format!("/browse/snapshot/{id}"),
        format!("/browse/snapshot/{id}/{encoded}"),
        format!("/browse/history?snapshot={id}&path={encoded}"),
        format!("/browse/compare?old={id}&new={}&path={encoded}", library.ids[1]),
        "/browse/search?of=db%40apps%3A%2Fdata&name=%3Cb%3E".to_owned(),
    ] {
        let response = page(&server, ALL, &path);
        assert_eq!(response.status, 200, "{path}: {}", response.body);
        assert!(response.body.contains("&lt;b&gt;"), "{path}: {}", response.body);
        assert!(!response.body.contains("<b>") && !response.body.contains("<script"), "{path}");
        let policy = &response.headers["content-security-policy"];
        assert!(policy.starts_with("default-src 'none'; style-src 'self';"), "{policy}");
    }
    let (head, _) = bytes(&server, &format!("/browse/file/{id}/{encoded}"), None);
    for header in [
        "content-type: application/octet-stream",
        "x-content-type-options: nosniff",
        "content-disposition: attachment; filename*=utf-8''%3cb%3e%26%22x%22.txt",
    ] {
        assert!(head.contains(header), "{head}");
    }
}

#[test]
fn history_and_comparison_show_what_changed() {
    let library = Library::new();
    let server = library.serve(&[]);
    let [old, new] = &library.ids;
    let history = page(&server, ALL, &format!("/browse/history?snapshot={new}&path=etc%2Fapp.conf")).body;
    assert!(history.contains("appeared") && history.contains("changed (content)"), "{history}");
    let compare = format!("/browse/compare?old={old}&new={new}&path=etc%2Fapp.conf");
    assert!(history.contains(&compare.replace('&', "&amp;")), "{history}");
    let compared = page(&server, ALL, &compare).body;
    assert!(compared.contains("<del>-version 1</del>\n<ins>+version 2</ins>"), "{compared}");
    let search = page(&server, ALL, "/browse/search?of=db%40apps%3A%2Fdata&name=*.CONF").body;
    assert!(search.contains("1 path") && search.contains(&format!("{new}/etc/app.conf")), "{search}");
}

#[test]
fn downloads_are_exact_in_whole_and_in_part() {
    let library = Library::new();
    let server = library.serve(&[]);
    let path = format!("/browse/file/{}/large.bin", library.ids[0]);
    let (head, whole) = bytes(&server, &path, None);
    assert!(head.contains("200 ok") && head.contains("accept-ranges: bytes"), "{head}");
    assert!(whole == large());
    let (head, part) = bytes(&server, &path, Some("bytes=299990-600009"));
    assert!(head.contains("206") && head.contains("content-range: bytes 299990-600009/700000"), "{head}");
    assert!(part == large()[299_990..600_010]);
    let (head, end) = bytes(&server, &path, Some("bytes=-5"));
    assert!(head.contains("content-range: bytes 699995-699999/700000"), "{head}");
    assert!(end == large()[699_995..]);
    let (head, _) = bytes(&server, &path, Some("bytes=700000-"));
    assert!(head.contains("416") && head.contains("content-range: bytes */700000"), "{head}");
}

#[test]
fn a_directory_comes_as_tar_or_zip() {
    let library = Library::new();
    let server = library.serve(&[]);
    let id = &library.ids[0];
    let (_, tar) = bytes(&server, &format!("/browse/archive/tar/{id}"), None);
    let mut found = Vec::new();
    for entry in tar::Archive::new(&tar[..]).entries().unwrap() {
        let mut entry = entry.unwrap();
        let mut data = Vec::new();
        entry.read_to_end(&mut data).unwrap();
        found.push((entry.path().unwrap().to_str().unwrap().to_owned(), data));
    }
    let names: Vec<_> = found.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["etc/", "etc/app.conf", MARKUP, "large.bin", "link"]);
    assert!(found[3].1 == large());

    let (_, zip) = bytes(&server, &format!("/browse/archive/zip/{id}/etc"), None);
    let archive = rawzip::ZipArchive::from_slice(&zip).unwrap();
    let names: Vec<_> = archive
        .entries()
        .map(|entry| String::from_utf8(entry.unwrap().file_path().as_bytes().to_vec()).unwrap())
        .collect();
    assert_eq!(names, ["app.conf"]);
    let member = archive.entries().next().unwrap().unwrap();
    let member = archive.get_entry(member.wayfinder()).unwrap();
    let mut text = String::new();
    flate2::read::DeflateDecoder::new(Cursor::new(member.data())).read_to_string(&mut text).unwrap();
    assert_eq!(text, "first\nversion 1\nlast\n");
}

#[test]
fn a_damaged_file_is_named_and_costs_itself_alone() {
    let mut library = Library::new();
    let writer = &mut library.world.writer;
    let lost = writer.content_id(None, b"never written").unwrap();
    let mut root = DirectoryBuilder::new();
    root.file("good", &attributes(), 5, &writer.write_object(&mut &b"good\n"[..]).unwrap().id);
    root.file("lost", &attributes(), 13, &lost.to_string());
    let root = writer.write_directory(root, Attributes { mode: 0o755, ..attributes() }).unwrap();
    let id = writer.put_snapshot(&NewSnapshot::new(&"x@apps:/y".parse().unwrap(), writer.now(), &root));
    writer.flush().unwrap();
    let server = library.serve(&[]);
    let damaged = page(&server, ALL, &format!("/browse/file/{id}/lost"));
    assert_eq!(damaged.status, 500);
    assert!(damaged.body.contains("content-missing") || damaged.body.contains("<code>"), "{}", damaged.body);
    let (_, tar) = bytes(&server, &format!("/browse/archive/tar/{id}"), None);
    let mut names = Vec::new();
    for entry in tar::Archive::new(&tar[..]).entries().unwrap() {
        let mut entry = entry.unwrap();
        let mut text = String::new();
        entry.read_to_string(&mut text).unwrap();
        names.push((entry.path().unwrap().to_str().unwrap().to_owned(), text));
    }
    assert_eq!((names[0].0.as_str(), names[1].0.as_str()), ("good", "ROKOPIA-LEFT-OUT.txt"));
    assert!(names[1].1.starts_with("lost: "), "{}", names[1].1);
}

#[test]
fn a_snapshot_made_since_appears() {
    let mut library = Library::new();
    let server = library.serve(&[("RE_WARM_INTERVAL", "100ms")]);
    assert_eq!(page(&server, ALL, &format!("/browse/snapshot/{}", library.ids[0])).status, 200);
    let new = snapshot(&mut library.world, "db@apps:/data", 9);
    let path = format!("/browse/snapshot/{new}/etc/app.conf");
    until("the new snapshot is shown", || page(&server, ALL, &path).body.contains("version 9"));
}

#[test]
fn nobody_sees_more_than_the_file_says() {
    let library = Library::new();
    let server = library.serve(&[]);
    let (ours, other) = (&library.ids[0], &library.other);
    assert!(!page(&server, APPS, "/browse").body.contains("media"));
    for path in [
        "/browse/source?of=db%40media%3A%2Fdata".to_owned(),
        "/browse/search?of=db%40media%3A%2Fdata&name=app".to_owned(),
        format!("/browse/snapshot/{other}"),
        format!("/browse/snapshot/{other}/etc/app.conf"),
        format!("/browse/file/{other}/etc/app.conf"),
        format!("/browse/archive/tar/{other}"),
        format!("/browse/archive/zip/{other}/etc"),
        format!("/browse/history?snapshot={other}&path=etc"),
        format!("/browse/compare?old={ours}&new={other}&path=etc%2Fapp.conf"),
    ] {
        assert_eq!(page(&server, APPS, &path).status, 404, "{path}");
        assert_eq!(page(&server, ALL, &path).status, 200, "{path}");
        for token in ["", "token-that-sees-nothing-at-all"] {
            assert_eq!(page(&server, token, &path).status, 401, "{path}");
        }
        assert_eq!(server.get(&path).status, 401, "{path}");
    }
    assert!(!server.log().contains(ALL) && !server.log().contains(APPS));
}

#[test]
fn a_browser_logs_in_and_out() {
    let library = Library::new();
    let server = library.serve(&[]);
    let form = [("Content-Type", "application/x-www-form-urlencoded")];
    let wrong = server.request("POST", "/browse/login", &form, "token=nobody");
    assert_eq!(wrong.status, 403);
    let body = format!("token={ALL}&then=%2Fbrowse%2Fsource%3Fof%3Dx");
    let logged_in = server.request("POST", "/browse/login", &form, &body);
    assert_eq!((logged_in.status, logged_in.headers["location"].as_str()), (303, "/browse/source?of=x"));
    let cookie = logged_in.headers["set-cookie"].clone();
    for part in ["HttpOnly", "SameSite=Lax", "Path=/browse"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    let session = cookie.split(';').next().unwrap();
    let seen = server.request("GET", "/browse", &[("Cookie", session)], "");
    assert!(seen.status == 200 && seen.body.contains("Log out"));
    let elsewhere = format!("token={ALL}&then=https%3A%2F%2Fevil.example");
    let sent = server.request("POST", "/browse/login", &form, &elsewhere);
    assert_eq!(sent.headers["location"], "/browse");
    // The token is taken out of the file.
    std::fs::write(library.world.beside("access"), format!("token {APPS} *\n")).unwrap();
    assert_eq!(server.request("GET", "/browse", &[("Cookie", session)], "").status, 401);
}

#[test]
fn a_proxy_is_believed_only_where_it_is_named() {
    let library = Library::new();
    let alice = [("X-Forwarded-User", "alice")];
    let settings =
        |proxy| [("ROKOPIA_BROWSE_USER_HEADER", "X-Forwarded-User"), ("ROKOPIA_BROWSE_PROXY", proxy)];
    let server = library.serve(&settings("127.0.0.0/8"));
    assert_eq!(server.request("GET", "/browse", &alice, "").status, 200);
    assert_eq!(server.request("GET", "/browse", &[("X-Forwarded-User", "mallory")], "").status, 401);
    let server = library.serve(&settings("10.0.0.0/8"));
    assert_eq!(server.request("GET", "/browse", &alice, "").status, 401);
}

/// A browser takes the style sheet under the policy of the pages, and finds nothing in them that the policy forbids.
#[test]
fn the_pages_in_a_browser() {
    let directory = tempfile::tempdir().unwrap();
    if browser(directory.path()).is_none() {
        return common::say("no Chromium here: the pages to browse are not looked at");
    }
    let library = Library::new();
    // The one header that a browser sends as it is asked to.
    let header = [("ROKOPIA_BROWSE_USER_HEADER", "User-Agent"), ("ROKOPIA_BROWSE_PROXY", "127.0.0.1")];
    let server = library.serve(&header);
    let [old, new] = &library.ids;
    for (path, shown) in [
        ("/browse".to_owned(), "2 sources"),
        ("/browse/source?of=db%40apps%3A%2Fdata".to_owned(), "not verified"),
        (format!("/browse/snapshot/{new}/etc"), "app.conf"),
        (format!("/browse/history?snapshot={new}&path=etc%2Fapp.conf"), "changed (content)"),
        (format!("/browse/compare?old={old}&new={new}&path=etc%2Fapp.conf"), "<ins>+version 2</ins>"),
    ] {
        let mut command = browser(directory.path()).unwrap();
        command.args(["--user-agent=alice", "--enable-logging=stderr", "--dump-dom"]);
        let output = command.arg(format!("http://127.0.0.1:{}{path}", server.port())).output().unwrap();
        let (page, said) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(page.contains(shown), "{path}: {page} {said}");
        assert!(!said.contains("Content Security Policy"), "{path}: {said}");
    }
}

#[test]
fn without_the_option_there_is_nothing_to_browse() {
    let library = Library::new();
    let server = Server::ready(&library.world.repo(), &[]);
    for path in ["/browse", "/browse/login", "/browse/style.css"] {
        assert_eq!(page(&server, ALL, path).status, 404, "{path}");
    }
    std::fs::write(library.world.beside("access"), "token short *\n").unwrap();
    let access = library.world.beside("access");
    let output = refused(&[
        ("KOPIA_REPOSITORY_PATH", library.world.repo().to_str().unwrap()),
        ("KOPIA_PASSWORD", crate::world::PASSWORD),
        ("ROKOPIA_LISTEN", "127.0.0.1:0"),
        ("ROKOPIA_BROWSE", "true"),
        ("ROKOPIA_BROWSE_ACCESS", access.to_str().unwrap()),
    ]);
    let said = String::from_utf8_lossy(&output.stderr) + String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("line 1: a token has at least 20 characters") && !said.contains("short"), "{said}");
}

//! How a bucket is connected to: certificates that are trusted and others, proxies, and servers that send elsewhere.

use std::io::Write;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use rokopia::blob::FileSystem;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::common::{Case, testdata};
use crate::server::{BUCKET, Server, State, answer, read};

fn certificate(name: &str) -> PathBuf {
    testdata().join("tls").join(format!("{name}.crt"))
}

/// The way to a server by TLS, with this certificate.
fn encrypted(server: &Server, name: &str) -> SocketAddr {
    let behind = server.address;
    let chain = CertificateDer::pem_file_iter(certificate(name)).unwrap().map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_file(certificate(name).with_extension("key")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    listener.set_nonblocking(true).unwrap();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            while let Ok((stream, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    // A client that does not trust the certificate leaves.
                    let Ok(mut stream) = acceptor.accept(stream).await else { return };
                    let Ok(mut plain) = tokio::net::TcpStream::connect(behind).await else { return };
                    let _ = tokio::io::copy_bidirectional(&mut stream, &mut plain).await;
                });
            }
        });
    });
    address
}

/// A bucket with a repository, and what its only answer is.
fn bucket() -> (Case, Server) {
    let case = Case::load(&testdata().join("basic")).unwrap();
    let server = Server::with(&FileSystem::open(case.repo()).unwrap(), "k/");
    (case, server)
}

/// Lists the snapshots in the bucket at this endpoint.
fn ask(case: &Case, endpoint: &str, variables: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_rokopia"))
        .env_clear()
        .env("ROKOPIA_PASSWORD", case.password())
        .env("AWS_ACCESS_KEY_ID", "ak")
        .env("AWS_SECRET_ACCESS_KEY", "sk")
        .envs(variables.iter().copied())
        .arg("--repo")
        .arg(format!("s3://{BUCKET}/k/?endpoint={endpoint}"))
        .args(["snapshots", "--json"])
        .output()
        .unwrap()
}

#[track_caller]
fn answers(case: &Case, output: &Output) {
    assert_eq!(output.stdout, case.run(&["snapshots", "--json"]).stdout, "{output:?}");
}

#[track_caller]
fn refuses(output: &Output, code: &str) {
    let talk = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(3) && talk.contains(&format!("\"code\":\"{code}\"")), "{talk}");
}

#[test]
fn a_server_is_trusted_by_its_authority_or_by_itself() {
    let (case, server) = bucket();
    let (by_authority, itself) = (encrypted(&server, "storage"), encrypted(&server, "itself"));
    let with = |address: SocketAddr, ca: &str| {
        let ca = certificate(ca);
        ask(&case, &format!("https://{address}&ca={}", ca.display()), &[])
    };
    answers(&case, &with(by_authority, "ca"));
    // What openssl makes for a server at home: an authority that vouches for itself.
    answers(&case, &with(itself, "itself"));
    let system = certificate("ca");
    let endpoint = format!("https://{by_authority}");
    answers(&case, &ask(&case, &endpoint, &[("SSL_CERT_FILE", system.to_str().unwrap())]));
    answers(&case, &ask(&case, &format!("https://{itself}&verify=false"), &[]));
    // Certificates that are given take the place of those of the system.
    let others = certificate("first");
    let given = format!("{endpoint}&ca={}", others.display());
    refuses(&ask(&case, &given, &[("SSL_CERT_FILE", system.to_str().unwrap())]), "tls-failed");
}

#[test]
fn a_server_that_nobody_vouches_for_is_not_talked_to() {
    let (case, server) = bucket();
    let before = server.state.requests.load(Ordering::SeqCst);
    let roots = certificate("ca");
    let system = [("SSL_CERT_FILE", roots.to_str().unwrap())];
    for name in ["itself", "first", "elsewhere"] {
        let address = encrypted(&server, name);
        refuses(&ask(&case, &format!("https://{address}"), &system), "tls-failed");
    }
    let none = [("SSL_CERT_FILE", "/nonexistent"), ("SSL_CERT_DIR", "/nonexistent")];
    let address = encrypted(&server, "storage");
    refuses(&ask(&case, &format!("https://{address}"), &none), "tls-failed");
    assert_eq!(server.state.requests.load(Ordering::SeqCst), before);
    // Without TLS nobody has to.
    answers(&case, &ask(&case, &format!("http://{}", server.address), &none));
}

/// Connects those who ask to the server that it knows, whatever they asked for.
fn connect(stream: &TcpStream, state: &State) -> Option<()> {
    let request = read(stream)?;
    state.requests.fetch_add(1, Ordering::SeqCst);
    assert_eq!((request.method.as_str(), request.path.as_str()), ("CONNECT", "storage.invalid:443"));
    assert!(request.authorization.is_empty());
    let known = String::from_utf8(state.objects.lock().unwrap()["behind"].clone()).unwrap();
    let behind = TcpStream::connect(known).unwrap();
    (&mut &*stream).write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
    let pump = |from: &TcpStream, to: &TcpStream| {
        let _ = std::io::copy(&mut &*from, &mut &*to);
        let _ = to.shutdown(Shutdown::Both);
    };
    std::thread::scope(|scope| {
        scope.spawn(|| pump(stream, &behind));
        pump(&behind, stream);
    });
    None
}

#[test]
fn proxies_of_the_environment_are_used_but_not_for_what_they_are_not_for() {
    let (case, server) = bucket();
    // The name is known to the proxy alone.
    let proxy = Server::serving(connect);
    proxy.put("behind", encrypted(&server, "storage").to_string());
    let roots = certificate("ca");
    let address = format!("http://{}", proxy.address);
    let variables = [("HTTPS_PROXY", address.as_str()), ("SSL_CERT_FILE", roots.to_str().unwrap())];
    answers(&case, &ask(&case, "https://storage.invalid", &variables));
    assert!(proxy.state.requests.load(Ordering::SeqCst) > 0);
    // Without TLS the proxy sees the request itself.
    let address = format!("http://{}", server.address);
    answers(&case, &ask(&case, "http://storage.invalid", &[("HTTP_PROXY", &address)]));
    let nobody = [("HTTP_PROXY", "http://127.0.0.1:1"), ("NO_PROXY", "127.0.0.1,storage.invalid")];
    answers(&case, &ask(&case, &address, &nobody));
    refuses(&ask(&case, &address, &nobody[..1]), "storage-unreachable");
}

/// Sends everybody to the address that it knows.
fn send_elsewhere(stream: &TcpStream, state: &State) -> Option<()> {
    read(stream)?;
    let elsewhere = String::from_utf8(state.objects.lock().unwrap()["elsewhere"].clone()).unwrap();
    answer(stream, "307 Temporary Redirect", &format!("Location: http://{elsewhere}/\r\n"), b"")
}

#[test]
fn credentials_do_not_follow_a_server_that_sends_elsewhere() {
    let (case, elsewhere) = bucket();
    let before = elsewhere.state.requests.load(Ordering::SeqCst);
    let server = Server::serving(send_elsewhere);
    server.put("elsewhere", elsewhere.address.to_string());
    refuses(&ask(&case, &format!("http://{}", server.address), &[]), "storage-redirects");
    assert_eq!(elsewhere.state.requests.load(Ordering::SeqCst), before);
}

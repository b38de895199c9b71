//! The webhook of our own, as the API server calls it: `AdmissionReview` over TLS.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::{Value, json};

use crate::process::{Server, refused, until};
use crate::world::{PASSWORD, World, chmod};

const NAME: &str = "rokopia-admission.volsync-system.svc";

fn pair(name: &str, to: &World) {
    for end in ["crt", "key"] {
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("testdata/tls/{name}.{end}"));
        std::fs::copy(from, to.beside(&format!("tls.{end}"))).unwrap();
    }
}

struct Webhook {
    server: Server,
    address: SocketAddr,
}

impl Webhook {
    fn ready(world: &World, settings: &[(&str, &str)]) -> Self {
        Self::start(world, settings, Server::ready)
    }

    /// Of a service that answers from another store, too.
    fn with(world: &World, other: &Path) -> Self {
        let webhook = Self::start(world, &[], |repo, all| {
            Server::start_with(repo, all, &["--with", other.to_str().unwrap()])
        });
        until("both stores are read", || webhook.review("/mutate", &claim("none"))["allowed"] == true);
        webhook
    }

    fn start(
        world: &World,
        settings: &[(&str, &str)],
        serve: impl FnOnce(&Path, &[(&str, &str)]) -> Server,
    ) -> Self {
        pair("first", world);
        let [certificate, key] = ["tls.crt", "tls.key"].map(|name| world.beside(name).display().to_string());
        let mut all = vec![
            ("ROKOPIA_ADMISSION", "true"),
            ("ROKOPIA_ADMISSION_LISTEN", "127.0.0.1:0"),
            ("ROKOPIA_TLS_CERT", certificate.as_str()),
            ("ROKOPIA_TLS_KEY", key.as_str()),
        ];
        all.extend(settings);
        let server = serve(&world.repo(), &all);
        until("the webhook listens", || server.log().contains("listening for admission"));
        let log = server.log();
        let line = log.lines().find(|line| line.contains("listening for admission")).unwrap();
        let line: Value = serde_json::from_str(line).unwrap();
        let address = line["address"].as_str().unwrap().parse().unwrap();
        Self { server, address }
    }

    /// Sends a body to a path, trusting one of the certificates; status and body, or why the connection failed.
    fn post(&self, trusted: &str, path: &str, body: &str) -> std::io::Result<(u16, String)> {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("testdata/tls/{trusted}.crt"));
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(file).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from(NAME).unwrap();
        let connection = ClientConnection::new(Arc::new(config), name).unwrap();
        let mut stream = StreamOwned::new(connection, TcpStream::connect(self.address)?);
        write!(
            stream,
            "POST {path} HTTP/1.1\r\nHost: {NAME}\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        Ok((head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned()))
    }

    /// The response to a review of the creation of a claim in `media`.
    fn review(&self, path: &str, claim: &Value) -> Value {
        self.reviewed(path, &request("CREATE", claim))
    }

    fn reviewed(&self, path: &str, request: &Value) -> Value {
        let review =
            json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request});
        let (status, body) = self.post("first", path, &review.to_string()).unwrap();
        assert_eq!(status, 200, "{body}");
        let answer: Value = serde_json::from_str(&body).unwrap();
        assert_eq!((&answer["apiVersion"], &answer["kind"]), (&review["apiVersion"], &review["kind"]));
        assert_eq!(answer["response"]["uid"], request["uid"]);
        answer["response"].clone()
    }

    fn admitted(&self, path: &str, claim: &Value) {
        let response = self.review(path, claim);
        assert_eq!((&response["allowed"], &response["patch"]), (&Value::Bool(true), &Value::Null), "{claim}");
    }

    /// Denied with this code, and a message that has these words.
    fn denied(&self, path: &str, claim: &Value, code: u64, words: &[&str]) {
        let response = self.review(path, claim);
        assert_eq!(
            (&response["allowed"], &response["status"]["code"]),
            (&json!(false), &json!(code)),
            "{response}"
        );
        for word in words {
            assert!(response["status"]["message"].as_str().unwrap().contains(word), "{word}: {response}");
        }
    }
}

fn request(operation: &str, claim: &Value) -> Value {
    json!({
        "uid": "705ab4f5-6393-11e8-b7cc-42010a800002",
        "kind": {"group": "", "version": "v1", "kind": "PersistentVolumeClaim"},
        "resource": {"group": "", "version": "v1", "resource": "persistentvolumeclaims"},
        "requestKind": {"group": "", "version": "v1", "kind": "PersistentVolumeClaim"},
        "name": claim["metadata"]["name"],
        "namespace": "media",
        "operation": operation,
        "userInfo": {"username": "argocd"},
        "object": claim,
        "oldObject": null,
        "dryRun": false
    })
}

fn claim(name: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name, "namespace": "media", "labels": {"backup": "daily"}},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    })
}

fn with(mut claim: Value, pointer: &str, value: Value) -> Value {
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    claim.pointer_mut(parent).unwrap()[key] = value;
    claim
}

fn destination(name: &str) -> Value {
    json!({"apiGroup": "volsync.backube", "kind": "ReplicationDestination", "name": name})
}

#[test]
fn a_claim_with_a_backup_is_restored_and_one_without_is_created() {
    let world = World::fixture();
    let webhook = Webhook::ready(&world, &[]);
    let response = webhook.review("/mutate", &claim("web"));
    assert_eq!((&response["allowed"], &response["patchType"]), (&json!(true), &json!("JSONPatch")));
    let patch = STANDARD.decode(response["patch"].as_str().unwrap()).unwrap();
    let expected = json!([{"op": "add", "path": "/spec/dataSourceRef", "value": destination("web-backup")}]);
    assert_eq!(serde_json::from_slice::<Value>(&patch).unwrap(), expected);
    let restored = with(claim("web"), "/spec/dataSourceRef", destination("web-backup"));
    for path in ["/mutate", "/validate"] {
        webhook.admitted(path, &restored);
        webhook.admitted(path, &claim("none"));
    }
    webhook.denied("/validate", &claim("web"), 403, &["media/web has a backup", "web-backup"]);
    // The API server copies one field to the other.
    webhook.admitted("/validate", &with(restored.clone(), "/spec/dataSource", destination("web-backup")));
    let elsewhere = json!({"apiGroup": "volsync.backube", "kind": "ReplicationDestination", "name": "web-backup", "namespace": "other"});
    webhook.denied(
        "/validate",
        &with(claim("web"), "/spec/dataSourceRef", elsewhere),
        403,
        &["has a backup"],
    );
    assert_eq!(
        webhook.server.metric("pvc_plumber_backup_check_total{backend=\"kopia-fs\",decision=\"restore\"}"),
        Some(6.0)
    );
}

#[test]
fn a_claim_whose_backup_is_in_another_store_does_not_start_empty() {
    let (world, mut other) = (World::seeded(1), World::seeded(2));
    other.add("web-backup@media:/data");
    let webhook = Webhook::with(&world, &other.repo());
    let place = other.repo();
    for path in ["/mutate", "/validate"] {
        for claim in [claim("web"), with(claim("web"), "/spec/dataSourceRef", destination("web-backup"))] {
            webhook.denied(path, &claim, 403, &["has a backup in", place.to_str().unwrap(), "skip-restore"]);
        }
        webhook.admitted(path, &claim("none"));
    }
}

#[test]
fn a_claim_waits_with_the_reason_while_nothing_is_known() {
    let world = World::fixture();
    let webhook = Webhook::ready(&world, &[("CACHE_TTL", "0s")]);
    chmod(&world.repo(), 0o000);
    for path in ["/mutate", "/validate"] {
        for name in ["web", "none"] {
            webhook.denied(path, &claim(name), 503, &["not known", "Permission denied", "again"]);
        }
    }
    chmod(&world.repo(), 0o755);
    until("read again", || webhook.review("/mutate", &claim("none"))["allowed"] == true);
}

#[test]
fn a_claim_that_wants_something_else_is_asked_why() {
    let world = World::fixture();
    let webhook = Webhook::ready(&world, &[]);
    let snapshot = json!({"apiGroup": "snapshot.storage.k8s.io", "kind": "VolumeSnapshot", "name": "s"});
    for field in ["/spec/dataSource", "/spec/dataSourceRef"] {
        let other = with(claim("web"), field, snapshot.clone());
        webhook.admitted("/mutate", &other);
        webhook.denied("/validate", &other, 403, &["has a backup", "skip-restore"]);
        webhook.admitted("/validate", &with(claim("none"), field, snapshot.clone()));
    }
    let skipping =
        with(claim("web"), "/metadata/annotations", json!({"volsync.backup/skip-restore": "true"}));
    let reason =
        json!({"volsync.backup/skip-restore": "true", "volsync.backup/skip-restore-reason": "a new start"});
    let explained = with(claim("web"), "/metadata/annotations", reason);
    for path in ["/mutate", "/validate"] {
        webhook.denied(path, &skipping, 403, &["skip-restore-reason"]);
        webhook.admitted(path, &explained);
        let nameless = with(claim("web"), "/metadata", json!({"generateName": "web-", "namespace": "media"}));
        webhook.denied(path, &nameless, 403, &["metadata.name"]);
        webhook.denied(path, &with(claim("web"), "/metadata/name", json!("Web!")), 403, &["Web!"]);
    }
}

#[test]
fn what_is_no_new_claim_is_not_looked_at() {
    let world = World::fixture();
    let webhook = Webhook::ready(&world, &[]);
    let pod = json!({"group": "", "version": "v1", "resource": "pods"});
    for other in [
        request("UPDATE", &claim("web")),
        request("DELETE", &Value::Null),
        with(request("CREATE", &json!({"metadata": {"name": "p"}})), "/resource", pod),
        with(request("CREATE", &claim("web")), "/subResource", json!("status")),
    ] {
        assert_eq!(webhook.reviewed("/validate", &other)["allowed"], true, "{other}");
    }
    for bad in [
        "",
        "{}",
        "[]",
        "{\"apiVersion\":\"admission.k8s.io/v1beta1\",\"kind\":\"AdmissionReview\",\"request\":{}}",
    ] {
        assert_eq!(webhook.post("first", "/validate", bad).unwrap().0, 400, "{bad}");
    }
    let review = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request("CREATE", &Value::Null)});
    assert_eq!(webhook.post("first", "/validate", &review.to_string()).unwrap().0, 400, "no claim in it");
    assert_eq!(
        webhook.post("first", "/exists/media/web", "").unwrap().0,
        404,
        "questions have a port of their own"
    );
}

#[test]
fn names_of_what_restores_are_a_setting() {
    let world = World::fixture();
    let webhook = Webhook::ready(
        &world,
        &[("ROKOPIA_RESTORE_FROM", "volsync.backube/ReplicationDestination/{pvc}-dst")],
    );
    webhook.admitted("/validate", &with(claim("web"), "/spec/dataSourceRef", destination("web-dst")));
    webhook.denied(
        "/validate",
        &with(claim("web"), "/spec/dataSourceRef", destination("web-backup")),
        403,
        &["web-dst"],
    );
}

#[test]
fn a_renewed_certificate_is_taken_up_and_a_broken_one_is_not() {
    let world = World::fixture();
    let webhook = Webhook::ready(&world, &[]);
    let answers = |trusted: &str| webhook.post(trusted, "/healthz", "").is_ok();
    assert!(answers("first") && !answers("second"));
    // The key of one and the certificate of the other, and then neither.
    std::fs::copy("testdata/tls/second.crt", world.beside("tls.crt")).unwrap();
    until("noticed", || webhook.server.log().contains("was not renewed"));
    assert!(answers("first"));
    std::fs::remove_file(world.beside("tls.key")).unwrap();
    assert!(answers("first"));
    pair("second", &world);
    until("renewed", || answers("second"));
    assert!(!answers("first"));
}

#[test]
fn a_webhook_without_a_certificate_does_not_start() {
    let world = World::fixture();
    let repo = world.repo();
    let settings = [
        ("KOPIA_REPOSITORY_PATH", repo.to_str().unwrap()),
        ("KOPIA_PASSWORD", PASSWORD),
        ("ROKOPIA_LISTEN", "127.0.0.1:0"),
        ("ROKOPIA_ADMISSION", "true"),
        ("ROKOPIA_TLS_CERT", "/no/such/file"),
    ];
    let output = refused(&settings);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(errors.contains("/no/such/file") && errors.contains("certificate-unreadable"), "{errors}");
}

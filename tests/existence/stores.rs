//! A service that answers from two stores of the same data.

use serde_json::Value;

use crate::process::{Server, until};
use crate::world::World;

const CLAIM: &str = "/exists/media/web";
const SOURCE: &str = "web-backup@media:/data";

fn served(first: &World, other: &std::path::Path) -> Server {
    Server::start_with(&first.repo(), &[], &["--with", other.to_str().unwrap()])
}

fn decision(server: &Server, path: &str) -> (u16, Value) {
    let response = server.get(path);
    (response.status, response.json())
}

#[test]
fn a_backup_in_one_store_is_a_backup_and_the_newest_is_named() {
    let (mut nas, mut bucket) = (World::seeded(1), World::seeded(2));
    bucket.add(SOURCE);
    let server = served(&nas, &bucket.repo());
    let (status, answer) = decision(&server, CLAIM);
    assert_eq!((status, &answer["decision"]), (200, &"restore".into()), "{answer}");
    assert!(answer["restore_from"].as_str().unwrap().ends_with(bucket.repo().to_str().unwrap()), "{answer}");
    let said: Vec<&Value> = answer["stores"].as_array().unwrap().iter().map(|s| &s["decision"]).collect();
    assert_eq!(said, ["fresh", "restore"]);
    let (status, answer) = decision(&server, "/exists/media/nothing");
    assert_eq!((status, &answer["decision"], answer.get("restore_from")), (200, &"fresh".into(), None));
    // What the first store lacks is not absent.
    let (status, answer) = decision(&server, &format!("/v1/snapshots?source={SOURCE}"));
    assert_eq!((status, &answer["error"]["code"]), (503, &"in-another-store".into()), "{answer}");
    let audit = server.get("/v1/audit?max_age=876000h").json();
    let found: Vec<&Value> = audit["stores"].as_array().unwrap().iter().map(|s| &s["findings"]).collect();
    assert_eq!(
        (&audit["ok"], &found[0][0]["code"], found[1]),
        (&false.into(), &"store-lacks-source".into(), &Value::Array(vec![])),
        "{audit}"
    );
    assert!(server.get("/").body.contains("store-lacks-source"), "the page names it");
    let metrics = server.get("/metrics").body;
    let place = nas.repo();
    assert!(
        metrics.contains(&format!("rokopia_store_sources_behind{{store=\"{}\"}} 1", place.display())),
        "{metrics}"
    );
    nas.writer.set_now(bucket.writer.now() + 3600);
    nas.add(SOURCE);
    until("the newer one is named", || {
        let named = decision(&server, CLAIM).1["restore_from"].as_str().unwrap_or_default().to_owned();
        named.ends_with(place.to_str().unwrap())
    });
}

#[test]
fn without_one_store_there_is_no_certain_no() {
    let mut nas = World::seeded(1);
    nas.add(SOURCE);
    let server = served(&nas, &nas.beside("not-there"));
    let (status, answer) = decision(&server, "/exists/media/nothing");
    assert_eq!((status, &answer["decision"]), (503, &"unknown".into()), "{answer}");
    assert_eq!(answer["stores"][1]["code"], "repository-not-found", "{answer}");
    let (status, answer) = decision(&server, CLAIM);
    assert_eq!((status, &answer["decision"]), (200, &"restore".into()), "{answer}");
    assert_eq!(server.get("/readyz").status, 200, "one store answers");
}

#[test]
fn one_store_answers_with_the_fields_of_the_contract_alone() {
    let mut nas = World::seeded(1);
    nas.add(SOURCE);
    let server = Server::ready(&nas.repo(), &[]);
    let answer = decision(&server, CLAIM).1;
    let fields: Vec<&str> = answer.as_object().unwrap().keys().map(String::as_str).collect();
    let expected = ["authoritative", "backend", "decision", "exists", "namespace", "pvc", "source"];
    assert_eq!(fields, expected);
    assert!(!server.get("/metrics").body.contains("rokopia_store_"));
}

//! Whose keys are used where: roles, and accounts of Backblaze B2.

use std::net::TcpStream;
use std::sync::atomic::Ordering;

use rokopia::blob::object::{Role, S3Options};
use rokopia::blob::{BlobStore, FileSystem, Traffic};

use crate::common::{Case, testdata};
use crate::server::{Server, State, answer, error, read};

/// Gives out the credentials of a role for an hour.
fn give_role(stream: &TcpStream, state: &State) -> Option<()> {
    let request = read(stream)?;
    state.requests.fetch_add(1, Ordering::SeqCst);
    let body = String::from_utf8(request.body).unwrap();
    assert!(request.method == "POST" && request.authorization.contains("Credential=ak/"), "{body}");
    assert!(request.authorization.contains("/eu-west-1/sts/aws4_request"), "{}", request.authorization);
    if !body.contains("RoleArn=arn%3Aaws%3Aiam%3A%3A1%3Arole%2Freader") {
        let body = "<ErrorResponse><Error><Code>AccessDenied</Code><Message>not yours</Message></Error></ErrorResponse>";
        return answer(stream, "403 Forbidden", "", body.as_bytes());
    }
    assert!(body.contains("Action=AssumeRole") && body.contains("DurationSeconds=3600"), "{body}");
    let until = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(1);
    let body = format!(
        "<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>ASIA</AccessKeyId><SecretAccessKey>s</SecretAccessKey>\
         <SessionToken>token</SessionToken><Expiration>{until}</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>"
    );
    answer(stream, "200 OK", "", body.as_bytes())
}

#[test]
fn a_role_is_taken_on_once_and_its_credentials_are_used() {
    let case = Case::load(&testdata().join("basic")).unwrap();
    let server = Server::with(&FileSystem::open(case.repo()).unwrap(), "k/");
    let tokens = Server::serving(give_role);
    let role = |arn: &str| Role {
        arn: arn.into(),
        seconds: 3600,
        endpoint: format!("http://{}", tokens.address),
        region: "eu-west-1".into(),
        ..Role::default()
    };
    let with = |arn: &str| {
        S3Options { role: Some(role(arn)), ..server.options("k/") }.open(&Traffic::default()).unwrap()
    };
    let store = with("arn:aws:iam::1:role/reader");
    assert!(!store.list("").unwrap().is_empty());
    assert!(!store.list("p").unwrap().is_empty());
    assert_eq!(tokens.state.requests.load(Ordering::SeqCst), 1);
    assert!(server.state.authorization.lock().unwrap().contains("Credential=ASIA/"));
    let error = with("arn:aws:iam::1:role/other").list("").unwrap_err();
    assert_eq!(error.code(), "access-denied");
    assert!(error.to_string().contains("taking on arn:aws:iam::1:role/other"), "{error}");
}

/// Tells where the bucket of an account is: on the server that is at the address that was put there.
fn tell_address(stream: &TcpStream, state: &State) -> Option<()> {
    let request = read(stream)?;
    state.requests.fetch_add(1, Ordering::SeqCst);
    assert_eq!(request.path, "/b2api/v2/b2_authorize_account");
    // ak:sk
    if request.authorization != "Basic YWs6c2s=" {
        let body = "{\"status\":401,\"code\":\"bad_auth_token\",\"message\":\"no\"}";
        return answer(stream, "401 Unauthorized", "", body.as_bytes());
    }
    let Some(address) = state.objects.lock().unwrap().get("address").cloned() else {
        return error(stream, "404 Not Found", "", "");
    };
    let address = String::from_utf8(address).unwrap();
    let body = serde_json::json!({"s3ApiUrl": address, "authorizationToken": "hunter2", "allowed": {}});
    answer(stream, "200 OK", "", body.to_string().as_bytes())
}

#[test]
fn the_account_of_b2_tells_where_a_bucket_is() {
    let case = Case::load(&testdata().join("basic")).unwrap();
    let server = Server::with(&FileSystem::open(case.repo()).unwrap(), "k/");
    let account = Server::serving(tell_address);
    account.put("address", format!("http://{}", server.address));
    let options = || S3Options {
        endpoint: String::new(),
        plain_http: false,
        b2: Some(format!("http://{}", account.address)),
        ..server.options("k/")
    };
    let store = options().open(&Traffic::default()).unwrap();
    assert_eq!(store.describe(), "b2://bucket/k/");
    assert_eq!(account.state.requests.load(Ordering::SeqCst), 0);
    let expected = FileSystem::open(case.repo()).unwrap().list("").unwrap().len();
    assert_eq!(store.list("").unwrap().len(), expected);
    assert_eq!(store.list("").unwrap().len(), expected);
    assert_eq!(account.state.requests.load(Ordering::SeqCst), 1);
    let wrong = S3Options { secret_key: rokopia::blob::remote::Hidden::new("no"), ..options() };
    let error = wrong.open(&Traffic::default()).unwrap().list("").unwrap_err();
    assert_eq!(error.code(), "credentials-refused");
    assert!(error.to_string().contains("bad_auth_token"), "{error}");
    account.put("address", "ftp://elsewhere");
    assert_eq!(options().open(&Traffic::default()).unwrap().list("").unwrap_err().code(), "answer-invalid");
}

//! A server of S3 that others wrote: moto, the program that `ROKOPIA_MOTO` names, as in `.ci/run`, or else `moto_server`.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;

use rokopia::blob::Traffic;
use rokopia::blob::object::S3Options;
use rokopia::blob::remote::Hidden;

use crate::common::say;
use crate::real::{Running, free_port, start_program};

/// A server with a bucket, to which anybody may write.
struct Moto {
    _running: Running,
    port: u16,
}

impl Moto {
    /// `None` where it is not installed.
    fn start() -> Option<Self> {
        let named = std::env::var_os("ROKOPIA_MOTO");
        let port = free_port();
        let mut command = Command::new(named.clone().unwrap_or_else(|| "moto_server".into()));
        match start_program(command.args(["-H", "127.0.0.1", "-p", &port.to_string()]), port) {
            Ok(running) => {
                let server = Self { _running: running, port };
                server.put("", b"");
                Some(server)
            }
            Err(e) => {
                assert!(named.is_none(), "ROKOPIA_MOTO cannot be started: {e}");
                say(&format!("moto: NOT CHECKED, it cannot be started: {e}"));
                None
            }
        }
    }

    /// Puts an object into the bucket, or makes it.
    fn put(&self, key: &str, bytes: &[u8]) {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        let length = bytes.len();
        let head = format!(
            "PUT /bucket/{key} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n"
        );
        stream.write_all(&[head.as_bytes(), bytes].concat()).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        assert!(answer.starts_with(b"HTTP/1.1 2"), "{}", String::from_utf8_lossy(&answer));
    }
}

#[test]
fn blobs_in_a_bucket_of_moto_behave() {
    let Some(server) = Moto::start() else { return };
    let all = crate::suite::blobs();
    for (name, bytes) in &all {
        server.put(&format!("p/{name}"), bytes);
    }
    let options = S3Options {
        bucket: "bucket".into(),
        prefix: "p/".into(),
        endpoint: format!("127.0.0.1:{}", server.port),
        plain_http: true,
        access_key: Hidden::new("ak"),
        secret_key: Hidden::new("sk"),
        ..S3Options::default()
    };
    crate::suite::behaves(&options.open(&Traffic::default()).unwrap(), &all);
}

//! Whether a running service is ready.

use super::{Check, Report, State};

/// Asks the service at this address.
pub(super) fn check(address: &str) -> Check {
    let mut report = Report::default();
    match ready(address) {
        Ok(()) => report.ok("service", format!("{address} is ready")),
        Err(Problem::NotChecked(reason)) => report.add("service", State::NotChecked, reason, &[]),
        Err(Problem::NotReady(reason)) => report.add(
            "service",
            State::Failed,
            format!("{address}: {reason}"),
            &["look at its log; `rokopia exists` asks the repository itself"],
        ),
    }
    let found = report.0.pop();
    found.unwrap_or(Check {
        check: "service",
        state: State::NotChecked,
        code: None,
        message: address.to_owned(),
        help: Vec::new(),
    })
}

#[allow(dead_code, reason = "a build without remote storage makes one of them alone")]
enum Problem {
    NotReady(String),
    NotChecked(String),
}

#[cfg(feature = "remote")]
fn ready(address: &str) -> Result<(), Problem> {
    use std::time::Duration;

    use reqwest::{Method, Request, Url};

    use crate::blob::Question;
    use crate::blob::remote::{Client, Tls, wait, whole};

    /// A service that is ready says so at once.
    const PATIENCE: Duration = Duration::from_secs(5);
    /// What is read of its answer.
    const LIMIT: u64 = 64 << 10;

    let not_ready = |reason: String| Problem::NotReady(reason);
    let base = address.trim_end_matches('/');
    let url = Url::parse(&format!("{base}/readyz")).map_err(|e| not_ready(e.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(not_ready("expected an address such as http://host:port".to_owned()));
    }
    let encrypted = url.scheme() == "https";
    let client = Client::with_patience(&Tls::default(), encrypted, Some(PATIENCE));
    let client = client.map_err(|e| not_ready(e.to_string()))?;
    let answer = wait(async {
        let response = client.send(Question::Read, Request::new(Method::GET, url)).await?;
        let status = response.status();
        let text = whole(response, LIMIT).await?.unwrap_or_default();
        Ok::<_, crate::blob::Trouble>((status, text))
    });
    let (status, text) =
        answer.map_err(|e| not_ready(e.to_string()))?.map_err(|e| not_ready(e.to_string()))?;
    if status.is_success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&text);
    let first = text.lines().next().unwrap_or_default();
    Err(not_ready(format!("not ready: {status} {first}").trim_end().to_owned()))
}

#[cfg(not(feature = "remote"))]
fn ready(_: &str) -> Result<(), Problem> {
    Err(Problem::NotChecked("this build makes no connections".to_owned()))
}

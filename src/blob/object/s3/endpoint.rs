//! The address of a bucket.

use crate::blob::{Cause, Trouble};

/// The server of a bucket, and whether the bucket stands before its name or behind it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Endpoint {
    scheme: &'static str,
    host: Host,
    bucket: String,
    before: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum Host {
    /// Amazon's own, of the region of the bucket.
    Regional(&'static str),
    Given(String),
}

impl Endpoint {
    pub(super) fn new(endpoint: &str, plain_http: bool, bucket: &str) -> Result<Self, Trouble> {
        let refuse = |why: String| Err(Trouble::new(Cause::Refused, why));
        let plausible = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b':');
        if bucket.is_empty() || !bucket.bytes().all(plausible) || matches!(bucket, "." | "..") {
            return refuse(format!("{bucket:?} cannot be the name of a bucket"));
        }
        let host = match endpoint {
            "" | "s3.amazonaws.com" => Host::Regional("amazonaws.com"),
            "s3.cn-north-1.amazonaws.com.cn" | "s3.cn-northwest-1.amazonaws.com.cn" => {
                Host::Given(endpoint.into())
            }
            given if given.contains(['/', '@', '?', '#', ' ', '\\']) => {
                return refuse(format!("the endpoint {given:?} is not of the form host or host:port"));
            }
            given => Host::Given(given.to_ascii_lowercase()),
        };
        let name = match &host {
            Host::Regional(_) => "amazonaws.com",
            Host::Given(given) => given.split(':').next().unwrap_or_default(),
        };
        let known = |suffix: &str| name == suffix || name.ends_with(&format!(".{suffix}"));
        let by_name = ["amazonaws.com", "amazonaws.com.cn", "storage.googleapis.com", "aliyuncs.com"];
        // A name with dots fits no certificate of such a server.
        let before = by_name.iter().any(|suffix| known(suffix)) && (plain_http || !bucket.contains('.'));
        let scheme = if plain_http { "http" } else { "https" };
        Ok(Self { scheme, host, bucket: bucket.to_owned(), before })
    }

    /// The address of the bucket, without a slash at its end.
    pub(super) fn bucket(&self, region: &str) -> String {
        let Self { scheme, bucket, .. } = self;
        let host = match &self.host {
            Host::Regional(domain) => format!("s3.{region}.{domain}"),
            Host::Given(host) => host.clone(),
        };
        if self.before {
            format!("{scheme}://{bucket}.{host}")
        } else {
            format!("{scheme}://{host}/{bucket}")
        }
    }

    /// The region that the name of the server says.
    pub(super) fn region(&self) -> Option<&str> {
        let Host::Given(host) = &self.host else { return None };
        let name = host.split(':').next().unwrap_or_default();
        let rest = name.strip_suffix(".amazonaws.com").or_else(|| name.strip_suffix(".amazonaws.com.cn"))?;
        let rest = rest
            .strip_prefix("s3.dualstack.")
            .or_else(|| rest.strip_prefix("s3."))
            .or_else(|| rest.strip_prefix("s3-"))?;
        Some(rest).filter(|region| !region.is_empty() && !region.contains('.'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(endpoint: &str, plain: bool, bucket: &str) -> String {
        Endpoint::new(endpoint, plain, bucket).unwrap().bucket("eu-west-1")
    }

    #[test]
    fn buckets_of_some_servers_stand_before_their_names() {
        assert_eq!(address("", false, "b"), "https://b.s3.eu-west-1.amazonaws.com");
        assert_eq!(address("s3.amazonaws.com", false, "b.c"), "https://s3.eu-west-1.amazonaws.com/b.c");
        assert_eq!(address("s3.us-west-2.amazonaws.com", false, "b"), "https://b.s3.us-west-2.amazonaws.com");
        assert_eq!(address("storage.googleapis.com", false, "b"), "https://b.storage.googleapis.com");
        assert_eq!(address("nas.lan:9000", true, "b"), "http://nas.lan:9000/b");
        assert_eq!(
            address("s3.eu-central-003.backblazeb2.com", false, "b"),
            "https://s3.eu-central-003.backblazeb2.com/b"
        );
    }

    #[test]
    fn a_region_in_the_name_of_the_server_counts() {
        let region = |endpoint| Endpoint::new(endpoint, false, "b").unwrap().region().map(str::to_owned);
        assert_eq!(region("s3.us-west-2.amazonaws.com").as_deref(), Some("us-west-2"));
        assert_eq!(region("s3.dualstack.eu-west-1.amazonaws.com").as_deref(), Some("eu-west-1"));
        assert_eq!(region("s3.amazonaws.com"), None);
        assert_eq!(region("nas.lan:9000"), None);
    }

    #[test]
    fn what_is_no_host_is_refused() {
        for endpoint in ["http://nas:9000", "nas/x", "key:secret@nas"] {
            assert!(Endpoint::new(endpoint, false, "b").is_err(), "{endpoint}");
        }
        for bucket in ["", "..", "a/b", "a?b"] {
            assert!(Endpoint::new("nas", false, bucket).is_err(), "{bucket}");
        }
    }
}

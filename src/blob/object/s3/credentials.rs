//! Who asks: the credentials that Kopia would find, in its order.

use std::sync::Arc;

use object_store::RetryConfig;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey, AwsCredential, AwsCredentialProvider};
use tokio::sync::OnceCell;

use super::S3Options;
use super::role::TakenOn;
use crate::blob::object::connector::{Connector, unobtainable};
use crate::blob::remote::Hidden;
use crate::blob::{Cause, Trouble};

/// Where credentials come from.
pub(super) struct Credentials {
    source: Source,
    /// A role that these credentials take on.
    role: Option<TakenOn>,
    /// Whether the machine has turned out to have none.
    anonymous: OnceCell<bool>,
}

enum Source {
    Given(Arc<AwsCredential>),
    /// By a token of the cluster or a container; what is configured has to work.
    Configured(AwsCredentialProvider),
    /// The metadata of the machine, if it is one of Amazon's.
    Machine(AwsCredentialProvider),
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Credentials(..)")
    }
}

fn variable(names: &[&str]) -> Option<String> {
    names.iter().find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
}

/// What goes into a header of a request.
fn usable(name: &str, secret: &Hidden) -> Result<String, Trouble> {
    match secret.expose() {
        text if text.bytes().all(|b| b.is_ascii_graphic()) => Ok(text.to_owned()),
        _ => {
            let why = format!("the {name} has blanks, line breaks or other characters that none has");
            Err(Trouble::new(Cause::CredentialsRefused, why))
        }
    }
}

impl Credentials {
    pub(super) fn new(options: &S3Options, region: &str) -> Result<Self, Trouble> {
        let role = options.role.clone().map(TakenOn::new).transpose()?;
        Ok(Self { source: Self::source(options, region)?, role, anonymous: OnceCell::new() })
    }

    fn source(options: &S3Options, region: &str) -> Result<Source, Trouble> {
        let given = |key: &Hidden, secret: &Hidden, token: &Hidden| {
            let token = usable("session token", token)?;
            Ok(Source::Given(Arc::new(AwsCredential {
                key_id: usable("access key", key)?,
                secret_key: usable("secret access key", secret)?,
                token: Some(token).filter(|token| !token.is_empty()),
            })))
        };
        if !options.access_key.is_empty() && !options.secret_key.is_empty() {
            return given(&options.access_key, &options.secret_key, &options.session_token);
        }
        let key = variable(&["AWS_ACCESS_KEY_ID", "AWS_ACCESS_KEY"]);
        let secret = variable(&["AWS_SECRET_ACCESS_KEY", "AWS_SECRET_KEY"]);
        if let (Some(key), Some(secret)) = (key, secret) {
            let token = Hidden::new(variable(&["AWS_SESSION_TOKEN"]).unwrap_or_default());
            return given(&Hidden::new(key), &Hidden::new(secret), &token);
        }
        Self::offered(region)
    }

    /// What a cluster, a container or a machine offers.
    fn offered(region: &str) -> Result<Source, Trouble> {
        let set = |name: &str| variable(&[name]);
        // Only for the names of Amazon's services.
        let region = set("AWS_REGION").unwrap_or_else(|| region.to_owned());
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name("credentials")
            .with_region(region)
            .with_retry(RetryConfig { max_retries: 0, ..RetryConfig::default() })
            .with_http_connector(Connector { metadata: false });
        let mut take = |key: AmazonS3ConfigKey, value: Option<String>| {
            if let Some(value) = value {
                builder = std::mem::take(&mut builder).with_config(key, value);
            }
        };
        let (token, role) = (set("AWS_WEB_IDENTITY_TOKEN_FILE"), set("AWS_ROLE_ARN"));
        let relative = set("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
        let full = (set("AWS_CONTAINER_CREDENTIALS_FULL_URI"), set("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"));
        let mut configured = true;
        if token.is_some() && role.is_some() {
            take(AmazonS3ConfigKey::WebIdentityTokenFile, token);
            take(AmazonS3ConfigKey::RoleArn, role);
            take(AmazonS3ConfigKey::RoleSessionName, set("AWS_ROLE_SESSION_NAME"));
        } else if relative.is_some() {
            take(AmazonS3ConfigKey::ContainerCredentialsRelativeUri, relative);
        } else if let (Some(uri), Some(file)) = full {
            take(AmazonS3ConfigKey::ContainerCredentialsFullUri, Some(uri));
            take(AmazonS3ConfigKey::ContainerAuthorizationTokenFile, Some(file));
        } else {
            configured = false;
        }
        if !configured {
            builder = builder.with_http_connector(Connector { metadata: true });
        }
        let built = builder.build().map_err(|e| unobtainable(&e))?;
        let provider = Arc::clone(built.credentials());
        Ok(if configured { Source::Configured(provider) } else { Source::Machine(provider) })
    }

    /// The credentials of this moment; none for a bucket that anybody may read.
    pub(super) async fn get(&self) -> Result<Option<Arc<AwsCredential>>, Trouble> {
        let own = self.own().await?;
        match (&self.role, own) {
            (None, own) => Ok(own),
            (Some(role), Some(own)) => role.credential(&own).await.map(Some),
            (Some(_), None) => {
                Err(Trouble::new(Cause::CredentialsMissing, "a role can only be taken on with credentials"))
            }
        }
    }

    async fn own(&self) -> Result<Option<Arc<AwsCredential>>, Trouble> {
        match &self.source {
            Source::Given(credential) => Ok(Some(Arc::clone(credential))),
            Source::Configured(provider) => {
                provider.get_credential().await.map(Some).map_err(|e| unobtainable(&e))
            }
            Source::Machine(provider) => {
                let anonymous = self.anonymous.get_or_init(|| async {
                    let found = provider.get_credential().await;
                    if let Err(error) = &found {
                        tracing::debug!(%error, "this machine offers no credentials, asking without");
                    }
                    found.is_err()
                });
                match *anonymous.await {
                    true => Ok(None),
                    false => provider.get_credential().await.map(Some).map_err(|e| unobtainable(&e)),
                }
            }
        }
    }
}

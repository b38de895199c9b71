//! A connection: the right server, the right user, and several channels.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use russh::client::{self, AuthResult, KeyboardInteractiveAuthResponse};
use russh::keys::{HashAlg, PrivateKeyWithHashAlg, PublicKeyOrCertificate, decode_secret_key};
use russh::{MethodKind, Preferred};
use russh_sftp::client::RawSftpSession;
use russh_sftp::client::error::Error;

use super::SftpOptions;
use super::known_hosts::Known;
use crate::blob::{Cause, Trouble};

/// Until there is a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Until the server knows us.
const LOGIN_TIMEOUT: Duration = Duration::from_secs(30);

/// A server that says nothing for so long is asked whether it is there.
const KEEPALIVE: Duration = Duration::from_secs(15);

/// Seconds until the answer to one request.
const REQUEST_TIMEOUT: u64 = 30;

/// Channels of one connection; servers allow ten.
const CHANNELS: usize = 4;

/// What a channel may have on the way: a link of 1 Gbit/s with 50 ms there and back holds 6 MB.
const WINDOW: u32 = 8 << 20;

/// A connection with its channels.
pub(super) struct Connection {
    sessions: Vec<RawSftpSession>,
    next: AtomicUsize,
    /// The connection ends with it.
    _handle: client::Handle<Expected>,
}

/// Why there is no connection.
#[derive(Debug)]
enum Failed {
    Ssh(russh::Error),
    /// The server has another key.
    OtherKey(String),
}

impl From<russh::Error> for Failed {
    fn from(error: russh::Error) -> Self {
        Self::Ssh(error)
    }
}

/// The server that is expected.
struct Expected(Known);

impl client::Handler for Expected {
    type Error = Failed;

    async fn check_server_key(&mut self, shown: &PublicKeyOrCertificate) -> Result<bool, Failed> {
        let PublicKeyOrCertificate::PublicKey { key, .. } = shown else { return Ok(false) };
        let bytes = key.to_bytes().map_err(russh::Error::from)?;
        match self.0.has(&bytes) {
            true => Ok(true),
            false => {
                let print = key.fingerprint(HashAlg::Sha256);
                Err(Failed::OtherKey(format!("it shows the {} key {print}", key.algorithm())))
            }
        }
    }
}

impl Connection {
    pub(super) async fn open(options: &SftpOptions) -> Result<Self, Trouble> {
        let known = Known::of(&options.known_hosts, &options.host, options.port());
        if known.keys.is_empty() {
            let why = format!("{} is not among the known hosts", options.host);
            return Err(Trouble::new(Cause::HostKey, why));
        }
        let mut preferred = Preferred::default();
        let kinds: Vec<&str> = known.keys.iter().map(|(kind, _)| kind.as_str()).collect();
        // A server with several keys shows the kind that is asked for first.
        preferred.key.to_mut().sort_by_key(|algorithm| !kinds.contains(&algorithm.as_str()));
        let config = client::Config {
            window_size: WINDOW,
            keepalive_interval: Some(KEEPALIVE),
            preferred,
            nodelay: true,
            ..client::Config::default()
        };
        let socket = timed(CONNECT_TIMEOUT, connect(&options.host, options.port())).await?;
        let handle = timed(LOGIN_TIMEOUT, async {
            let stream = client::connect_stream(Arc::new(config), socket, Expected(known));
            let mut handle = stream.await.map_err(|failed| match failed {
                Failed::Ssh(error) => trouble(&error),
                Failed::OtherKey(why) => Trouble::new(Cause::HostKey, why),
            })?;
            log_in(&mut handle, options).await?;
            Ok(handle)
        })
        .await?;
        let mut sessions = Vec::with_capacity(CHANNELS);
        while sessions.len() < CHANNELS {
            match timed(LOGIN_TIMEOUT, session(&handle)).await {
                Ok(session) => sessions.push(session),
                Err(trouble) if sessions.is_empty() => return Err(trouble),
                // A server that allows fewer channels.
                Err(_) => break,
            }
        }
        Ok(Self { sessions, next: AtomicUsize::new(0), _handle: handle })
    }

    /// The channel whose turn it is, with its number: a handle belongs to the channel on which it was opened.
    pub(super) fn turn(&self) -> Result<(usize, &RawSftpSession), Error> {
        let turn = self.next.fetch_add(1, Ordering::Relaxed) % self.sessions.len().max(1);
        let closed = || Error::UnexpectedBehavior("no channel".into());
        Ok((turn, self.at(turn).ok_or_else(closed)?))
    }

    /// The channel of this number.
    pub(super) fn at(&self, turn: usize) -> Option<&RawSftpSession> {
        self.sessions.get(turn)
    }
}

async fn timed<T>(patience: Duration, work: impl Future<Output = Result<T, Trouble>>) -> Result<T, Trouble> {
    match tokio::time::timeout(patience, work).await {
        Ok(result) => result,
        Err(_) => Err(Trouble::new(Cause::Timeout, format!("{} seconds", patience.as_secs()))),
    }
}

async fn connect(host: &str, port: u16) -> Result<tokio::net::TcpStream, Trouble> {
    let addresses: Vec<_> = match tokio::net::lookup_host((host, port)).await {
        Ok(addresses) => addresses.collect(),
        Err(e) => return Err(Trouble::new(Cause::HostUnknown, format!("{host}: {e}"))),
    };
    let stream = tokio::net::TcpStream::connect(addresses.as_slice()).await;
    let stream = stream.map_err(|e| Trouble::new(Cause::Unreachable, e.to_string()))?;
    let _ = stream.set_nodelay(true);
    Ok(stream)
}

async fn session(handle: &client::Handle<Expected>) -> Result<RawSftpSession, Trouble> {
    let channel = handle.channel_open_session().await.map_err(|e| trouble(&e))?;
    channel.request_subsystem(true, "sftp").await.map_err(|e| trouble(&e))?;
    let session = RawSftpSession::new(channel.into_stream());
    session.set_timeout(REQUEST_TIMEOUT);
    session
        .init()
        .await
        .map_err(|e| Trouble::new(Cause::Refused, format!("the server has no SFTP for this user: {e}")))?;
    Ok(session)
}

async fn log_in(handle: &mut client::Handle<Expected>, options: &SftpOptions) -> Result<(), Trouble> {
    let user = options.username.as_str();
    let result = if !options.password.is_empty() {
        handle.authenticate_password(user, options.password.expose()).await.map_err(|e| trouble(&e))?
    } else if !options.key.is_empty() {
        let key = decode_secret_key(options.key.expose(), None).map_err(|_| {
            let why = "the private key is no unencrypted Ed25519 or ECDSA key, and others are not supported";
            Trouble::new(Cause::CredentialsMissing, why)
        })?;
        let key = PrivateKeyWithHashAlg::new(Arc::new(key), None);
        handle.authenticate_publickey(user, key).await.map_err(|e| trouble(&e))?
    } else {
        handle.authenticate_none(user).await.map_err(|e| trouble(&e))?
    };
    let AuthResult::Failure { remaining_methods, .. } = result else { return Ok(()) };
    let asks = remaining_methods.contains(&MethodKind::KeyboardInteractive);
    if asks && !options.password.is_empty() && answer(handle, options).await? {
        return Ok(());
    }
    let cause = match options.password.is_empty() && options.key.is_empty() {
        true => Cause::CredentialsMissing,
        false => Cause::CredentialsRefused,
    };
    Err(Trouble::new(cause, format!("the server does not let {user:?} in")))
}

/// Some servers ask for the password in a dialogue.
async fn answer(handle: &mut client::Handle<Expected>, options: &SftpOptions) -> Result<bool, Trouble> {
    let begun = handle.authenticate_keyboard_interactive_start(options.username.as_str(), None).await;
    let mut asked = begun.map_err(|e| trouble(&e))?;
    for _ in 0..3 {
        let prompts = match asked {
            KeyboardInteractiveAuthResponse::Success => return Ok(true),
            KeyboardInteractiveAuthResponse::Failure { .. } => return Ok(false),
            KeyboardInteractiveAuthResponse::InfoRequest { prompts, .. } => prompts,
        };
        let answers = prompts.iter().map(|_| options.password.expose().to_owned()).collect();
        let next = handle.authenticate_keyboard_interactive_respond(answers).await;
        asked = next.map_err(|e| trouble(&e))?;
    }
    Ok(matches!(asked, KeyboardInteractiveAuthResponse::Success))
}

fn trouble(error: &russh::Error) -> Trouble {
    let cause = match error {
        russh::Error::ConnectionTimeout
        | russh::Error::KeepaliveTimeout
        | russh::Error::InactivityTimeout => Cause::Timeout,
        russh::Error::NoCommonAlgo { .. } => Cause::Refused,
        russh::Error::UnknownKey | russh::Error::WrongServerSig => Cause::HostKey,
        _ => Cause::CutOff,
    };
    Trouble::new(cause, error.to_string())
}

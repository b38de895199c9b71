//! The password: typed, from the environment, stored beside the connection file, or asked for.

use std::fs;
use std::io::{self, IsTerminal, stdin};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::config::{Config, os_text};
use super::failure::Failure;
use super::grammar::Typed;

/// A password as Kopia takes it: white space around it is not part of it.
pub(super) type Text = Zeroizing<String>;

/// The password to open a repository with. Where `stored` is given, what was remembered with that connection counts.
pub(super) fn get(typed: &Typed, stored: Option<&Path>) -> Result<Text, Failure> {
    if let Some(password) = typed.text("password").filter(|password| !password.is_empty()) {
        return Ok(Zeroizing::new(password.trim().to_owned()));
    }
    if let Some(config) = stored.filter(|_| typed.on("persist-credentials"))
        && let Some(password) = remembered(config)?
    {
        return Ok(password);
    }
    if !stdin().is_terminal() {
        return Err(Failure::new(
            "get password: password prompt error: standard input is not a terminal, set KOPIA_PASSWORD",
        ));
    }
    rpassword::prompt_password("Enter password to open repository: ")
        .map(Zeroizing::new)
        .map_err(|e| Failure::new(format!("get password: password prompt error: {e}")))
}

fn file(config: &Path) -> PathBuf {
    Config::companion(config, ".kopia-password")
}

fn remembered(config: &Path) -> Result<Option<Text>, Failure> {
    let failed =
        |reason: &str| Failure::new(format!("get password: cannot get persistent password: {reason}"));
    let encoded = match fs::read(file(config)) {
        Ok(encoded) => Zeroizing::new(encoded),
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(failed(&os_text(&e))),
    };
    // Go's decoder skips line ends.
    let encoded: Zeroizing<Vec<u8>> =
        Zeroizing::new(encoded.iter().copied().filter(|b| !matches!(b, b'\r' | b'\n')).collect());
    let decoded = STANDARD.decode(&*encoded).map_err(|e| failed(&e.to_string()))?;
    String::from_utf8(decoded).map(|text| Some(Zeroizing::new(text))).map_err(|e| failed(&e.to_string()))
}

/// Remembers a password for a connection, unless that is not wanted.
pub(super) fn remember(typed: &Typed, config: &Config, password: &str) -> Result<(), Failure> {
    if !typed.on("persist-credentials") {
        return Ok(());
    }
    let encoded = Zeroizing::new(STANDARD.encode(password));
    config
        .writable(&file(&config.path))?
        .replace(encoded.as_bytes(), Some(0o600))
        .map_err(|e| Failure::new(format!("unable to persist password: {}", os_text(&e))))
}

/// Forgets the password of a connection.
pub(super) fn forget(config: &Path) -> Result<(), Failure> {
    match fs::remove_file(file(config)) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => {
            Err(Failure::new(format!("unable to remove persisted password: {}", os_text(&e))))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stored_is_read_again() {
        let directory = tempfile::tempdir().unwrap();
        let config = directory.path().join("r.config");
        assert!(remembered(&config).unwrap().is_none());
        fs::write(file(&config), "cm9rb3BpYQ==\n").unwrap();
        assert_eq!(remembered(&config).unwrap().unwrap().as_str(), "rokopia");
        fs::write(file(&config), "?").unwrap();
        assert!(remembered(&config).is_err());
        forget(&config).unwrap();
        forget(&config).unwrap();
        assert!(remembered(&config).unwrap().is_none());
    }
}

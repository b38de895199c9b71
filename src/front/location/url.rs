//! The parts of a location with a scheme.

use percent_encoding::percent_decode_str;

/// Names of parameters that hold secrets elsewhere.
const SECRETS: [&str; 12] = [
    "key",
    "secret",
    "password",
    "token",
    "accesskey",
    "accesskeyid",
    "secretaccesskey",
    "sessiontoken",
    "sas",
    "sig",
    "sastoken",
    "storagekey",
];

const CREDENTIALS: &str = "credentials do not belong into a location: they come from the environment";

/// `authority/path?name=value&…`, decoded.
#[derive(Debug, Default)]
pub(super) struct Url {
    /// What stands before the first slash.
    pub(super) authority: String,
    /// What stands behind it.
    pub(super) path: String,
    parameters: Vec<(String, String)>,
}

impl Url {
    /// Reads what stands behind `://`.
    pub(super) fn parse(rest: &[u8]) -> Result<Self, String> {
        let url = Self::parse_with_user(rest)?;
        match url.authority.contains('@') {
            true => Err(CREDENTIALS.into()),
            false => Ok(url),
        }
    }

    /// The same where a user may stand before the server; a password may not.
    pub(super) fn parse_with_user(rest: &[u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(rest).map_err(|_| "it is not UTF-8".to_owned())?;
        let (place, query) = text.split_once('?').unwrap_or((text, ""));
        let (authority, path) = place.split_once('/').unwrap_or((place, ""));
        if authority.rsplit_once('@').is_some_and(|(user, _)| user.contains(':')) {
            return Err(CREDENTIALS.into());
        }
        let decoded = |text: &str| {
            String::from_utf8(percent_decode_str(text).collect()).map_err(|_| "it is not UTF-8".to_owned())
        };
        let mut url = Self { authority: decoded(authority)?, path: decoded(path)?, parameters: Vec::new() };
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let plain: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
            if SECRETS.contains(&plain.to_ascii_lowercase().as_str()) {
                return Err(format!(
                    "secrets such as {name} do not belong into a location: they come from the environment"
                ));
            }
            if url.parameters.iter().any(|(known, _)| known == name) {
                return Err(format!("{name} is there twice"));
            }
            url.parameters.push((name.to_owned(), decoded(value)?));
        }
        Ok(url)
    }

    /// Takes a parameter out.
    pub(super) fn take(&mut self, name: &str) -> Option<String> {
        let at = self.parameters.iter().position(|(known, _)| known == name)?;
        Some(self.parameters.swap_remove(at).1).filter(|value| !value.is_empty())
    }

    /// A parameter that is `true` or `false`.
    pub(super) fn take_switch(&mut self, name: &str) -> Result<Option<bool>, String> {
        match self.take(name).as_deref() {
            None => Ok(None),
            Some("true") => Ok(Some(true)),
            Some("false") => Ok(Some(false)),
            Some(_) => Err(format!("{name} is true or false")),
        }
    }

    /// Refuses what was not taken: a parameter that is not understood may be one that matters.
    pub(super) fn finish(self, known: &str) -> Result<(), String> {
        match self.parameters.first() {
            None => Ok(()),
            Some((name, _)) if name == "at" => Err(super::AS_IT_WAS.into()),
            Some((name, _)) => Err(format!("{name} is no parameter of it: {known}")),
        }
    }
}

/// A location without what may be a secret.
pub(super) fn masked(scheme: &str, rest: &[u8]) -> String {
    let text = String::from_utf8_lossy(rest);
    let (place, query) = text.split_once('?').unwrap_or((&text, ""));
    let place = match place.split_once('/') {
        Some((authority, path)) => format!("{}/{path}", authority.rsplit('@').next().unwrap_or_default()),
        None => place.rsplit('@').next().unwrap_or_default().to_owned(),
    };
    let query = if query.is_empty() { "" } else { "?…" };
    format!("{scheme}://{place}{query}")
}

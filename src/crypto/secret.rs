//! Bytes that must not outlive their use, and the password.

use std::ffi::OsString;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::OsStringExt;
use std::path::Path;

use zeroize::Zeroizing;

use super::Error;

/// Longest password that is read from a file or descriptor, in bytes. Keeps a mistaken path (a device, a disk image)
/// from being swallowed whole.
const MAX_PASSWORD: u64 = 64 << 10;

/// Key material: wiped when dropped, never printed.
#[derive(Clone)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// Takes over key material.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The bytes themselves.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    pub(super) fn expose_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }
}

impl From<Zeroizing<Vec<u8>>> for Secret {
    fn from(bytes: Zeroizing<Vec<u8>>) -> Self {
        Self(bytes)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// The password of a repository, as it was given.
///
/// ```
/// use rokopia::Password;
///
/// let password = Password::new("secret\n");
/// assert_eq!(password.candidates().collect::<Vec<_>>(), [&b"secret"[..], b"secret\n"]);
/// ```
#[derive(Clone)]
pub struct Password(Secret);

impl Password {
    /// A password from its bytes (UTF-8 as a rule; nothing is normalised).
    #[must_use]
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self(Secret::new(bytes.into()))
    }

    /// The password from the environment: `ROKOPIA_PASSWORD`, else the file named by `ROKOPIA_PASSWORD_FILE`, else
    /// `KOPIA_PASSWORD`. Empty variables count as unset.
    ///
    /// # Errors
    /// [`Error::NoPassword`] if none is set, [`Error::PasswordFile`] if the file cannot be read.
    pub fn from_env() -> Result<Self, Error> {
        Self::from_variables(|name| std::env::var_os(name))
    }

    fn from_variables(variable: impl Fn(&str) -> Option<OsString>) -> Result<Self, Error> {
        let set = |name| variable(name).filter(|value| !value.is_empty());
        if let Some(password) = set("ROKOPIA_PASSWORD") {
            return Ok(Self::new(password.into_vec()));
        }
        if let Some(path) = set("ROKOPIA_PASSWORD_FILE") {
            return Self::from_file(Path::new(&path));
        }
        set("KOPIA_PASSWORD").map(|password| Self::new(password.into_vec())).ok_or(Error::NoPassword)
    }

    /// The password in a file. One newline at its end is dropped.
    ///
    /// # Errors
    /// [`Error::PasswordFile`] if the file cannot be read, is empty or has more than 64 KiB.
    pub fn from_file(path: &Path) -> Result<Self, Error> {
        File::open(path)
            .and_then(Self::from_reader)
            .map_err(|source| Error::PasswordFile { path: path.to_owned(), source })
    }

    /// The password from a stream read to its end, by the rules of [`from_file`](Self::from_file).
    ///
    /// # Errors
    /// Those of the reader, and [`io::ErrorKind::InvalidData`] if it yields nothing or more than 64 KiB.
    pub fn from_reader(reader: impl Read) -> io::Result<Self> {
        // Reserved at once: growing would leave copies of the password behind.
        let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_PASSWORD as usize + 64));
        reader.take(MAX_PASSWORD + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > MAX_PASSWORD {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "longer than 64 KiB, this is no password",
            ));
        }
        if bytes.last() == Some(&b'\n') {
            bytes.pop();
        }
        if bytes.is_empty() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "it is empty"));
        }
        Ok(Self(bytes.into()))
    }

    /// The bytes as they were given.
    pub(crate) fn expose(&self) -> &[u8] {
        self.0.expose()
    }

    /// The byte strings to try, in order: without white space around it, as Kopia's command line takes it, then as
    /// given, if that differs (format-spec/03-keys-and-ciphers.md).
    pub fn candidates(&self) -> impl Iterator<Item = &[u8]> {
        let given = self.0.expose();
        let trimmed = trim(given);
        let trimmed = (!trimmed.is_empty() || given.is_empty()).then_some(trimmed);
        let given = (trimmed != Some(given)).then_some(given);
        trimmed.into_iter().chain(given)
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(..)")
    }
}

/// Removes white space as Unicode defines it from both ends. What is not UTF-8 is trimmed of ASCII white space.
fn trim(bytes: &[u8]) -> &[u8] {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.trim().as_bytes(),
        Err(_) => bytes.trim_ascii(),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn candidates(password: &[u8]) -> Vec<Vec<u8>> {
        Password::new(password).candidates().map(<[u8]>::to_vec).collect()
    }

    #[test]
    fn nothing_secret_is_printed() {
        assert_eq!(format!("{:?}", Secret::new(b"hunter2".to_vec())), "Secret(..)");
        assert_eq!(format!("{:?}", Password::new("hunter2")), "Password(..)");
    }

    #[test]
    fn candidates_are_trimmed_first_and_never_doubled() {
        assert_eq!(candidates(b"hunter2"), [b"hunter2"]);
        assert_eq!(candidates(b" \thunter 2\r\n"), [&b"hunter 2"[..], b" \thunter 2\r\n"]);
        assert_eq!(candidates("\u{a0}x\u{2003}".as_bytes()), [b"x".to_vec(), "\u{a0}x\u{2003}".into()]);
        assert_eq!(candidates(b"\xff\n"), [&b"\xff"[..], b"\xff\n"]);
        assert_eq!(candidates(b"  "), [b"  "]);
        assert_eq!(candidates(b""), [b""]);
    }

    #[test]
    fn environment_in_order_of_precedence() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(b"from file\n\n").unwrap();
        let path = file.path().as_os_str().to_owned();
        let read = |variables: &[(&str, OsString)]| {
            let variables = variables.to_vec();
            Password::from_variables(move |name| {
                variables.iter().find(|(key, _)| *key == name).map(|(_, value)| value.clone())
            })
        };
        let last = |password: Password| password.candidates().last().unwrap().to_vec();

        let (own, own_file, kopia) = ("ROKOPIA_PASSWORD", "ROKOPIA_PASSWORD_FILE", "KOPIA_PASSWORD");
        let all = [(kopia, "k".into()), (own_file, path.clone()), (own, "r".into())];
        assert_eq!(last(read(&all).unwrap()), b"r");
        assert_eq!(
            last(read(&[(own, "".into()), (own_file, path), (kopia, "k".into())]).unwrap()),
            b"from file\n"
        );
        assert_eq!(last(read(&[(kopia, "k".into())]).unwrap()), b"k");
        assert!(matches!(read(&[(kopia, "".into())]), Err(Error::NoPassword)));

        // A file that was asked for but cannot be read is an error, not a reason to look further.
        let error = read(&[(own_file, "/does/not/exist".into()), (kopia, "k".into())]).unwrap_err();
        assert!(error.to_string().contains("/does/not/exist"), "{error}");
    }

    #[test]
    fn streams_that_are_no_password() {
        assert!(Password::from_reader(&b""[..]).is_err());
        assert!(Password::from_reader(&b"\n"[..]).is_err());
        assert!(Password::from_reader(io::repeat(b'x')).is_err());
        assert!(Password::from_reader(io::repeat(b'x').take(MAX_PASSWORD)).is_ok());
    }
}

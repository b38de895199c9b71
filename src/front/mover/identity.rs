//! Whose snapshot is wanted.

use nix::sys::utsname::uname;
use nix::unistd::geteuid;

use super::environment::Environment;
use super::error::Error;
use crate::os::users;
use crate::snapshot::Source;

/// Where the operator mounts the destination volume, and where it mounts the source volume of a backup.
const RESTORED_TO: &str = "/restore/data";
const SAVED_FROM: &str = "/data";

/// What Kopia calls a user whom the system does not know.
const NOBODY: &str = "nobody";

/// What the system says about this process.
pub(super) struct Client {
    /// By the user database; often there is none.
    pub(super) user: Option<String>,
    pub(super) host: String,
}

impl Client {
    pub(super) fn of_process() -> Self {
        let host = uname().map(|name| name.nodename().to_string_lossy().into_owned()).unwrap_or_default();
        Self { user: users::name_of(geteuid().as_raw()), host }
    }
}

/// The snapshots to look for. With one half of the identity given, the other is what the system says, unchanged; with none,
/// it is what Kopia makes of it.
pub(super) fn source(environment: &Environment, client: &Client) -> Result<Source, Error> {
    let given = |name| environment.text(name).map(std::borrow::Cow::into_owned);
    let (user, host) = match (given("KOPIA_OVERRIDE_USERNAME"), given("KOPIA_OVERRIDE_HOSTNAME")) {
        (Some(user), Some(host)) => (user, host),
        (Some(user), None) => (user, client.host.clone()),
        (None, Some(host)) => (client.user.clone().ok_or(Error::NoUserName)?, host),
        (None, None) => {
            let host = client.host.split('.').next().unwrap_or_default().to_lowercase();
            (client.user.clone().unwrap_or_else(|| NOBODY.into()), host)
        }
    };
    let path = path(environment);
    let source = Source::new(&user, &host, &path);
    // A relative path was saved from the root, where movers run.
    let source = if source.is_absolute() { source } else { Source::new(user, host, format!("/{path}")) };
    Ok(source.cleaned())
}

fn path(environment: &Environment) -> String {
    if let Some(path) = environment.text("KOPIA_SOURCE_PATH_OVERRIDE") {
        return path.into_owned();
    }
    match environment.data_dir() {
        // This very text: paths compare equal with a slash at the end and without.
        Some(path) if path.as_os_str() != RESTORED_TO => path.to_string_lossy().into_owned(),
        _ => SAVED_FROM.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn search(pairs: &[(&str, &str)]) -> Result<String, Error> {
        let client = Client { user: Some("mover".into()), host: "Pod-1.ns.svc".into() };
        source(&pairs.iter().copied().collect(), &client).map(|source| source.to_string())
    }

    const BOTH: [(&str, &str); 2] = [("KOPIA_OVERRIDE_USERNAME", "app"), ("KOPIA_OVERRIDE_HOSTNAME", "ns")];

    #[test]
    fn the_path_is_where_the_backup_saw_the_data() {
        let with = |name, value| search(&[BOTH[0], BOTH[1], (name, value)]).unwrap();
        assert_eq!(with("DATA_DIR", "/restore/data"), "app@ns:/data");
        for path in ["/elsewhere", "/elsewhere/", "//elsewhere/."] {
            assert_eq!(with("DATA_DIR", path), "app@ns:/elsewhere");
        }
        for path in ["/restore/data/", "/restore//data", "/restore/./data"] {
            assert_eq!(with("DATA_DIR", path), "app@ns:/restore/data");
        }
        for path in [r"C:\Users\me", "c:/Users/./me/"] {
            assert_eq!(with("KOPIA_SOURCE_PATH_OVERRIDE", path), r"app@ns:C:\Users\me");
        }
        assert_eq!(with("KOPIA_SOURCE_PATH_OVERRIDE", "data/"), "app@ns:/data");
        for path in ["/var/lib/app", "/var/lib/app/", "/var//lib/./app", "/var/lib/x/../app"] {
            assert_eq!(with("KOPIA_SOURCE_PATH_OVERRIDE", path), "app@ns:/var/lib/app");
        }
    }

    #[test]
    fn what_is_not_given_comes_from_the_system() {
        assert_eq!(search(&BOTH[..1]).unwrap(), "app@Pod-1.ns.svc:/data");
        assert_eq!(search(&BOTH[1..]).unwrap(), "mover@ns:/data");
        assert_eq!(search(&[]).unwrap(), "mover@pod-1:/data");
        let nameless = Client { user: None, host: "h".into() };
        let half = BOTH[1..].iter().copied().collect();
        assert!(matches!(source(&half, &nameless), Err(Error::NoUserName)));
        let none = Environment::from_iter::<[(&str, &str); 0]>([]);
        assert_eq!(source(&none, &nameless).unwrap().to_string(), "nobody@h:/data");
    }
}

//! Folders of servers that the environment names.

use super::environment::Environment;
use super::error::Error;
use crate::front::location::Location;

/// The folder that a setting of the operator names. `variable` is the one by which its kind was chosen, and `name` what
/// people call it.
#[cfg_attr(not(feature = "webdav"), allow(unused_variables, reason = "all are refused then"))]
pub(super) fn of(
    environment: &Environment,
    variable: &'static str,
    name: &'static str,
) -> Result<Location, Error> {
    match variable {
        #[cfg(feature = "webdav")]
        "WEBDAV_URL" => webdav(environment),
        _ => Err(Error::Backend(name)),
    }
}

#[cfg(feature = "webdav")]
fn webdav(environment: &Environment) -> Result<Location, Error> {
    use crate::blob::remote::Hidden;

    let text = |name: &str| environment.text(name).map(String::from).unwrap_or_default();
    crate::front::location::webdav_at(
        &text("WEBDAV_URL"),
        text("WEBDAV_USERNAME"),
        Hidden::new(text("WEBDAV_PASSWORD")),
        String::new(),
    )
    .map_err(|_| Error::Setting {
        // What is wrong with it may be a password in it.
        name: "WEBDAV_URL",
        value: "…".into(),
        expected: "an address such as https://host:port/folder, without credentials",
    })
}

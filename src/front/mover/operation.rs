//! What is to be done: by `DIRECTION`, else by the argument.

use std::ffi::OsString;
use std::fmt;

use super::environment::Environment;
use super::error::Error;

/// One run of the mover.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation {
    Restore,
    Backup,
    Maintenance,
}

impl Operation {
    /// `DIRECTION` decides over the argument.
    pub(super) fn choose(environment: &Environment, arguments: &[OsString]) -> Result<Self, Error> {
        if let Some(direction) = environment.text("DIRECTION") {
            return match direction.as_ref() {
                "destination" => Ok(Self::Restore),
                "source" => Ok(Self::Backup),
                "maintenance" => Ok(Self::Maintenance),
                other => Err(Error::UnknownOperation(other.to_owned())),
            };
        }
        match arguments {
            [] => Err(Error::NoOperation),
            [argument] => match argument.to_string_lossy().as_ref() {
                "restore" => Ok(Self::Restore),
                "backup" => Ok(Self::Backup),
                "maintenance" => Err(Error::MaintenanceArgument),
                other => Err(Error::UnknownOperation(other.to_owned())),
            },
            [.., last] => Err(Error::UnknownOperation(last.to_string_lossy().into_owned())),
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Restore => "restore",
            Self::Backup => "backup",
            Self::Maintenance => "maintenance",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choose(direction: &str, arguments: &[&str]) -> Result<Operation, Error> {
        let arguments: Vec<OsString> = arguments.iter().map(Into::into).collect();
        Operation::choose(&[("DIRECTION", direction)].into_iter().collect(), &arguments)
    }

    #[test]
    fn the_direction_decides_over_the_argument() {
        assert_eq!(choose("", &["restore"]).unwrap(), Operation::Restore);
        assert_eq!(choose("", &["backup"]).unwrap(), Operation::Backup);
        assert_eq!(choose("destination", &["backup"]).unwrap(), Operation::Restore);
        assert_eq!(choose("source", &[]).unwrap(), Operation::Backup);
        assert_eq!(choose("maintenance", &["foo"]).unwrap(), Operation::Maintenance);
    }

    #[test]
    fn what_is_not_known_is_refused() {
        assert!(matches!(choose("", &[]), Err(Error::NoOperation)));
        assert!(matches!(choose("", &["maintenance"]), Err(Error::MaintenanceArgument)));
        for (direction, arguments) in [("", &["foo"][..]), ("up", &["restore"]), ("", &["restore", "backup"])]
        {
            let error = choose(direction, arguments).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{direction} {arguments:?}");
        }
    }
}

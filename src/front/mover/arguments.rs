//! `KOPIA_ADDITIONAL_ARGS`: flags of `kopia snapshot restore`, and some of ours.

use std::collections::VecDeque;

use super::environment::Environment;
use super::error::Error;

/// What the operator puts between the elements.
const SEPARATOR: &str = "|VOLSYNC_ARG_SEP|";

/// More workers than this are no help to anyone.
const MAX_PARALLEL: usize = 1024;

/// What was asked for beyond the defaults.
#[derive(Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is one independent flag of the command line")]
pub(super) struct Arguments {
    pub(super) parallel: Option<usize>,
    pub(super) owners: bool,
    pub(super) permissions: bool,
    pub(super) times: bool,
    pub(super) sparse: bool,
    /// Otherwise something where a file should be is an error.
    pub(super) overwrite_files: bool,
    /// Files of the right size and about the right time are not looked into.
    pub(super) skip_existing: bool,
    pub(super) delete_extra: bool,
    pub(super) ignore_errors: bool,
    pub(super) flush_files: bool,
    /// Nothing to restore is a failure.
    pub(super) strict: bool,
    /// Choose among what can be read of a damaged repository.
    pub(super) degraded: bool,
}

impl Default for Arguments {
    fn default() -> Self {
        Self {
            parallel: None,
            owners: true,
            permissions: true,
            times: true,
            sparse: true,
            overwrite_files: true,
            skip_existing: false,
            delete_extra: false,
            ignore_errors: false,
            flush_files: false,
            strict: false,
            degraded: false,
        }
    }
}

/// Flags of a restore that change nothing here. Each also as `--no-...`.
const NO_OP_FLAGS: [&str; 2] = ["consistent-attributes", "write-files-atomically"];

/// Flags that cannot be taken back: the engine does so in any case.
const ALWAYS_ON: [&str; 3] = ["ignore-permission-errors", "overwrite-symlinks", "overwrite-directories"];

/// Flags without value with which kopia connects, and which mean nothing to us. Each also as `--no-...`.
const WITHOUT_EFFECT: [&str; 6] = [
    "readonly",
    "enable-actions",
    "check-for-updates",
    "disable-repository-format-cache",
    "flat",
    "progress",
];

/// The same for flags with a value.
const VALUE_WITHOUT_EFFECT: [&str; 16] = [
    "cache-directory",
    "content-cache-size-mb",
    "content-cache-size-limit-mb",
    "metadata-cache-size-mb",
    "metadata-cache-size-limit-mb",
    "max-list-cache-duration",
    "description",
    "max-download-speed",
    "max-upload-speed",
    "owner-uid",
    "owner-gid",
    "file-mode",
    "dir-mode",
    "progress-update-interval",
    "log-level",
    "file-log-level",
];

/// Those with which kopia both connects and makes snapshots.
const FOR_BOTH: [&str; 5] =
    ["description", "progress", "progress-update-interval", "log-level", "file-log-level"];

/// The elements, whole.
fn elements(environment: &Environment) -> Vec<String> {
    let joined = environment.text("KOPIA_ADDITIONAL_ARGS").unwrap_or_default();
    joined.split(SEPARATOR).filter(|element| !element.is_empty()).map(str::to_owned).collect()
}

/// What is passed on to a kopia that writes. It refuses flags that its command does not have.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct PassedOn {
    /// For connecting to a repository, or creating one.
    pub(super) connecting: Vec<String>,
    /// For a snapshot.
    pub(super) saving: Vec<String>,
}

impl PassedOn {
    pub(super) fn of(environment: &Environment) -> Self {
        let mut passed = Self::default();
        let mut elements = elements(environment).into_iter();
        while let Some(element) = elements.next() {
            let name = element.strip_prefix("--").and_then(|flag| flag.split('=').next()).unwrap_or_default();
            let has_value = VALUE_WITHOUT_EFFECT.contains(&name);
            let name = name.strip_prefix("no-").unwrap_or(name);
            let connects = has_value || WITHOUT_EFFECT.contains(&name);
            let saves = !connects || FOR_BOTH.contains(&name);
            let value = if has_value && !element.contains('=') { elements.next() } else { None };
            for part in std::iter::once(element).chain(value) {
                if connects {
                    passed.connecting.push(part.clone());
                }
                if saves {
                    passed.saving.push(part);
                }
            }
        }
        passed
    }
}

/// The part of a short flag that can be shown: the text after its letter may be a password.
fn without_value(element: &str) -> &str {
    match element.char_indices().nth(2) {
        Some((end, _)) if element.starts_with('-') => element.get(..end).unwrap_or_default(),
        _ => element,
    }
}

impl Arguments {
    pub(super) fn of(environment: &Environment) -> Result<Self, Error> {
        let mut arguments = Self::default();
        arguments.read(elements(environment).iter().map(String::as_str).collect())?;
        arguments.strict |= environment.is_true("ROKOPIA_STRICT");
        Ok(arguments)
    }

    /// Takes back what would let the volume differ from the snapshot afterwards: the stock mover restores into a volume that
    /// it has emptied. Returns whether there was any.
    pub(super) fn force_exact_restore(&mut self) -> bool {
        let kept = self.skip_existing || !self.overwrite_files;
        self.skip_existing = false;
        self.overwrite_files = true;
        kept
    }

    fn read(&mut self, mut elements: VecDeque<&str>) -> Result<(), Error> {
        while let Some(element) = elements.pop_front() {
            let Some(flag) = element.strip_prefix("--") else {
                return Err(Error::Argument(without_value(element).into()));
            };
            let (name, inline) = match flag.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (flag, None),
            };
            if self.switch(name, inline)? {
                continue;
            }
            let known =
                VALUE_WITHOUT_EFFECT.contains(&name) || matches!(name, "parallel" | "mode" | "snapshot-time");
            if !known {
                return Err(Error::Argument(format!("--{name}")));
            }
            let value = inline.or_else(|| elements.pop_front()).unwrap_or_default();
            self.value(name, value)?;
        }
        Ok(())
    }

    /// Takes a flag that is on or off; `false` if the name is of another kind.
    fn switch(&mut self, name: &str, inline: Option<&str>) -> Result<bool, Error> {
        let wrong = |value: &str| Error::ArgumentValue { flag: format!("--{name}"), value: value.into() };
        let (name, given) = match name.strip_prefix("no-") {
            Some(name) => (name, false),
            None => (name, true),
        };
        let on = match inline {
            None | Some("true") => given,
            Some("false") => !given,
            Some(_) if VALUE_WITHOUT_EFFECT.contains(&name) => return Ok(false),
            Some(value) => match self.field(name) {
                Some(_) => return Err(wrong(value)),
                None => return Ok(false),
            },
        };
        let inverted = matches!(name, "skip-owners" | "skip-permissions" | "skip-times");
        if let Some(field) = self.field(name) {
            *field = on != inverted;
            return Ok(true);
        }
        let ignored = WITHOUT_EFFECT.contains(&name) || NO_OP_FLAGS.contains(&name);
        Ok(ignored || (on && ALWAYS_ON.contains(&name)))
    }

    fn field(&mut self, name: &str) -> Option<&mut bool> {
        Some(match name {
            "skip-owners" => &mut self.owners,
            "skip-permissions" => &mut self.permissions,
            "skip-times" => &mut self.times,
            "write-sparse-files" => &mut self.sparse,
            "overwrite-files" => &mut self.overwrite_files,
            "skip-existing" => &mut self.skip_existing,
            "delete-extra" => &mut self.delete_extra,
            "ignore-errors" => &mut self.ignore_errors,
            "flush-files" => &mut self.flush_files,
            "rokopia-strict" => &mut self.strict,
            "rokopia-degraded" => &mut self.degraded,
            _ => return None,
        })
    }

    fn value(&mut self, name: &str, value: &str) -> Result<(), Error> {
        let wrong = || Error::ArgumentValue { flag: format!("--{name}"), value: value.into() };
        match name {
            "parallel" => {
                let parallel = value.parse::<usize>().ok().filter(|parallel| *parallel <= MAX_PARALLEL);
                // Kopia decides by itself on 0.
                self.parallel = Some(parallel.ok_or_else(wrong)?).filter(|parallel| *parallel > 0);
            }
            "mode" if !matches!(value, "auto" | "local") => return Err(wrong()),
            // A restore names its snapshot, so that no time is looked for.
            "snapshot-time" if value != "latest" => return Err(wrong()),
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(elements: &[&str]) -> Result<Arguments, Error> {
        let joined = elements.join(SEPARATOR);
        Arguments::of(&[("KOPIA_ADDITIONAL_ARGS", joined.as_str())].into_iter().collect())
    }

    #[test]
    fn flags_that_count() {
        let some =
            parse(&["--parallel=2", "--skip-owners", "--no-write-sparse-files", "--delete-extra"]).unwrap();
        let expected = Arguments {
            parallel: Some(2),
            owners: false,
            sparse: false,
            delete_extra: true,
            ..Arguments::default()
        };
        assert_eq!(some, expected);
        assert_eq!(parse(&["--parallel", "3", "--no-overwrite-files"]).unwrap().parallel, Some(3));
        assert_eq!(parse(&["--parallel=0"]).unwrap(), Arguments::default());
        assert!(!parse(&["--no-overwrite-files"]).unwrap().overwrite_files);
        assert!(parse(&["--no-skip-owners", "--skip-times=false"]).unwrap() == Arguments::default());
        assert!(parse(&["--rokopia-strict"]).unwrap().strict);
    }

    #[test]
    fn flags_without_effect() {
        let mut elements: Vec<String> = WITHOUT_EFFECT.iter().map(|name| format!("--{name}")).collect();
        elements.extend(WITHOUT_EFFECT.iter().map(|name| format!("--no-{name}")));
        elements.extend(VALUE_WITHOUT_EFFECT.iter().map(|name| format!("--{name}=A_|b")));
        elements.extend(["--mode=local".into(), "--ignore-permission-errors".into()]);
        elements
            .extend(VALUE_WITHOUT_EFFECT.iter().flat_map(|name| [format!("--{name}"), "true".to_owned()]));
        let elements: Vec<&str> = elements.iter().map(String::as_str).collect();
        assert_eq!(parse(&elements).unwrap(), Arguments::default());
    }

    #[test]
    fn what_is_passed_on_goes_where_kopia_takes_it() {
        let elements = [
            "--tags=a:b",
            "--max-upload-speed",
            "1000",
            "--description=mine",
            "--no-check-for-updates",
            "--log-level",
            "debug",
            "--force-hash=10",
        ];
        let joined = elements.join(SEPARATOR);
        let passed = PassedOn::of(&[("KOPIA_ADDITIONAL_ARGS", joined.as_str())].into_iter().collect());
        assert_eq!(passed.connecting, elements[1..7]);
        let saving = ["--tags=a:b", "--description=mine", "--log-level", "debug", "--force-hash=10"];
        assert_eq!(passed.saving, saving);
    }

    #[test]
    fn flags_that_cannot_be_honoured_are_named() {
        for (element, named) in [
            ("--exclude=*.tmp", "--exclude"),
            ("--shallow=1", "--shallow"),
            ("--no-ignore-permission-errors", "--no-ignore-permission-errors"),
            ("--no-overwrite-symlinks", "--no-overwrite-symlinks"),
            ("--mode=LOCAL_PATH", "LOCAL_PATH"),
            ("--mode=tar", "tar"),
            ("--snapshot-time=2024", "2024"),
            ("--parallel=-1", "-1"),
            ("--parallel=1025", "1025"),
            ("--parallel=many", "many"),
            ("--parallel", "--parallel"),
            ("--skip-owners=maybe", "maybe"),
            ("-v", "-v"),
            ("path|with_CAPITALS", "path|with_CAPITALS"),
        ] {
            let error = parse(&["--skip-times", element]).unwrap_err().to_string();
            assert!(error.contains(named), "{error}");
        }
        // What was given to an unknown flag may be a secret.
        for element in ["--token=hunter2", "-phunter2", "-p=hunter2"] {
            assert!(!parse(&[element]).unwrap_err().to_string().contains("hunter2"), "{element}");
        }
    }
}

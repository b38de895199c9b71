//! What a user can do about an error, by its code. `docs/errors.md` says more.

/// Lines of help for a code; most need none.
pub(super) fn lines(code: &str) -> &'static [&'static str] {
    match code {
        "no-repository" => &["give it with --repo LOCATION or in ROKOPIA_REPOSITORY or KOPIA_REPOSITORY"],
        "no-password" => &[
            "give it with --password-file FILE, --password-fd N, or in ROKOPIA_PASSWORD, ROKOPIA_PASSWORD_FILE or \
             KOPIA_PASSWORD",
        ],
        "wrong-password" => &[
            "blanks and newlines around the password are ignored, as in Kopia; after a change of password only the new \
             one works",
        ],
        "repository-not-found" => &["check the path; a network file system may not be mounted"],
        "repository-empty" => &["a network file system that is not mounted looks like this"],
        "repository-not-a-directory" => &["give the directory that holds kopia.repository.f"],
        "not-a-repository" => &["give the directory that holds kopia.repository.f"],
        "format-copy-exists" => &[
            "`kopia repository repair` writes the copy back; until then --degraded reads with it (never `exists` and `serve`)",
        ],
        "format-damaged" | "format-invalid" => {
            &["Kopia keeps no second copy in current repositories; look for one in a backup of the storage"]
        }
        "index-damaged" | "index-unreadable" | "index-vanishing" | "index-doubtful" | "manifest-damaged" => {
            &["--degraded goes on with what can be read; lists may then be incomplete"]
        }
        "blob-empty" | "blob-truncated" => &[
            "look for the blob in an older copy of the storage; `rokopia verify` says what is lost without it",
        ],
        "permission-denied" => {
            &["give the user that runs rokopia the right to read it; nothing says that it is damaged"]
        }
        "storage-error" => &["check the mount, the network and the permissions"],
        "upgrade-in-progress" => {
            &["wait until the upgrade is over, or finish it with the client that began it"]
        }
        "memory-budget" => &["give more with --memory SIZE"],
        _ => &[],
    }
}

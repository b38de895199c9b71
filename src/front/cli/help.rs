//! What a user can do about an error, by its code. `docs/errors.md` says more.

/// Lines of help for a code; most need none.
pub(super) fn lines(code: &str) -> &'static [&'static str] {
    match code {
        "no-repository" => &["give it with --repo LOCATION or in ROKOPIA_REPOSITORY or KOPIA_REPOSITORY"],
        "no-password" => {
            &["or give it with --password-file FILE or --password-fd N; a terminal is asked for it"]
        }
        "wrong-password" => &[
            "blanks and newlines around the password are ignored, as in Kopia; after a change of password only the new \
             one works",
        ],
        "repository-not-found" => &["check the path; a network file system may not be mounted"],
        "repository-empty" => &["a network file system that is not mounted looks like this"],
        "repository-not-a-directory" => &["give the directory that holds kopia.repository.f"],
        "not-a-repository" => &[
            "give the directory that holds kopia.repository.f; of a bucket, the prefix that Kopia was given, with a / at its end \
             where it has one",
        ],
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
        "location-invalid" => {
            &["docs/storage.md has the forms of locations; credentials come from the environment"]
        }
        "credentials-missing" => &[
            "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, GOOGLE_APPLICATION_CREDENTIALS, or AZURE_STORAGE_KEY; \
             docs/storage.md has what else is looked for",
        ],
        "credentials-refused" => {
            &["check both halves of the key for blanks and mix-ups; temporary credentials expire"]
        }
        "access-denied" => &[
            "allow listing the bucket and reading its objects: docs/storage.md has the policy with the least rights",
        ],
        "bucket-missing" => &["check the name of the bucket or folder, and the endpoint"],
        "versions-missing" => &["read it as it is now, without --point-in-time and ?at="],
        "region-wrong" => &["give the region of the bucket: ?region="],
        "clock-skewed" => &["set the clock of this machine"],
        "tls-failed" => &[
            "give the certificate of the server or its CA with ?ca=FILE; without TLS, endpoint=http://host:port",
        ],
        "host-key-unknown" => &[
            "compare the key with that of the server (ssh-keyscan -p PORT HOST), then add it to the known hosts",
        ],
        "host-unknown" | "storage-unreachable" => &["check the endpoint, DNS, proxies and network policies"],
        "not-the-storage" | "answer-invalid" => {
            &["check that the endpoint is that of the storage, not of a web page"]
        }
        "listing-uncertain" => {
            &["try again when no backup is being written; if it stays, the server lists unreliably"]
        }
        "repository-unreadable" => &[
            "Kopia makes its files readable for their owner alone: run as that user or as root, or check the mount",
        ],
        "storage-error" => &["check the mount, the network and the permissions"],
        "upgrade-in-progress" => {
            &["wait until the upgrade is over, or finish it with the client that began it"]
        }
        "cancelled" => {
            &["run the same command again to go on: files that are in place are not fetched again"]
        }
        "output-in-repository" => &["give another path: a repository is never written to"],
        "delete-refused" => &["restore without --delete, or say --delete-anywhere as well"],
        "memory-budget" => &["give more with --memory SIZE"],
        _ => &[],
    }
}

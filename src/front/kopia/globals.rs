//! Flags that every command takes. Most steer what a reader does not do, such as keeping logs; they are checked and have
//! no effect.

use super::grammar::{Flag, Kind};

const LEVELS: &[&str] = &["debug", "info", "warning", "error"];

const fn switch(name: &'static str) -> Flag {
    Flag::switch(name)
}

const fn text(name: &'static str) -> Flag {
    Flag::new(name, Kind::Text)
}

const fn int(name: &'static str) -> Flag {
    Flag::new(name, Kind::Int)
}

const fn duration(name: &'static str) -> Flag {
    Flag::new(name, Kind::Duration)
}

const fn on(name: &'static str) -> Flag {
    Flag::new(name, Kind::Switch(true))
}

pub(super) const FLAGS: &[Flag] = &[
    switch("help"),
    switch("help-full"),
    switch("help-long"),
    switch("help-man"),
    switch("version"),
    text("config-file").variable("KOPIA_CONFIG_PATH"),
    text("password").letter('p').variable("KOPIA_PASSWORD"),
    on("persist-credentials").variable("KOPIA_PERSIST_CREDENTIALS_ON_CONNECT"),
    switch("use-keyring").variable("KOPIA_USE_KEYRING"),
    text("timezone"),
    on("auto-maintenance"),
    duration("initial-update-check-delay").variable("KOPIA_INITIAL_UPDATE_CHECK_DELAY"),
    duration("update-check-interval").variable("KOPIA_UPDATE_CHECK_INTERVAL"),
    duration("update-available-notify-interval").variable("KOPIA_UPDATE_NOTIFY_INTERVAL"),
    on("trace-storage"),
    switch("disable-repository-log").variable("KOPIA_DISABLE_REPOSITORY_LOG"),
    text("dangerous-commands").variable("KOPIA_DANGEROUS_COMMANDS"),
    Flag::new("track-releasable", Kind::Texts).variable("KOPIA_TRACK_RELEASABLE"),
    text("upgrade-owner-id").variable("KOPIA_REPO_UPGRADE_OWNER_ID"),
    switch("upgrade-no-block").variable("KOPIA_REPO_UPGRADE_NO_BLOCK"),
    Flag::new("error-notifications", Kind::OneOf(&["always", "never", "non-interactive"]))
        .variable("KOPIA_SEND_ERROR_NOTIFICATIONS"),
    switch("dump-allocator-stats").variable("KOPIA_DUMP_ALLOCATOR_STATS"),
    text("metrics-listen-addr"),
    switch("enable-pprof"),
    text("metrics-push-addr").variable("KOPIA_METRICS_PUSH_ADDR"),
    duration("metrics-push-interval").variable("KOPIA_METRICS_PUSH_INTERVAL"),
    text("metrics-push-job").variable("KOPIA_METRICS_JOB"),
    Flag::new("metrics-push-grouping", Kind::Texts).variable("KOPIA_METRICS_PUSH_GROUPING"),
    text("metrics-push-username").variable("KOPIA_METRICS_PUSH_USERNAME"),
    text("metrics-push-password").variable("KOPIA_METRICS_PUSH_PASSWORD"),
    text("metrics-push-format").variable("KOPIA_METRICS_FORMAT"),
    switch("otlp-trace").variable("KOPIA_ENABLE_OTLP_TRACE"),
    text("diagnostics-output-directory"),
    switch("metrics-store-on-exit"),
    switch("progress"),
    Flag::new("progress-estimation-type", Kind::OneOf(&["classic", "rough", "adaptive"])),
    duration("progress-update-interval"),
    int("adaptive-estimation-threshold"),
    text("log-file"),
    text("content-log-file"),
    switch("disable-file-logging"),
    switch("disable-content-log"),
    text("log-dir").variable("KOPIA_LOG_DIR"),
    int("log-dir-max-files").variable("KOPIA_LOG_DIR_MAX_FILES"),
    duration("log-dir-max-age").variable("KOPIA_LOG_DIR_MAX_AGE"),
    Flag::new("log-dir-max-total-size-mb", Kind::Float).variable("KOPIA_LOG_DIR_MAX_SIZE_MB"),
    int("max-log-file-segment-size").variable("KOPIA_LOG_FILE_MAX_SEGMENT_SIZE"),
    on("wait-for-log-sweep"),
    int("content-log-dir-max-files").variable("KOPIA_CONTENT_LOG_DIR_MAX_FILES"),
    duration("content-log-dir-max-age").variable("KOPIA_CONTENT_LOG_DIR_MAX_AGE"),
    Flag::new("content-log-dir-max-total-size-mb", Kind::Float).variable("KOPIA_CONTENT_LOG_DIR_MAX_SIZE_MB"),
    Flag::new("log-level", Kind::OneOf(LEVELS)),
    switch("json-log-console"),
    switch("json-log-file"),
    Flag::new("file-log-level", Kind::OneOf(LEVELS)),
    switch("file-log-local-tz").variable("KOPIA_FILE_LOG_LOCAL_TZ"),
    switch("force-color").variable("KOPIA_FORCE_COLOR"),
    switch("disable-color").variable("KOPIA_DISABLE_COLOR"),
    switch("console-timestamps").variable("KOPIA_CONSOLE_TIMESTAMPS"),
];

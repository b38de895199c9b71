//! `kopia policy show` for people: what applies to a target, and where that comes from.

use crate::front::kopia::text::{bytes, duration};
use crate::snapshot::{Action, Origins, Policy, PolicyValue, Source};

/// What stands between the columns.
const GAP: &str = "   ";

const NANOS_PER_SECOND: i64 = 1_000_000_000;

struct Row {
    name: String,
    value: String,
    origin: String,
}

/// The policy of a target as text.
pub(super) fn text(target: &Source, policy: &Policy, origins: &Origins) -> String {
    let mut table = Table { target, policy, origins, rows: Vec::new() };
    table.retention();
    table.files();
    table.errors();
    table.scheduling();
    table.uploads();
    table.compression();
    table.splitter();
    table.actions();
    table.operating_system();
    table.logging();
    format!("Policy for {target}:\n\n{}", aligned(&table.rows))
}

fn aligned(rows: &[Row]) -> String {
    let with_value = rows.iter().filter(|row| !row.value.is_empty());
    let width = with_value.map(|row| row.name.len() + GAP.len() + row.value.len()).max().unwrap_or(0);
    let line = |row: &Row| {
        let mut line = row.name.clone();
        if !row.value.is_empty() || !row.origin.is_empty() {
            line.push_str(&" ".repeat(width.saturating_sub(row.name.len() + row.value.len())));
            line.push_str(&row.value);
        }
        if !row.origin.is_empty() {
            line.push_str(GAP);
            line.push_str(&row.origin);
        }
        line
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

struct Table<'a> {
    target: &'a Source,
    policy: &'a Policy,
    origins: &'a Origins,
    rows: Vec<Row>,
}

impl Table<'_> {
    fn heading(&mut self, text: impl Into<String>) {
        self.rows.push(Row { name: text.into(), value: String::new(), origin: String::new() });
    }

    /// A heading with an empty line above it.
    fn section(&mut self, text: &str) {
        self.heading("");
        self.heading(text);
    }

    fn row(&mut self, name: &str, path: &[&str], value: impl Into<String>) {
        let origin = self.origins.of(path);
        let origin = match origin == *self.target {
            true => "(defined for this target)".to_owned(),
            false => format!("inherited from {origin}"),
        };
        self.rows.push(Row { name: name.to_owned(), value: value.into(), origin });
    }

    fn number(&self, path: &[&str]) -> Option<i64> {
        match self.policy.get(path) {
            Some(PolicyValue::Number(number)) => Some(*number),
            _ => None,
        }
    }

    fn name(&self, path: &[&str]) -> &str {
        match self.policy.get(path) {
            Some(PolicyValue::Text(text)) => text,
            _ => "",
        }
    }

    fn texts(&self, path: &[&str]) -> Vec<String> {
        match self.policy.get(path) {
            Some(PolicyValue::Texts(texts)) => texts.clone(),
            _ => Vec::new(),
        }
    }

    fn flag_row(&mut self, name: &str, path: &[&str], unset: bool) {
        let on = match self.policy.get(path) {
            Some(PolicyValue::Flag(on)) => *on,
            _ => unset,
        };
        self.row(name, path, on.to_string());
    }

    fn number_row(&mut self, name: &str, path: &[&str], show: impl Fn(i64) -> String) {
        let shown = self.number(path).map_or_else(|| "-".to_owned(), show);
        self.row(name, path, shown);
    }

    /// A row with a list below it; nothing where the list is empty.
    fn list(&mut self, name: &str, path: &[&str], bullet: &str) -> bool {
        let texts = self.texts(path);
        if texts.is_empty() {
            return false;
        }
        self.row(name, path, "");
        for text in texts {
            self.heading(format!("{bullet}{text}"));
        }
        true
    }

    fn retention(&mut self) {
        self.heading("Retention:");
        for (name, key) in [
            ("Annual", "keepAnnual"),
            ("Monthly", "keepMonthly"),
            ("Weekly", "keepWeekly"),
            ("Daily", "keepDaily"),
            ("Hourly", "keepHourly"),
            ("Latest", "keepLatest"),
        ] {
            self.number_row(&format!("  {name} snapshots:"), &["retention", key], |n| n.to_string());
        }
        self.flag_row("  Ignore identical snapshots:", &["retention", "ignoreIdenticalSnapshots"], false);
    }

    fn files(&mut self) {
        self.section("Files policy:");
        self.flag_row("  Ignore cache directories:", &["files", "ignoreCacheDirs"], true);
        if !self.list("  Ignore rules:", &["files", "ignore"], "    ") {
            self.heading("  No ignore rules:");
        }
        self.list("  Read ignore rules from files:", &["files", "ignoreDotFiles"], "    ");
        let size = &["files", "maxFileSize"];
        if self.number(size).is_some_and(|size| size > 0) {
            self.number_row("  Ignore files above:", size, bytes);
        }
        self.flag_row("  Scan one filesystem only:", &["files", "oneFileSystem"], false);
    }

    fn errors(&mut self) {
        self.section("Error handling policy:");
        self.flag_row("  Ignore file read errors:", &["errorHandling", "ignoreFileErrors"], false);
        self.flag_row("  Ignore directory read errors:", &["errorHandling", "ignoreDirectoryErrors"], false);
        self.flag_row("  Ignore unknown types:", &["errorHandling", "ignoreUnknownTypes"], true);
    }

    fn scheduling(&mut self) {
        self.section("Scheduling policy:");
        self.heading("  Scheduled snapshots:");
        let mut any = false;
        let interval = &["scheduling", "intervalSeconds"];
        if self.number(interval).is_some() {
            let show = |seconds: i64| duration(seconds.saturating_mul(NANOS_PER_SECOND));
            self.number_row("    Snapshot interval:", interval, show);
            any = true;
        }
        let times = &["scheduling", "timeOfDay"];
        if let Some(PolicyValue::Times(of_day)) = self.policy.get(times) {
            self.flag_row("  Run missed snapshots:", &["scheduling", "runMissed"], false);
            self.row("  Snapshot times:", times, "");
            for time in of_day {
                self.heading(format!("    {}:{:02}", time.hour, time.minute));
            }
            any = true;
        }
        any |= self.list("  Crontab expressions:", &["scheduling", "cron"], "    ");
        if !any {
            self.heading("    None.");
        }
        self.flag_row("  Manual snapshot:", &["scheduling", "manual"], false);
    }

    fn uploads(&mut self) {
        self.section("Uploads:");
        let plain = |number: i64| number.to_string();
        self.number_row("  Max parallel snapshots (server/UI):", &["upload", "maxParallelSnapshots"], plain);
        self.number_row("  Max parallel file reads:", &["upload", "maxParallelFileReads"], plain);
        self.number_row("  Parallel upload above size:", &["upload", "parallelUploadAboveSize"], bytes);
    }

    fn compression(&mut self) {
        let compressor = &["compression", "compressorName"];
        match self.name(compressor).to_owned() {
            name if name.is_empty() || name == "none" => self.section("Compression disabled."),
            name => {
                self.section("Compression:");
                self.row("  Compressor:", compressor, name);
                self.compressed_files();
            }
        }
        let compressor = &["metadataCompression", "compressorName"];
        match self.name(compressor).to_owned() {
            name if name.is_empty() || name == "none" => self.section("Metadata compression disabled."),
            name => {
                self.section("Metadata compression:");
                self.row("  Compressor:", compressor, name);
            }
        }
    }

    fn compressed_files(&mut self) {
        let only = "  Only compress files with the following extensions:";
        let all_but = "  Compress all files except the following extensions:";
        if !self.list(only, &["compression", "onlyCompress"], "     - ")
            && !self.list(all_but, &["compression", "neverCompress"], "    ")
        {
            self.heading("  Compress files regardless of extensions.");
        }
        let size = |key| self.number(&["compression", key]).unwrap_or(0);
        let (least, most) = (size("minSize"), size("maxSize"));
        self.heading(match (least, most) {
            (_, 1..) => format!("  Only compress files between {} and {}.", bytes(least), bytes(most)),
            (1.., _) => format!("  Only compress files bigger than {}.", bytes(least)),
            _ => "  Compress files of all sizes.".to_owned(),
        });
    }

    fn splitter(&mut self) {
        self.section("Splitter:");
        let path = &["splitter", "algorithm"];
        let algorithm = self.name(path).to_owned();
        let shown = if algorithm.is_empty() { "(repository default)".to_owned() } else { algorithm };
        self.row("  Algorithm override:", path, shown);
    }

    fn actions(&mut self) {
        self.heading("");
        let mut any = false;
        for (name, key, inherited) in [
            ("Run command before snapshot root:", "beforeSnapshotRoot", true),
            ("Run command after snapshot root:", "afterSnapshotRoot", true),
            ("Run command before this folder:", "beforeFolder", false),
            ("Run command after this folder:", "afterFolder", false),
        ] {
            let path = &["actions", key];
            let Some(PolicyValue::Action(action)) = self.policy.get(path) else { continue };
            match inherited {
                true => self.row(name, path, ""),
                false => {
                    let origin = "(non-inheritable)".to_owned();
                    self.rows.push(Row { name: name.to_owned(), value: String::new(), origin });
                }
            }
            self.action(action);
            any = true;
        }
        if !any {
            self.heading("No actions defined.");
        }
    }

    fn action(&mut self, action: &Action) {
        if action.script.is_empty() {
            self.heading("  Command:");
            self.heading(format!("    {} {}", action.command, action.arguments.join(" ")));
        } else {
            self.heading("  Embedded script (stored in repository):");
            let lines: Vec<String> = action.script.lines().map(|line| format!("    {line}")).collect();
            self.heading(lines.join("\n"));
        }
        let mode = if action.mode.is_empty() { "sync" } else { &action.mode };
        let timeout = duration(action.timeout_seconds.saturating_mul(NANOS_PER_SECOND));
        for (name, value) in [("  Mode:", mode.to_owned()), ("  Timeout:", timeout)] {
            self.rows.push(Row { name: name.to_owned(), value, origin: String::new() });
        }
        self.heading("");
    }

    fn operating_system(&mut self) {
        self.section("OS-level snapshot support:");
        let path = &["osSnapshots", "volumeShadowCopy", "enable"];
        let mode = match self.number(path) {
            Some(1) => "always",
            Some(2) => "when-available",
            _ => "never",
        };
        self.row("  Volume Shadow Copy:", path, mode);
    }

    fn logging(&mut self) {
        self.section("Logging details (0-none, 10-maximum):");
        for (name, path) in [
            ("  Directory snapshotted:", ["logging", "directories", "snapshotted"]),
            ("  Directory ignored:", ["logging", "directories", "ignored"]),
            ("  Entry snapshotted:", ["logging", "entries", "snapshotted"]),
            ("  Entry ignored:", ["logging", "entries", "ignored"]),
            ("  Entry cache hit:", ["logging", "entries", "cacheHit"]),
            ("  Entry cache miss:", ["logging", "entries", "cacheMiss"]),
        ] {
            let level = self.number(&path).unwrap_or(0);
            self.row(name, &path, level.to_string());
        }
    }
}

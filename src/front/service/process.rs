//! What the process itself takes, under the names that all exporters of Prometheus use.

use std::fs;

use nix::sys::resource::{Resource, getrlimit};
use nix::unistd::{SysconfVar, sysconf};

/// Figures of this process. What the kernel does not tell is left out.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Process {
    pub(super) cpu_seconds: Option<f64>,
    pub(super) resident_bytes: Option<u64>,
    pub(super) virtual_bytes: Option<u64>,
    /// In Unix time.
    pub(super) start_seconds: Option<f64>,
    pub(super) open_fds: Option<u64>,
    pub(super) max_fds: Option<u64>,
}

impl Process {
    pub(super) fn now() -> Self {
        let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
        let boot = fs::read_to_string("/proc/stat").ok().and_then(|text| {
            text.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse::<f64>().ok()
        });
        let configured = |what| sysconf(what).ok().flatten().and_then(|value| u64::try_from(value).ok());
        Self {
            // One of them is the directory that is being read.
            open_fds: fs::read_dir("/proc/self/fd").ok().map(|fds| (fds.count() as u64).saturating_sub(1)),
            max_fds: getrlimit(Resource::RLIMIT_NOFILE).ok().map(|(soft, _)| soft),
            ..Self::parse(&stat, configured(SysconfVar::CLK_TCK), configured(SysconfVar::PAGE_SIZE), boot)
        }
    }

    /// Reads `/proc/PID/stat`, whose times are in ticks and whose start counts from boot.
    fn parse(stat: &str, ticks: Option<u64>, page: Option<u64>, boot: Option<f64>) -> Self {
        // The name of the program may have blanks and parentheses in it.
        let fields: Vec<u64> = stat
            .rsplit_once(')')
            .map(|(_, rest)| rest.split_ascii_whitespace().map(|field| field.parse().unwrap_or(0)).collect())
            .unwrap_or_default();
        // Fields are counted from 1 in proc(5), and the state, the first behind the name, is field 3.
        let field = |number: usize| fields.get(number - 3).copied();
        let seconds = |count: u64| ticks.filter(|ticks| *ticks > 0).map(|ticks| count as f64 / ticks as f64);
        Self {
            cpu_seconds: field(14).zip(field(15)).and_then(|(user, system)| seconds(user + system)),
            start_seconds: field(22).and_then(seconds).zip(boot).map(|(since_boot, boot)| boot + since_boot),
            virtual_bytes: field(23),
            resident_bytes: field(24).zip(page).map(|(pages, page)| pages * page),
            ..Self::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_is_understood() {
        let stat =
            "7 (a) b) S 1 7 7 0 -1 4194560 9 0 0 0 150 50 0 0 20 0 9 0 300 4096 2 18446744073709551615";
        let process = Process::parse(stat, Some(100), Some(4096), Some(1000.0));
        let expected = Process {
            cpu_seconds: Some(2.0),
            resident_bytes: Some(8192),
            virtual_bytes: Some(4096),
            start_seconds: Some(1003.0),
            ..Process::default()
        };
        assert_eq!(process, expected);
        assert_eq!(Process::parse("", Some(100), Some(4096), None), Process::default());
    }

    #[test]
    fn this_process_has_figures() {
        let process = Process::now();
        assert!(process.resident_bytes > Some(1 << 20) && process.open_fds > Some(2));
        assert!(process.start_seconds > Some(1.7e9) && process.max_fds > process.open_fds);
    }
}

//! How much memory a restore may take.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::Budget;

/// The share of the container's limit that is budgeted; the rest is for code, stacks and what allocators keep.
const SHARE_PERCENT: u64 = 60;

/// The default, as more does not make a restore faster, or the share of the control group's limit.
pub(super) fn budget() -> Budget {
    static BUDGET: OnceLock<Budget> = OnceLock::new();
    *BUDGET.get_or_init(|| {
        let own = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        within(limit(Path::new("/sys/fs/cgroup"), &own))
    })
}

fn within(limit: Option<u64>) -> Budget {
    let enough = Budget::default();
    limit.map_or(enough, |limit| Budget::new((limit / 100).saturating_mul(SHARE_PERCENT).min(enough.bytes())))
}

/// The lowest limit on the way from the process's group to the root. In a container the group is usually the root itself.
fn limit(mounted: &Path, own: &str) -> Option<u64> {
    let mut files: Vec<PathBuf> =
        vec![mounted.join("memory.max"), mounted.join("memory/memory.limit_in_bytes")];
    for line in own.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (fields.next(), fields.next()) else { continue };
        let (base, file) = match controllers {
            "" => (mounted.to_owned(), "memory.max"),
            _ if controllers.split(',').any(|name| name == "memory") => {
                (mounted.join("memory"), "memory.limit_in_bytes")
            }
            _ => continue,
        };
        let groups = Path::new(path.trim_start_matches('/')).ancestors();
        files.extend(groups.map(|group| base.join(group).join(file)));
    }
    let read = |file: &PathBuf| std::fs::read_to_string(file).ok()?.trim().parse::<u64>().ok();
    files.iter().filter_map(read).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_limit_counts() {
        let dir = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        assert_eq!(limit(dir.path(), "0::/pod/app\n"), None);
        write("pod/app/memory.max", "max\n");
        assert_eq!(limit(dir.path(), "0::/pod/app\n"), None);
        write("pod/memory.max", "268435456\n");
        assert_eq!(limit(dir.path(), "0::/pod/app\n"), Some(256 << 20));
        write("memory/old/memory.limit_in_bytes", "134217728\n");
        assert_eq!(limit(dir.path(), "3:cpu,memory:/old\n1:name=x:/pod\n"), Some(128 << 20));
        write("memory.max", "67108864");
        assert_eq!(limit(dir.path(), ""), Some(64 << 20));
    }

    #[test]
    fn the_budget_is_a_share_of_the_limit() {
        assert_eq!(within(None), Budget::default());
        assert_eq!(within(Some(100 << 20)), Budget::new(60 << 20));
        assert_eq!(within(Some(64 << 30)), Budget::default());
        assert_eq!(within(Some(1)), Budget::new(Budget::LEAST));
    }
}

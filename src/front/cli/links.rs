//! Symbolic links of a snapshot, followed inside it.

use std::collections::VecDeque;

use super::failure::{Exit, Failure};
use super::tree::from;
use crate::snapshot::{DirEntry, EntryType, Tree};

/// Links followed on one way, as in Linux.
const MAX_LINKS: usize = 40;

/// The entry that a path leads to, and where it is, with every link on the way followed. `top` is the path of the tree's
/// root on the machine that was backed up: absolute targets below it are inside.
pub(super) fn resolve(tree: &Tree<'_>, path: &str, top: &str) -> Result<(String, DirEntry), Failure> {
    let mut links = 0;
    let mut at: Vec<String> = Vec::new();
    let mut entry = tree.root().clone();
    let mut rest: VecDeque<String> = parts(path).collect();
    while let Some(part) = rest.pop_front() {
        if part == ".." {
            if at.pop().is_none() {
                return Err(outside(path));
            }
            entry = tree.entry(&at.join("/")).map_err(from)?;
            continue;
        }
        at.push(part);
        let here = at.join("/");
        entry = tree.entry(&here).map_err(from)?;
        if entry.kind != EntryType::Symlink {
            continue;
        }
        links += 1;
        if links > MAX_LINKS {
            let what = format!("{path:?} leads through more than {MAX_LINKS} symbolic links");
            return Err(Failure::new(Exit::Negative, "link-loop", what).path(path));
        }
        let target = tree.link_target(&entry, &here).map_err(from)?;
        let target = String::from_utf8_lossy(&target).into_owned();
        at.pop();
        let inside = match target.starts_with('/') {
            true => {
                at.clear();
                below(&target, top).ok_or_else(|| outside(path))?
            }
            false => target.as_str(),
        };
        for part in parts(inside).rev() {
            rest.push_front(part);
        }
    }
    Ok((at.join("/"), entry))
}

fn outside(path: &str) -> Failure {
    let what = format!("{path:?} leads through a symbolic link out of the snapshot");
    Failure::new(Exit::Negative, "link-outside", what).path(path)
}

fn parts(path: &str) -> impl DoubleEndedIterator<Item = String> {
    path.split('/').filter(|part| !matches!(*part, "" | ".")).map(str::to_owned)
}

/// The part of an absolute path below a directory.
fn below<'t>(path: &'t str, top: &str) -> Option<&'t str> {
    let rest = path.strip_prefix(top.trim_end_matches('/'))?;
    (rest.is_empty() || rest.starts_with('/')).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absolute_targets_are_inside_below_the_source_alone() {
        assert_eq!(below("/srv/data/x", "/srv/data"), Some("/x"));
        assert_eq!(below("/srv/data/x", "/srv/data/"), Some("/x"));
        assert_eq!(below("/etc/hosts", "/"), Some("/etc/hosts"));
        assert_eq!((below("/srv/database", "/srv/data"), below("/etc", "/srv")), (None, None));
    }
}

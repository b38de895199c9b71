//! Other owners than those of the snapshot.

use std::collections::BTreeMap;

/// Which user and group takes the place of which: a volume whose application runs as another user than it did when it was
/// backed up. What is not named keeps its ID.
///
/// ```
/// use rokopia::restore::OwnerMap;
///
/// let map = OwnerMap::new().user(1000, 568).group(1000, 568);
/// assert_eq!(map.map((1000, 1000)), (568, 568));
/// assert_eq!(map.map((0, 1000)), (0, 568));
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OwnerMap {
    users: Ids,
    groups: Ids,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Ids {
    named: BTreeMap<u32, u32>,
    others: Option<u32>,
}

impl Ids {
    fn map(&self, id: u32) -> u32 {
        self.named.get(&id).copied().or(self.others).unwrap_or(id)
    }
}

impl OwnerMap {
    /// A map that changes nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Gives what belongs to user `from` to user `to`.
    #[must_use]
    pub fn user(mut self, from: u32, to: u32) -> Self {
        self.users.named.insert(from, to);
        self
    }

    /// Gives what belongs to group `from` to group `to`.
    #[must_use]
    pub fn group(mut self, from: u32, to: u32) -> Self {
        self.groups.named.insert(from, to);
        self
    }

    /// Gives what belongs to all users that are not named to user `to`.
    #[must_use]
    pub fn other_users(mut self, to: u32) -> Self {
        self.users.others = Some(to);
        self
    }

    /// Gives what belongs to all groups that are not named to group `to`.
    #[must_use]
    pub fn other_groups(mut self, to: u32) -> Self {
        self.groups.others = Some(to);
        self
    }

    /// The user and group that take the place of these.
    pub fn map(&self, (user, group): (u32, u32)) -> (u32, u32) {
        (self.users.map(user), self.groups.map(group))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_named_id_goes_before_all_others() {
        let map = OwnerMap::new().user(0, 0).other_users(568).other_groups(100);
        assert_eq!(map.map((0, 0)), (0, 100));
        assert_eq!(map.map((1000, 1000)), (568, 100));
    }
}

//! Names of users and groups.
//!
//! The system's own look-up loads libraries, which a static binary cannot: its databases are read here.

/// The name of a user by the user database of the system; often there is none in a container.
#[cfg(any(feature = "kopia-front", feature = "mover"))]
pub(crate) fn name_of(uid: u32) -> Option<String> {
    name_in(&std::fs::read_to_string("/etc/passwd").unwrap_or_default(), uid)
}

/// The number of a user by name.
pub(crate) fn user_named(name: &str) -> Option<u32> {
    id_in(&std::fs::read_to_string("/etc/passwd").unwrap_or_default(), name)
}

/// The number of a group by name.
pub(crate) fn group_named(name: &str) -> Option<u32> {
    id_in(&std::fs::read_to_string("/etc/group").unwrap_or_default(), name)
}

/// Both databases have name, password and number first.
fn id_in(database: &str, name: &str) -> Option<u32> {
    database.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next()? == name).then(|| fields.nth(1)?.parse().ok())?
    })
}

#[cfg(any(feature = "kopia-front", feature = "mover"))]
fn name_in(database: &str, uid: u32) -> Option<String> {
    let uid = uid.to_string();
    database.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == uid).then(|| name.to_owned())
    })
}

#[cfg(all(test, any(feature = "kopia-front", feature = "mover")))]
mod tests {
    use super::*;

    #[test]
    fn users_by_number() {
        let database = "root:x:0:0:root:/root:/bin/sh\n\nodd\nmover:x:1234:5678::/:\n";
        assert_eq!(name_in(database, 1234).as_deref(), Some("mover"));
        assert_eq!(name_in(database, 5678), None);
        assert_eq!(name_in("", 0), None);
    }

    #[test]
    fn users_and_groups_by_name() {
        let database = "root:x:0:0:root:/root:/bin/sh\n\nodd\nbroken:x:many:\nmover:x:1234:5678::/:\n";
        assert_eq!(id_in(database, "mover"), Some(1234));
        assert_eq!([id_in(database, "odd"), id_in(database, "broken"), id_in(database, "move")], [None; 3]);
    }
}

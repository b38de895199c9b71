//! Names of users.

/// The name of a user by the user database of the system; often there is none in a container.
///
/// The system's own look-up loads libraries, which a static binary cannot.
pub(crate) fn name_of(uid: u32) -> Option<String> {
    name_in(&std::fs::read_to_string("/etc/passwd").unwrap_or_default(), uid)
}

fn name_in(database: &str, uid: u32) -> Option<String> {
    let uid = uid.to_string();
    database.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == uid).then(|| name.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_by_number() {
        let database = "root:x:0:0:root:/root:/bin/sh\n\nodd\nmover:x:1234:5678::/:\n";
        assert_eq!(name_in(database, 1234).as_deref(), Some("mover"));
        assert_eq!(name_in(database, 5678), None);
        assert_eq!(name_in("", 0), None);
    }
}

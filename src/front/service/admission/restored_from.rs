//! Which object a claim is restored from.

use std::str::FromStr;

const PVC: &str = "{pvc}";

/// Group, kind and name of the object that fills a claim, for example
/// `volsync.backube/ReplicationDestination/{pvc}-backup`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestoredFrom {
    group: String,
    kind: String,
    name: String,
}

/// Text that is not such a template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} must look like volsync.backube/ReplicationDestination/{{pvc}}-backup")]
pub struct InvalidRestoredFrom(String);

impl FromStr for RestoredFrom {
    type Err = InvalidRestoredFrom;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parts: Vec<&str> = text.split('/').collect();
        match parts.as_slice() {
            // With one name for all claims, each would be filled with the data of one.
            [group, kind, name] if !group.is_empty() && !kind.is_empty() && name.contains(PVC) => {
                Ok(Self { group: (*group).into(), kind: (*kind).into(), name: (*name).into() })
            }
            _ => Err(InvalidRestoredFrom(text.chars().take(300).collect())),
        }
    }
}

impl Default for RestoredFrom {
    fn default() -> Self {
        Self {
            group: "volsync.backube".to_owned(),
            kind: "ReplicationDestination".to_owned(),
            name: format!("{PVC}-backup"),
        }
    }
}

impl RestoredFrom {
    /// The API group.
    pub fn group(&self) -> &str {
        &self.group
    }

    /// The kind.
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// The name of the object for a claim.
    pub fn name(&self, claim: &str) -> String {
        self.name.replace(PVC, claim)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_names_group_kind_and_an_object_for_each_claim() {
        let from: RestoredFrom = "volsync.backube/ReplicationDestination/{pvc}-dst".parse().unwrap();
        assert_eq!((from.group(), from.kind()), ("volsync.backube", "ReplicationDestination"));
        assert_eq!(from.name("web"), "web-dst");
        assert_eq!(
            "volsync.backube/ReplicationDestination/{pvc}-backup".parse(),
            Ok(RestoredFrom::default())
        );
        for bad in ["", "a/b", "a/b/all", "a//{pvc}", "/b/{pvc}", "a/b/{pvc}/c"] {
            assert!(bad.parse::<RestoredFrom>().is_err(), "{bad}");
        }
    }
}

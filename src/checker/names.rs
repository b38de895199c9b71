//! From a volume claim to the sources that its backups may have.

use std::fmt;
use std::str::FromStr;

use crate::snapshot::{AskedSource, Source};

/// Longest name of an object in Kubernetes.
const MAX_NAME: usize = 253;

/// VolSync cuts user names after this many bytes.
const MOVER_USER: usize = 50;

/// What VolSync takes where nothing is left of a name.
const MOVER_DEFAULT: &str = "volsync-default";

const NAMESPACE: &str = "{namespace}";
const PVC: &str = "{pvc}";

/// The claim that is asked for. Both parts are names that Kubernetes allows.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Question {
    namespace: String,
    pvc: String,
}

/// A name that no object in Kubernetes can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a name that Kubernetes allows")]
pub struct InvalidName;

/// How namespace and claim become a source, for example `{pvc}-backup@{namespace}:/data`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    user: String,
    host: String,
    path: String,
}

/// Text that is not a template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a source template: {reason}")]
pub struct InvalidTemplate {
    text: String,
    reason: &'static str,
}

/// The sources under which a claim may be found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidates {
    /// The source that the template spells.
    pub asked: AskedSource,
    /// All that `asked` may mean and, as `kopia snapshot list` does, the same with each parent of its path.
    pub exact: Vec<Source>,
    /// The same under every name that VolSync's mover may have made of it.
    pub altered: Vec<Source>,
}

impl Question {
    /// Asks for a claim.
    ///
    /// # Errors
    /// When either is no DNS-1123 name: such a claim cannot exist, and the caller has asked for something else.
    pub fn new(namespace: &str, pvc: &str) -> Result<Self, InvalidName> {
        if is_dns_name(namespace) && is_dns_name(pvc) {
            Ok(Self { namespace: namespace.to_owned(), pvc: pvc.to_owned() })
        } else {
            Err(InvalidName)
        }
    }

    /// The namespace.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The claim.
    pub fn pvc(&self) -> &str {
        &self.pvc
    }
}

/// Lower-case letters, digits, `-` and `.`; every label between dots begins and ends with a letter or digit.
fn is_dns_name(name: &str) -> bool {
    let alphanumeric = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let label = |label: &[u8]| {
        label.first().is_some_and(alphanumeric)
            && label.last().is_some_and(alphanumeric)
            && label.iter().all(|b| alphanumeric(b) || *b == b'-')
    };
    name.len() <= MAX_NAME && name.as_bytes().split(|b| *b == b'.').all(label)
}

impl Default for Template {
    /// `{pvc}-backup@{namespace}:/data`
    fn default() -> Self {
        Self { user: format!("{PVC}-backup"), host: NAMESPACE.to_owned(), path: "/data".to_owned() }
    }
}

impl FromStr for Template {
    type Err = InvalidTemplate;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = |reason| InvalidTemplate { text: text.chars().take(300).collect(), reason };
        let shape = || invalid("it must look like {pvc}-backup@{namespace}:/data");
        let (user, rest) = text.split_once('@').ok_or_else(shape)?;
        let (host, path) = rest.split_once(':').ok_or_else(shape)?;
        if user.is_empty() || user.contains(':') || host.is_empty() || !path.starts_with('/') {
            return Err(shape());
        }
        for (placeholder, reason) in [(PVC, "{pvc} is missing"), (NAMESPACE, "{namespace} is missing")] {
            if !text.contains(placeholder) {
                return Err(invalid(reason));
            }
        }
        let rest = text.replace(PVC, "").replace(NAMESPACE, "");
        if rest.contains(['{', '}']) {
            return Err(invalid("the only placeholders are {pvc} and {namespace}"));
        }
        Ok(Self { user: user.to_owned(), host: host.to_owned(), path: path.to_owned() })
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}:{}", self.user, self.host, self.path)
    }
}

impl Template {
    /// The sources to look up for a claim.
    pub fn candidates(&self, question: &Question) -> Candidates {
        let fill = |text: &str| text.replace(PVC, &question.pvc).replace(NAMESPACE, &question.namespace);
        let asked = Source::new(fill(&self.user), fill(&self.host), fill(&self.path));
        Candidates::of(asked.into())
    }
}

impl Candidates {
    /// The sources to look up for a source that was named outright.
    pub fn of(asked: AskedSource) -> Self {
        let exact = asked.with_parents();
        let mut altered: Vec<Source> = Vec::new();
        for source in &exact {
            for user in mover_users(&source.user) {
                for host in mover_hosts(&source.host) {
                    let other = Source::new(user.clone(), host, source.path.clone());
                    if !exact.contains(&other) && !altered.contains(&other) {
                        altered.push(other);
                    }
                }
            }
        }
        Self { asked, exact, altered }
    }
}

/// The user names that VolSync may have made of an object's name: kept, without the characters it drops, trimmed, and cut
/// before or after trimming.
fn mover_users(name: &str) -> Vec<String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    let ends = ['-', '_'];
    let kept: String = name.chars().filter(|c| allowed(*c)).collect();
    let trimmed = kept.trim_matches(ends);
    let cut = |text: &str| text.get(..MOVER_USER).unwrap_or(text).to_owned();
    let mut users = vec![name.to_owned(), cut(trimmed), trimmed.to_owned()];
    users.push(cut(trimmed).trim_matches(ends).to_owned());
    users.push(cut(&kept).trim_matches(ends).to_owned());
    or_default(users)
}

/// The host names that VolSync may have made of a namespace.
fn mover_hosts(namespace: &str) -> Vec<String> {
    let replaced = namespace.replace('_', "-");
    let kept: String =
        replaced.chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-')).collect();
    let trimmed = kept.trim_matches(['-', '.']).to_owned();
    or_default(vec![namespace.to_owned(), kept, trimmed])
}

fn or_default(mut names: Vec<String>) -> Vec<String> {
    for name in &mut names {
        if name.is_empty() {
            *name = MOVER_DEFAULT.to_owned();
        }
    }
    names.sort();
    names.dedup();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fn altered(namespace: &str, pvc: &str) -> Vec<String> {
        let candidates = Template::default().candidates(&Question::new(namespace, pvc).unwrap());
        candidates.altered.iter().map(Source::to_string).collect()
    }

    #[test]
    fn names_that_kubernetes_allows() {
        for good in ["a", "web", "web-0", "a.b", "0", "a.b-c.d", &"x".repeat(253)] {
            assert!(Question::new("media", good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "-",
            "a-",
            "-a",
            "a_b",
            "A",
            "a..b",
            ".a",
            "a.",
            "a@b",
            "a:b",
            "a/b",
            "--help",
            "é",
            "*",
            "a\0",
            &"x".repeat(254),
        ] {
            assert!(Question::new("media", bad).is_err() && Question::new(bad, "web").is_err(), "{bad}");
        }
    }

    #[test]
    fn the_path_is_walked_up() {
        let candidates = Template::default().candidates(&Question::new("media", "web").unwrap());
        let exact: Vec<String> = candidates.exact.iter().map(Source::to_string).collect();
        assert_eq!(exact, ["web-backup@media:/data", "web-backup@media:/"]);
        assert!(candidates.altered.is_empty());
    }

    #[test]
    fn what_the_mover_makes_of_a_name() {
        assert_eq!(altered("media", "a.b"), ["ab-backup@media:/data", "ab-backup@media:/"]);
        let long = "z".repeat(44);
        assert_eq!(altered("mon", &long)[0], format!("{long}-backu@mon:/data"));
        // 49 characters: the cut leaves a dash at the end, which one order of the steps keeps and another drops.
        let long = "z".repeat(49);
        let forms = altered("mon", &long);
        assert!(
            forms.contains(&format!("{long}-@mon:/data")) && forms.contains(&format!("{long}@mon:/data"))
        );
        let long = "z".repeat(60);
        assert!(altered("mon", &long).contains(&format!("{}@mon:/data", "z".repeat(50))));
        assert_eq!(mover_users("-_app-backup_-")[1], "app-backup");
        assert!(mover_users("@#$%").contains(&"volsync-default".to_owned()));
        assert!(mover_hosts("test_namespace").contains(&"test-namespace".to_owned()));
        assert!(mover_hosts("---hostname---").contains(&"hostname".to_owned()));
    }

    #[test]
    fn templates() {
        let template: Template = "{pvc}@{namespace}:/data".parse().unwrap();
        let asked = template.candidates(&Question::new("media", "plain").unwrap()).asked;
        assert_eq!(asked.to_string(), "plain@media:/data");
        assert_eq!(Template::default().to_string(), "{pvc}-backup@{namespace}:/data");
        assert_eq!(Template::default(), Template::default().to_string().parse().unwrap());
        for bad in [
            "",
            "web",
            "{pvc}@{namespace}",
            "{pvc}:/data@{namespace}",
            "{pvc}@x:/data",
            "x@{namespace}:/data",
            "{pvc}@{namespace}:data",
            "{pvc}@{ns}:/{namespace}",
            "@{namespace}:/{pvc}",
        ] {
            assert!(bad.parse::<Template>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_claim_cannot_smuggle_a_placeholder() {
        let template: Template = "{pvc}@{namespace}:/data".parse().unwrap();
        assert!(Question::new("{pvc}", "x").is_err());
        assert_eq!(template.candidates(&Question::new("n", "p").unwrap()).exact[0].user, "p");
    }
}

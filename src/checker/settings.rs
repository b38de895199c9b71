//! How the checker decides.

use std::time::Duration;

use super::answer::Doubtful;
use super::names::Template;

/// How the checker decides, and when it reads.
#[derive(Debug, Clone)]
#[cfg_attr(not(feature = "testkit"), non_exhaustive)]
pub struct Settings {
    /// How a claim becomes a source.
    pub template: Template,
    /// Maximum age of the view for a *yes*.
    pub positive_max_age: Duration,
    /// Maximum age of the view for a *no*; zero means that reading must have begun after the question was asked.
    pub negative_max_age: Duration,
    /// How often to refresh without being asked; `None` for never.
    pub refresh_interval: Option<Duration>,
    /// A refresh that takes longer is abandoned, and another one is started.
    pub storage_timeout: Duration,
    /// How often to read packs that no index names, which a *no* requires; `None` for never.
    pub scan_interval: Option<Duration>,
    /// The unique ID in hex that the repository must have. Without it, the first repository that is seen is accepted.
    pub expected_id: Option<String>,
    /// If the repository has fewer sources than this, the answer is never *no*.
    pub min_sources: usize,
    /// The answer if there is a backup only under a name that VolSync may have derived from the claim's.
    pub altered_names: Doubtful,
    /// The answer if all snapshots of the claim are incomplete.
    pub incomplete: Doubtful,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            template: Template::default(),
            positive_max_age: Duration::from_secs(60),
            negative_max_age: Duration::ZERO,
            refresh_interval: Some(Duration::from_secs(90)),
            storage_timeout: Duration::from_secs(120),
            scan_interval: Some(Duration::from_secs(900)),
            expected_id: None,
            min_sources: 0,
            altered_names: Doubtful::Unknown,
            incomplete: Doubtful::Exists,
        }
    }
}

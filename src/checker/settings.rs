//! How the checker decides.

use std::time::Duration;

use super::answer::Doubtful;
use super::names::Template;

/// How the checker decides, and when it reads.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How a claim becomes a source.
    pub template: Template,
    /// A *yes* may rest on a view of this age.
    pub positive_max_age: Duration,
    /// A *no* may rest on a view of this age; zero means that reading must have begun after the question was asked.
    pub negative_max_age: Duration,
    /// How often to refresh without being asked; `None` for never.
    pub refresh_interval: Option<Duration>,
    /// A refresh that takes longer is given up, and another begun beside it.
    pub storage_timeout: Duration,
    /// How often to look into packs that no index names, before a *no* is said; `None` for never.
    pub scan_interval: Option<Duration>,
    /// The unique ID in hex that the repository must have. Without it, that of the first one seen.
    pub expected_id: Option<String>,
    /// With fewer sources than this, nothing is absent.
    pub min_sources: usize,
    /// What a claim is that was found only under a name that VolSync may have made of it.
    pub altered_names: Doubtful,
    /// What a claim is that has incomplete snapshots only.
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

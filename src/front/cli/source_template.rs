//! How commands find the source of a claim.

use crate::checker::Template;

#[derive(Debug, Clone, clap::Args)]
pub(super) struct SourceTemplate {
    /// How a claim becomes a source
    #[arg(
        long,
        env = "ROKOPIA_SOURCE_TEMPLATE",
        default_value = "{pvc}-backup@{namespace}:/data",
        value_name = "TEMPLATE"
    )]
    source_template: String,
}

impl SourceTemplate {
    /// The template, or what is wrong with it.
    pub(super) fn parse(&self) -> Result<Template, String> {
        self.source_template.parse().map_err(|e: <Template as std::str::FromStr>::Err| e.to_string())
    }
}

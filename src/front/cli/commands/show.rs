//! `rokopia show`: what is in an object, content or manifest.

use super::cat::copy;
use crate::Error;
use crate::content::ContentSource;
use crate::front::cli::context::Context;
use crate::front::cli::failure::{Exit, Failure};
use crate::front::cli::open_repository::OpenRepository;
use crate::front::cli::output::Output;
use crate::manifest::ManifestId;
use crate::object::{ObjectId, Reader};

/// Write an object, a content or a manifest to standard output, unchanged
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  rokopia show k733b64746cdbd1aa9b093d595dba9bae | jq .     a directory
  rokopia show 3ef20a5b1fdc91402eb5323d0812f68a | jq .      a manifest")]
pub(in crate::front::cli) struct Args {
    /// ID of an object, content or manifest
    #[arg(value_name = "OBJECT")]
    id: String,
}

impl Args {
    pub(in crate::front::cli) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let mut repo = OpenRepository::open(context)?;
        if let Some(manifest) = repo.catalog.manifests().get(&ManifestId::new(&self.id)) {
            let mut out = Output::new();
            out.bytes(manifest.data())?;
            out.line("")?;
            out.finish()?;
            return Ok(Exit::Done);
        }
        let Ok(object) = self.id.parse::<ObjectId>() else { return Err(repo.no_such_object(&self.id)?) };
        let contents = repo.contents()?;
        if contents.original_length(object.content()).map_err(Error::from)?.is_none() {
            return Err(repo.no_such_object(&self.id)?);
        }
        copy(Reader::new(&contents, &object))?;
        Ok(Exit::Done)
    }
}

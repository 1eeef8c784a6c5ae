//! Which server a command is about: that of a context, over HTTPS, or the files of this machine.

use std::path::{Path, PathBuf};

use clap::Args;

use super::{
    CliError, ConfigArgs,
    api::Api,
    context::{ContextError, Contexts},
};
use crate::config::Config;

/// The configuration that is taken where it is there and nothing is said.
const USUAL_CONFIG: &str = "keystead.toml";

/// Which server a command is about.
#[derive(Clone, Debug, Default, Args)]
pub(super) struct Where {
    /// Work on the files of this machine that this configuration names, beside a running server
    #[arg(long, value_name = "FILE", conflicts_with = "context")]
    config: Option<PathBuf>,
    /// Speak to the server of this context; without it to that chosen with `keystead context use`
    #[arg(long, value_name = "NAME")]
    context: Option<String>,
}

impl Where {
    /// The admin API, of a server or on the files of this machine.
    pub(super) fn api(&self) -> Result<Api, CliError> {
        self.there()?.map_or_else(|| Api::on(self.load()?), Ok)
    }

    /// The admin API of a server, for what only one that runs can do.
    pub(super) fn server(&self) -> Result<Api, CliError> {
        Ok(self.there()?.ok_or(ContextError::NeedsServer)?)
    }

    /// The admin API to speak to: of the context that `--context` names, or of the current one; `None` where the command is about
    /// the files of this machine, as `--config` says, or `keystead.toml` in this directory where no context is chosen.
    pub(super) fn there(&self) -> Result<Option<Api>, CliError> {
        if self.config.is_some() {
            return Ok(None);
        }
        let contexts = Contexts::load()?;
        match self.context.as_deref().or(contexts.current()) {
            Some(name) => Ok(Some(Api::of(name, contexts.get(name)?)?)),
            None if Path::new(USUAL_CONFIG).exists() => Ok(None),
            None => Err(ContextError::NotChosen.into()),
        }
    }

    /// The file of the configuration of this machine, where [`Where::there`] is not the place.
    pub(super) fn path(&self) -> PathBuf {
        self.config.clone().unwrap_or_else(|| USUAL_CONFIG.into())
    }

    fn load(&self) -> Result<Config, CliError> {
        ConfigArgs { config: self.path() }.load()
    }
}

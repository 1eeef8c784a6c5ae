//! The file of contexts: which servers there are, how each is recognised, and as whom to speak to it.
//!
//! It names the files of secrets and never holds one, but whoever can change it can send an administrator's API key elsewhere: so
//! it must be closed to other users.

use std::{
    collections::BTreeMap,
    fs::OpenOptions,
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::{
    cli::{CliError, data_dir::create_folder, thumbprint::Thumbprint},
    config::{SecretFileError, read_secret_file},
};

/// Why a context cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ContextError {
    /// Nobody said which server.
    #[error(
        "which server? There is no keystead.toml here and no context is chosen: give --config FILE for the files of this machine, or \
         add a context with `keystead context add`"
    )]
    NotChosen,
    /// Only a server does it.
    #[error(
        "this is done by a server, not on its files: choose one with --context NAME or `keystead context use NAME` (`keystead context add` \
         adds one)"
    )]
    NeedsServer,
    /// Only the machine itself does it.
    #[error("this is done on the machine with the HSM alone: run it there, with --config FILE")]
    OnlyHere,
    /// A context that is not in the file.
    #[error("there is no context {name:?} in {}{}", path.display(), among(others))]
    NoSuch {
        /// Its name.
        name: String,
        /// The file.
        path: PathBuf,
        /// The contexts in it.
        others: Vec<String>,
    },
    /// The file cannot be understood.
    #[error("{}: {source}", path.display())]
    BadFile {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: Box<toml::de::Error>,
    },
    /// A context that says too little, or two things.
    #[error("the context {name:?} in {}: {what}", path.display())]
    Unusable {
        /// Its name.
        name: String,
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: &'static str,
    },
    /// Nothing says where the file would be.
    #[error("where are contexts kept? Neither KEYSTEAD_CONTEXTS nor HOME is set")]
    NoHome,
}

fn among(others: &[String]) -> String {
    if others.is_empty() { String::new() } else { format!("; there is {}", others.join(", ")) }
}

/// A server, and as whom to speak to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::cli) struct Context {
    /// `https://HOST:PORT` of its admin API.
    pub(in crate::cli) server: String,
    /// The certificate that the server's is, or is issued by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::cli) ca: Option<PathBuf>,
    /// The thumbprint that the server's certificate has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::cli) thumbprint: Option<Thumbprint>,
    /// Holds the API key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::cli) api_key_file: Option<PathBuf>,
    /// The operator's certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::cli) certificate: Option<PathBuf>,
    /// Its private key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::cli) key: Option<PathBuf>,
}

impl Context {
    fn fault(&self) -> Option<&'static str> {
        if self.ca.is_some() == self.thumbprint.is_some() {
            return Some("give either ca or thumbprint, by which the server is recognised");
        }
        match (&self.api_key_file, &self.certificate, &self.key) {
            (Some(_), None, None) | (None, Some(_), Some(_)) => None,
            _ => Some("give either api_key_file, or certificate and key, as whom to speak to the server"),
        }
    }
}

/// The contexts of a user.
#[derive(Debug)]
pub(in crate::cli) struct Contexts {
    path: PathBuf,
    content: Content,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    current: Option<String>,
    #[serde(default)]
    context: BTreeMap<String, Context>,
}

impl Contexts {
    /// Those in the file that `KEYSTEAD_CONTEXTS` names, or in `keystead/contexts.toml` of the user's configuration directory; none
    /// where there is no such file.
    pub(in crate::cli) fn load() -> Result<Self, CliError> {
        Self::read(path().ok_or(ContextError::NoHome)?)
    }

    fn read(path: PathBuf) -> Result<Self, CliError> {
        let content = match read_secret_file(&path) {
            Ok(text) => toml::from_str(&String::from_utf8_lossy(&text))
                .map_err(|source| ContextError::BadFile { path: path.clone(), source: Box::new(source) })?,
            Err(SecretFileError::Empty) => Content::default(),
            Err(SecretFileError::Unusable(error)) if error.kind() == io::ErrorKind::NotFound => Content::default(),
            Err(source) => return Err(CliError::Secret { path, source }),
        };
        Ok(Self { path, content })
    }

    /// Writes the file whole or not at all.
    pub(in crate::cli) fn save(&self) -> Result<(), CliError> {
        if let Some(folder) = self.path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            create_folder(folder)?;
        }
        let text = toml::to_string(&self.content).unwrap_or_default();
        let write = || -> io::Result<()> {
            let beside = self.path.with_extension("new");
            let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            std::fs::rename(&beside, &self.path)
        };
        write().map_err(CliError::file(&self.path))
    }

    /// Where they are kept.
    pub(in crate::cli) fn path(&self) -> &Path {
        &self.path
    }

    /// All of them by name.
    pub(in crate::cli) fn all(&self) -> impl Iterator<Item = (&String, &Context)> {
        self.content.context.iter()
    }

    /// The name of the one that is used where none is named.
    pub(in crate::cli) fn current(&self) -> Option<&str> {
        self.content.current.as_deref()
    }

    /// The context `name`, which says all that is needed.
    pub(in crate::cli) fn get(&self, name: &str) -> Result<&Context, ContextError> {
        let context = self.content.context.get(name).ok_or_else(|| self.no_such(name))?;
        match context.fault() {
            None => Ok(context),
            Some(what) => Err(ContextError::Unusable { name: name.to_owned(), path: self.path.clone(), what }),
        }
    }

    /// Adds or replaces a context; the first is the current one.
    pub(in crate::cli) fn put(&mut self, name: &str, context: Context) {
        self.content.context.insert(name.to_owned(), context);
        self.content.current.get_or_insert_with(|| name.to_owned());
    }

    /// Makes a context the current one.
    pub(in crate::cli) fn choose(&mut self, name: &str) -> Result<(), ContextError> {
        self.get(name)?;
        self.content.current = Some(name.to_owned());
        Ok(())
    }

    /// Takes a context out of the file.
    pub(in crate::cli) fn remove(&mut self, name: &str) -> Result<(), ContextError> {
        self.content.context.remove(name).ok_or_else(|| self.no_such(name))?;
        self.content.current.take_if(|current| current == name);
        Ok(())
    }

    fn no_such(&self, name: &str) -> ContextError {
        let others = self.content.context.keys().cloned().collect();
        ContextError::NoSuch { name: name.to_owned(), path: self.path.clone(), others }
    }
}

fn path() -> Option<PathBuf> {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    variable("KEYSTEAD_CONTEXTS").or_else(|| {
        let folder = variable("XDG_CONFIG_HOME").or_else(|| Some(variable("HOME")?.join(".config")))?;
        Some(folder.join("keystead/contexts.toml"))
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn context() -> Context {
        Context {
            server: "https://localhost:8443".to_owned(),
            ca: Some("/ca.pem".into()),
            thumbprint: None,
            api_key_file: Some("/key".into()),
            certificate: None,
            key: None,
        }
    }

    #[test]
    fn contexts_come_back_as_they_were_and_the_first_is_the_current_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/contexts.toml");
        let mut contexts = Contexts::read(path.clone()).unwrap();
        assert_eq!(contexts.current(), None);
        contexts.put("a", context());
        contexts.put("b", Context { ca: None, thumbprint: "ab".repeat(32).parse().ok(), ..context() });
        contexts.save().unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let mut again = Contexts::read(path).unwrap();
        assert_eq!((again.current(), again.all().count()), (Some("a"), 2));
        assert_eq!(again.get("a").unwrap(), &context());
        again.choose("b").unwrap();
        assert!(matches!(again.choose("c"), Err(ContextError::NoSuch { .. })));
        again.remove("b").unwrap();
        assert_eq!(again.current(), None);
        assert!(again.remove("b").is_err());
    }

    #[test]
    fn a_context_that_says_too_little_or_two_things_is_refused() {
        let mut contexts = Contexts { path: "x".into(), content: Content::default() };
        for bad in [
            Context { ca: None, ..context() },
            Context { thumbprint: "ab".repeat(32).parse().ok(), ..context() },
            Context { api_key_file: None, ..context() },
            Context { certificate: Some("c".into()), key: Some("k".into()), ..context() },
            Context { api_key_file: None, certificate: Some("c".into()), ..context() },
        ] {
            contexts.put("bad", bad);
            assert!(matches!(contexts.get("bad"), Err(ContextError::Unusable { .. })));
        }
    }

    #[test]
    fn a_file_that_others_can_read_or_with_unknown_settings_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("contexts.toml");
        std::fs::write(&path, "current = \"a\"\n").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        let refused = Contexts::read(path.clone());
        assert!(matches!(refused, Err(CliError::Secret { source: SecretFileError::OpenToOthers { .. }, .. })));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        assert!(Contexts::read(path.clone()).is_ok());
        std::fs::write(&path, "[context.a]\nserver = \"https://x\"\napi_key = \"secret\"\n").unwrap();
        assert!(matches!(Contexts::read(path), Err(CliError::Context(ContextError::BadFile { .. }))));
    }
}

//! Commands from a test: the other end of a shim's control socket.

use std::{
    collections::HashMap,
    fmt,
    io::{self, BufRead, BufReader, ErrorKind, Write},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use crate::{
    forward::Function,
    grammar::{Command, SyntaxError},
};

/// How long the shim may take to listen: its module is loaded by another thread, or by another process.
const PATIENCE: Duration = Duration::from_secs(20);

/// A way to command the shim that listens on one socket. Each command has a connection of its own, so that this outlives the
/// process that has the shim loaded.
#[derive(Debug, Clone)]
pub struct Control {
    path: PathBuf,
}

/// Why a command had no effect.
#[derive(Debug)]
pub enum ControlError {
    /// Nobody answers on the socket.
    Io(io::Error),
    /// The text is no command.
    Syntax(SyntaxError),
    /// The shim could not do it.
    Refused(String),
}

impl Control {
    /// The shim that listens, or will listen, on the socket at `path`.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// The socket.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Sends a command; it has its effect when this returns. Waits up to 20 s for the shim to be loaded.
    ///
    /// # Errors
    /// Where nobody answers or the shim refuses.
    pub fn send(&self, command: &Command) -> Result<Option<String>, ControlError> {
        let mut stream = self.connect()?;
        stream.write_all(format!("{command}\n").as_bytes())?;
        let mut answer = String::new();
        BufReader::new(stream).read_line(&mut answer)?;
        match answer.trim_end().split_once(' ') {
            Some(("ok", text)) => Ok(Some(text.to_owned())),
            None if answer.trim_end() == "ok" => Ok(None),
            Some(("error", text)) => Err(ControlError::Refused(text.to_owned())),
            _ => Err(io::Error::from(ErrorKind::UnexpectedEof).into()),
        }
    }

    /// Sends a command that is given as text.
    ///
    /// # Errors
    /// As [`Control::send`], and where the text is no command.
    pub fn tell(&self, command: &str) -> Result<(), ControlError> {
        self.send(&command.parse().map_err(ControlError::Syntax)?).map(drop)
    }

    /// Clears every fault and lets hanging calls go on.
    ///
    /// # Errors
    /// As [`Control::send`].
    pub fn pass(&self) -> Result<(), ControlError> {
        self.send(&Command::Pass).map(drop)
    }

    /// How often each function was called since the shim was loaded, or since [`Command::ResetCalls`].
    ///
    /// # Errors
    /// As [`Control::send`].
    pub fn calls(&self) -> Result<HashMap<Function, u64>, ControlError> {
        let answer = self.send(&Command::Calls)?.unwrap_or_default();
        let pairs = answer.trim_matches(['{', '}']).split(',').filter_map(|pair| pair.split_once(':'));
        let read = |(name, calls): (&str, &str)| Some((name.trim_matches('"').parse().ok()?, calls.parse().ok()?));
        Ok(pairs.filter_map(read).collect())
    }

    fn connect(&self) -> io::Result<UnixStream> {
        let start = Instant::now();
        loop {
            match UnixStream::connect(&self.path) {
                Err(error)
                    if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused)
                        && start.elapsed() < PATIENCE =>
                {
                    thread::yield_now();
                }
                other => return other,
            }
        }
    }
}

impl fmt::Display for ControlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(f, "the shim does not answer: {error}"),
            Self::Syntax(error) => write!(f, "not a command: {error}"),
            Self::Refused(why) => write!(f, "the shim refuses: {why}"),
        }
    }
}

impl std::error::Error for ControlError {}

impl From<io::Error> for ControlError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

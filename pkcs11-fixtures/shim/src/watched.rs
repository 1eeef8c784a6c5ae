//! A control file: its commands are set anew whenever it changes.

use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::SystemTime,
};

pub(crate) struct WatchedFile {
    path: PathBuf,
    seen: Option<Stamp>,
}

/// What changes when a file is written, or another is put in its place.
type Stamp = (Option<SystemTime>, u64, u64);

impl WatchedFile {
    pub(crate) fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), seen: None }
    }

    /// The commands, where the file is another than last time. A file that is away for a moment has not changed.
    pub(crate) fn changed(&mut self) -> Option<Vec<String>> {
        let read = || -> io::Result<(Stamp, String)> {
            let about = fs::metadata(&self.path)?;
            let stamp = (about.modified().ok(), about.len(), about.ino());
            let text = if self.seen == Some(stamp) { String::new() } else { fs::read_to_string(&self.path)? };
            Ok((stamp, text))
        };
        let (stamp, text) = read().ok()?;
        if self.seen.replace(stamp) == Some(stamp) {
            return None;
        }
        Some(lines(&text))
    }
}

/// The lines that are neither empty nor comments.
pub(crate) fn lines(text: &str) -> Vec<String> {
    let lines = text.lines().map(str::trim);
    lines.filter(|line| !line.is_empty() && !line.starts_with('#')).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_again_only_when_it_changes() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("faults");
        let mut file = WatchedFile::new(&path);
        assert_eq!(file.changed(), None, "it is not there yet");
        fs::write(&path, "# a comment\n\n  pass \ncalls\n").expect("a file");
        assert_eq!(file.changed().expect("new"), ["pass", "calls"]);
        assert_eq!(file.changed(), None);
        fs::write(&path, "pass").expect("a file");
        assert_eq!(file.changed().expect("changed"), ["pass"]);
        fs::remove_file(&path).expect("it goes");
        assert_eq!(file.changed(), None, "it may be about to be replaced");
    }
}

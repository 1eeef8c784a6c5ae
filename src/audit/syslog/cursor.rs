//! How far the records have arrived, in a file that survives a crash whole.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::PathBuf,
};

/// The last record that has arrived.
pub(super) struct Cursor {
    path: PathBuf,
    sequence: u64,
}

impl Cursor {
    /// Reads the file; what is not there or cannot be read means that nothing has arrived.
    pub(super) fn read(path: PathBuf) -> Self {
        let text = fs::read_to_string(&path).unwrap_or_default();
        let sequence = text.trim().parse().unwrap_or_default();
        Self { path, sequence }
    }

    /// The number of the record.
    pub(super) fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Everything up to this record has arrived.
    pub(super) fn move_to(&mut self, sequence: u64) -> io::Result<()> {
        self.sequence = sequence;
        let new = self.path.with_extension("cursor.new");
        let mut file = File::create(&new)?;
        writeln!(file, "{sequence}")?;
        file.sync_data()?;
        fs::rename(&new, &self.path)
    }
}

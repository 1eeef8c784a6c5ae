//! The lines of a segment, forwards or backwards, with a limit on their length.

use std::{
    fs::File,
    io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom},
    os::unix::fs::FileExt as _,
    path::Path,
};

use super::place::MAX_LINE;

/// How much is read at once, in bytes.
const BLOCK: u64 = 256 * 1024;

/// The lines of a file from its beginning.
pub(super) struct Forwards {
    reader: BufReader<File>,
    line: Vec<u8>,
    /// Where the next line begins.
    at: u64,
}

impl Forwards {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        Self::open_at(path, 0)
    }

    /// From the line on that begins at `at`.
    pub(super) fn open_at(path: &Path, at: u64) -> io::Result<Self> {
        let mut file = File::open(path)?;
        file.seek(SeekFrom::Start(at))?;
        Ok(Self { reader: BufReader::with_capacity(64 * 1024, file), line: Vec::new(), at })
    }

    /// Where the next line begins.
    pub(super) fn at(&self) -> u64 {
        self.at
    }

    /// The next line without its newline, and whether it had one. A line that is too long comes in pieces.
    pub(super) fn next(&mut self) -> io::Result<Option<(&[u8], bool)>> {
        self.line.clear();
        let read = (&mut self.reader).take(MAX_LINE).read_until(b'\n', &mut self.line)?;
        if read == 0 {
            return Ok(None);
        }
        self.at += u64::try_from(read).unwrap_or_default();
        let whole = self.line.last() == Some(&b'\n');
        Ok(Some((self.line.strip_suffix(b"\n").unwrap_or(&self.line), whole)))
    }
}

/// The lines of a file from some place towards its beginning. What follows the last newline is no line yet.
pub(super) struct Backwards {
    file: File,
    /// Where in the file `block` begins.
    from: u64,
    block: Vec<u8>,
    /// How much of the block is still to be given out, the newline of the next line included.
    left: usize,
    read: u64,
}

impl Backwards {
    /// Begins with the line that ends before `end`; `None` for the end of the file.
    pub(super) fn open(path: &Path, end: Option<u64>) -> io::Result<Self> {
        let file = File::open(path)?;
        let bytes = file.metadata()?.len();
        let from = end.map_or(bytes, |end| end.min(bytes));
        let mut lines = Self { file, from, block: Vec::new(), left: 0, read: 0 };
        lines.fill()?;
        lines.left = lines.block.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        Ok(lines)
    }

    /// How many bytes were read from the disk.
    pub(super) fn read(&self) -> u64 {
        self.read
    }

    /// The line before the last one that was given, without its newline, and where it ends in the file, newline included.
    pub(super) fn next(&mut self) -> io::Result<Option<(&[u8], u64)>> {
        loop {
            let Some(end) = self.left.checked_sub(1) else {
                if self.from == 0 {
                    return Ok(None);
                }
                // A block without a newline: it is no log.
                return Err(io::ErrorKind::InvalidData.into());
            };
            let part = self.block.get(..end).unwrap_or_default();
            let begin = match part.iter().rposition(|byte| *byte == b'\n') {
                Some(at) => at + 1,
                None if self.from == 0 => 0,
                None => {
                    self.block.truncate(self.left);
                    let had = self.block.len();
                    self.fill()?;
                    self.left = self.block.len();
                    if had > usize::try_from(BLOCK).unwrap_or(usize::MAX) {
                        return Err(io::ErrorKind::InvalidData.into());
                    }
                    continue;
                }
            };
            let stop = self.from + u64::try_from(self.left).unwrap_or_default();
            self.left = begin;
            return Ok(Some((self.block.get(begin..end).unwrap_or_default(), stop)));
        }
    }

    /// Puts the bytes before the block in front of it.
    fn fill(&mut self) -> io::Result<()> {
        let from = self.from.saturating_sub(BLOCK);
        let mut bytes = vec![0; usize::try_from(self.from - from).unwrap_or_default()];
        self.file.read_exact_at(&mut bytes, from)?;
        self.read += self.from - from;
        bytes.append(&mut self.block);
        (self.from, self.block) = (from, bytes);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_backwards_are_the_lines_forwards() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        for (lines, rest) in [(0, ""), (1, ""), (3, "half"), (5_000, ""), (5_000, "half")] {
            let text: Vec<String> = (0..lines).map(|n| format!("{n} {}", "x".repeat(n * 7 % 400))).collect();
            let whole = text.iter().fold(String::new(), |all, line| format!("{all}{line}\n"));
            std::fs::write(&path, whole.clone() + rest).unwrap();
            let mut found = Vec::new();
            let mut backwards = Backwards::open(&path, None).unwrap();
            while let Some((line, end)) = backwards.next().unwrap() {
                assert_eq!(whole.as_bytes()[usize::try_from(end).unwrap() - 1], b'\n');
                found.push(String::from_utf8(line.to_vec()).unwrap());
            }
            found.reverse();
            assert_eq!(found, text);
            // And from the end of any line on.
            if lines == 3 {
                let end = text[0].len() as u64 + 1;
                let mut backwards = Backwards::open(&path, Some(end)).unwrap();
                assert_eq!(backwards.next().unwrap().unwrap(), (text[0].as_bytes(), end));
                assert!(backwards.next().unwrap().is_none());
            }
        }
    }
}

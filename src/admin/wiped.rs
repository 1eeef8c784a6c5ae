//! JSON with a secret in it.

use std::io::{self, Write};

use serde::Serialize;
use zeroize::Zeroizing;

/// `value` as JSON, in memory that is wiped afterwards and never grows: so no copy of a secret stays behind in freed memory.
///
/// # Errors
/// It cannot be written as JSON.
pub(crate) fn wiped_json(value: &impl Serialize) -> Result<Zeroizing<String>, serde_json::Error> {
    let mut length = Length(0);
    serde_json::to_writer(&mut length, value)?;
    let mut bytes = Zeroizing::new(Vec::with_capacity(length.0));
    serde_json::to_writer(&mut *bytes, value)?;
    // JSON is UTF-8, and the text takes the memory over as it is.
    let text = String::from_utf8(std::mem::take(&mut *bytes)).map_err(|_| io::Error::from(io::ErrorKind::InvalidData));
    Ok(Zeroizing::new(text.map_err(serde_json::Error::io)?))
}

/// Counts what is written to it.
struct Length(usize);

impl Write for Length {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 = self.0.saturating_add(bytes.len());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn it_is_the_same_json_and_its_memory_never_grew() {
        let value = json!({"password": "Pä\u{1}ss\"word".repeat(100), "n": [1, null]});
        let text = wiped_json(&value).unwrap();
        assert_eq!(*text, value.to_string());
        assert_eq!(text.capacity(), text.len());
    }
}

//! The binary encoding: bytes to one tree of items, and back.
//!
//! It knows types, never what a tag means. Reading is strict (what an encoder may not write is refused) and bounded: every
//! length is checked against the bytes that are there before anything is allocated, and depth and the number of items have
//! limits. Writing fills a buffer of exactly the right size, so that a secret leaves no copy in a buffer outgrown.
//! KMIP 1.4 §9.1.1, KMIP 2.1 §10 (Date-Time Extended).

use zeroize::Zeroizing;

use crate::{
    error::{DecodeError, Fault},
    tags::Tag,
    tree::{Enumerated, Item, Value},
};

/// Bytes before an item's value: tag, type, length.
const HEADER_BYTES: usize = 8;
/// Every item is padded to a multiple of this.
const ALIGNMENT: usize = 8;

/// What a message may cost. Checked while reading, before the cost arises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The most bytes of a whole message.
    pub bytes: usize,
    /// The most structures inside each other. Reading recurses once for each, so it must fit the stack; tens, not thousands.
    pub depth: usize,
    /// The most items in all, structures included. An item takes up to 48 bytes of memory beside its own bytes.
    pub items: usize,
}

impl Default for Limits {
    /// 1 MiB, 32 structures deep, 65,536 items: far beyond what any client in the field sends.
    fn default() -> Self {
        Self { bytes: 1 << 20, depth: 32, items: 1 << 16 }
    }
}

/// The length in bytes of the whole message that starts with `header`, the header included. `message` is the tag it must
/// have: Request Message for a server, Response Message for a client.
///
/// Meant for whoever reads a message from a connection: the caller compares the length with its own limit before it
/// allocates. Fails if the header is not that of such a message.
pub fn frame_len(header: &[u8; HEADER_BYTES], message: Tag) -> Result<u32, DecodeError> {
    let header = Header::parse(*header)?;
    if header.tag != message {
        return Err(DecodeError::at(header.tag, Fault::UnexpectedField));
    }
    if header.item_type != ItemType::Structure {
        let fault = Fault::WrongType { expected: ItemType::Structure.name(), found: header.item_type.name() };
        return Err(DecodeError::at(header.tag, fault));
    }
    // Eight bytes for the header itself.
    let whole = header.length.checked_add(8);
    whole.ok_or_else(|| DecodeError::at(header.tag, Fault::TooLarge { limit: u32::MAX as usize }))
}

/// Reads `bytes`, which must be one item and nothing else.
pub fn decode(bytes: &[u8], limits: &Limits) -> Result<Item, DecodeError> {
    if bytes.len() > limits.bytes {
        return Err(Fault::TooLarge { limit: limits.bytes }.into());
    }
    let mut reader = Reader { limits, items_left: limits.items };
    reader.take_items(1)?;
    let (item, rest) = reader.item(bytes, limits.depth)?;
    if rest.is_empty() { Ok(item) } else { Err(Fault::TrailingBytes.into()) }
}

/// The item's bytes, in a buffer allocated once.
pub fn encode(item: &Item) -> Zeroizing<Vec<u8>> {
    let mut out = Zeroizing::new(Vec::with_capacity(encoded_len(item)));
    write_item(item, &mut out);
    out
}

/// Appends the item's bytes to `out`, which grows at most once. Where it must grow, its former allocation is freed without
/// being wiped: reserve [`encoded_len`] bytes beforehand if it may hold secrets.
///
/// A tree that came from the typed layer can always be written. What TTLV has no bytes for is written so that every reader
/// refuses it: an enumeration known by name alone as 0xFFFFFFFF (which is neither defined nor a vendor's), a length above
/// 4 GiB as 4 GiB.
pub fn encode_into(item: &Item, out: &mut Vec<u8>) {
    out.reserve_exact(encoded_len(item));
    write_item(item, out);
}

/// How many bytes [`encode`] makes of the item.
pub fn encoded_len(item: &Item) -> usize {
    let value = match &item.value {
        Value::Structure(fields) => fields.iter().map(encoded_len).sum(),
        Value::BigInteger(number) => padded(number.len().max(1)),
        Value::TextString(text) => padded(text.len()),
        Value::ByteString(bytes) => padded(bytes.len()),
        Value::Integer(_)
        | Value::LongInteger(_)
        | Value::Enumeration(_)
        | Value::Boolean(_)
        | Value::DateTime(_)
        | Value::Interval(_)
        | Value::DateTimeExtended(_) => ALIGNMENT,
    };
    HEADER_BYTES + value
}

/// `length` with the padding that follows so many bytes.
const fn padded(length: usize) -> usize {
    length.next_multiple_of(ALIGNMENT)
}

/// The types of items and their numbers (KMIP 1.4 §9.1.1.2, 2.1 §11.23).
#[derive(Clone, Copy, PartialEq, Eq)]
enum ItemType {
    Structure = 0x01,
    Integer = 0x02,
    LongInteger = 0x03,
    BigInteger = 0x04,
    Enumeration = 0x05,
    Boolean = 0x06,
    TextString = 0x07,
    ByteString = 0x08,
    DateTime = 0x09,
    Interval = 0x0A,
    DateTimeExtended = 0x0B,
}

impl ItemType {
    fn from_code(code: u8) -> Option<Self> {
        Some(match code {
            0x01 => Self::Structure,
            0x02 => Self::Integer,
            0x03 => Self::LongInteger,
            0x04 => Self::BigInteger,
            0x05 => Self::Enumeration,
            0x06 => Self::Boolean,
            0x07 => Self::TextString,
            0x08 => Self::ByteString,
            0x09 => Self::DateTime,
            0x0A => Self::Interval,
            0x0B => Self::DateTimeExtended,
            _ => return None,
        })
    }

    fn of(value: &Value) -> Self {
        match value {
            Value::Structure(_) => Self::Structure,
            Value::Integer(_) => Self::Integer,
            Value::LongInteger(_) => Self::LongInteger,
            Value::BigInteger(_) => Self::BigInteger,
            Value::Enumeration(_) => Self::Enumeration,
            Value::Boolean(_) => Self::Boolean,
            Value::TextString(_) => Self::TextString,
            Value::ByteString(_) => Self::ByteString,
            Value::DateTime(_) => Self::DateTime,
            Value::Interval(_) => Self::Interval,
            Value::DateTimeExtended(_) => Self::DateTimeExtended,
        }
    }

    /// As in [`Value::type_name`].
    fn name(self) -> &'static str {
        match self {
            Self::Structure => "Structure",
            Self::Integer => "Integer",
            Self::LongInteger => "Long Integer",
            Self::BigInteger => "Big Integer",
            Self::Enumeration => "Enumeration",
            Self::Boolean => "Boolean",
            Self::TextString => "Text String",
            Self::ByteString => "Byte String",
            Self::DateTime => "Date-Time",
            Self::Interval => "Interval",
            Self::DateTimeExtended => "Date-Time Extended",
        }
    }

    /// Whether a value of this type may have `length` bytes, padding aside (KMIP 1.4 §9.1.1.3).
    fn allows(self, length: u32) -> bool {
        match self {
            Self::Structure => length.is_multiple_of(8),
            Self::BigInteger => length.is_multiple_of(8) && length > 0,
            Self::Integer | Self::Enumeration | Self::Interval => length == 4,
            Self::LongInteger | Self::Boolean | Self::DateTime | Self::DateTimeExtended => length == 8,
            Self::TextString | Self::ByteString => true,
        }
    }
}

/// The first eight bytes of an item: a tag in a known range, a known type, and a length the type allows.
struct Header {
    tag: Tag,
    item_type: ItemType,
    /// Bytes of the value, without its padding.
    length: u32,
}

impl Header {
    fn parse([t0, t1, t2, code, l0, l1, l2, l3]: [u8; HEADER_BYTES]) -> Result<Self, DecodeError> {
        let tag = Tag(u32::from_be_bytes([0, t0, t1, t2]));
        if !matches!(t0, 0x42 | 0x54) {
            return Err(Fault::BadTag(tag.0).into());
        }
        let item_type = ItemType::from_code(code).ok_or_else(|| DecodeError::at(tag, Fault::BadType(code)))?;
        let length = u32::from_be_bytes([l0, l1, l2, l3]);
        if !item_type.allows(length) {
            return Err(DecodeError::at(tag, Fault::BadLength { item_type: item_type.name(), length }));
        }
        Ok(Self { tag, item_type, length })
    }
}

/// What is left of the limits while one message is read.
struct Reader<'a> {
    limits: &'a Limits,
    items_left: usize,
}

impl Reader<'_> {
    /// Accounts for items about to be read.
    fn take_items(&mut self, count: usize) -> Result<(), DecodeError> {
        let left = self.items_left.checked_sub(count);
        self.items_left = left.ok_or(Fault::TooManyItems { limit: self.limits.items })?;
        Ok(())
    }

    /// The item at the start of `bytes` and what follows it. `depth` is how many structures may yet open.
    fn item<'b>(&mut self, bytes: &'b [u8], depth: usize) -> Result<(Item, &'b [u8]), DecodeError> {
        let (header, after) = bytes.split_first_chunk().ok_or(Fault::Truncated)?;
        let Header { tag, item_type, length } = Header::parse(*header)?;
        let (value, rest) = split_value(after, length).map_err(|fault| DecodeError::at(tag, fault))?;
        let value = match item_type {
            ItemType::Structure => Value::Structure(self.fields(value, depth).map_err(|error| error.within(tag))?),
            _ => primitive(item_type, value).map_err(|fault| DecodeError::at(tag, fault))?,
        };
        Ok((Item { tag, value }, rest))
    }

    /// The items that `bytes` consists of.
    fn fields(&mut self, mut bytes: &[u8], depth: usize) -> Result<Vec<Item>, DecodeError> {
        let depth = depth.checked_sub(1).ok_or(Fault::TooDeep { limit: self.limits.depth })?;
        let count = count_items(bytes);
        self.take_items(count)?;
        let mut fields = Vec::with_capacity(count);
        while !bytes.is_empty() {
            let (field, rest) = self.item(bytes, depth)?;
            fields.push(field);
            bytes = rest;
        }
        Ok(fields)
    }
}

/// How many items `bytes` consists of, going by their lengths alone. Where one of them is malformed it counts as the
/// last; reading them then fails at that one, so the count is never too small.
fn count_items(mut bytes: &[u8]) -> usize {
    let mut count = 0;
    while let Some(([_, _, _, _, length @ ..], after)) = bytes.split_first_chunk::<HEADER_BYTES>() {
        count += 1;
        bytes = split_value(after, u32::from_be_bytes(*length)).map_or(&[], |(_, rest)| rest);
    }
    count
}

/// The value of `length` bytes at the start of `bytes`, and what follows its padding.
fn split_value(bytes: &[u8], length: u32) -> Result<(&[u8], &[u8]), Fault> {
    let length = usize::try_from(length).map_err(|_| Fault::Truncated)?;
    let (value, after) = bytes.split_at_checked(length).ok_or(Fault::Truncated)?;
    let (padding, rest) = after.split_at_checked(padded(length) - length).ok_or(Fault::Truncated)?;
    if padding.iter().all(|&byte| byte == 0) { Ok((value, rest)) } else { Err(Fault::BadPadding) }
}

/// A value that is not a structure, from its bytes without padding, whose length has been checked against the type.
fn primitive(item_type: ItemType, bytes: &[u8]) -> Result<Value, Fault> {
    Ok(match item_type {
        ItemType::Structure => return Err(Fault::BadType(ItemType::Structure as u8)),
        ItemType::Integer => Value::Integer(i32::from_be_bytes(exactly(bytes)?)),
        ItemType::LongInteger => Value::LongInteger(i64::from_be_bytes(exactly(bytes)?)),
        ItemType::BigInteger => Value::BigInteger(Zeroizing::new(bytes.to_vec())),
        ItemType::Enumeration => Value::Enumeration(Enumerated::code(u32::from_be_bytes(exactly(bytes)?))),
        ItemType::Boolean => match u64::from_be_bytes(exactly(bytes)?) {
            0 => Value::Boolean(false),
            1 => Value::Boolean(true),
            _ => return Err(Fault::BadBoolean),
        },
        ItemType::TextString => {
            Value::TextString(Zeroizing::new(str::from_utf8(bytes).map_err(|_| Fault::NotUtf8)?.to_owned()))
        }
        ItemType::ByteString => Value::ByteString(Zeroizing::new(bytes.to_vec())),
        ItemType::DateTime => Value::DateTime(i64::from_be_bytes(exactly(bytes)?)),
        ItemType::Interval => Value::Interval(u32::from_be_bytes(exactly(bytes)?)),
        ItemType::DateTimeExtended => Value::DateTimeExtended(i64::from_be_bytes(exactly(bytes)?)),
    })
}

/// All of `bytes` as an array.
fn exactly<const N: usize>(bytes: &[u8]) -> Result<[u8; N], Fault> {
    bytes.try_into().map_err(|_| Fault::Truncated)
}

/// Appends an item to a buffer that has room for it.
fn write_item(item: &Item, out: &mut Vec<u8>) {
    let [_, tag @ ..] = item.tag.0.to_be_bytes();
    out.extend_from_slice(&tag);
    out.push(ItemType::of(&item.value) as u8);
    match &item.value {
        Value::Structure(fields) => write_structure(fields, out),
        Value::Integer(value) => write_word(value.to_be_bytes(), out),
        Value::LongInteger(value) => write_long(value.to_be_bytes(), out),
        Value::BigInteger(number) => write_big_integer(number, out),
        Value::Enumeration(value) => write_word(value.code.unwrap_or(u32::MAX).to_be_bytes(), out),
        Value::Boolean(value) => write_long(u64::from(*value).to_be_bytes(), out),
        Value::TextString(text) => write_string(text.as_bytes(), out),
        Value::ByteString(bytes) => write_string(bytes, out),
        Value::DateTime(value) => write_long(value.to_be_bytes(), out),
        Value::Interval(value) => write_word(value.to_be_bytes(), out),
        Value::DateTimeExtended(value) => write_long(value.to_be_bytes(), out),
    }
}

/// The length is known only once the fields are written, so its place is filled in afterwards.
fn write_structure(fields: &[Item], out: &mut Vec<u8>) {
    let length_at = out.len();
    write_length(0, out);
    let start = out.len();
    for field in fields {
        write_item(field, out);
    }
    let length = saturating_length(out.len() - start).to_be_bytes();
    if let Some(place) = out.get_mut(length_at..start) {
        place.copy_from_slice(&length);
    }
}

fn write_word(value: [u8; 4], out: &mut Vec<u8>) {
    let [a, b, c, d] = value;
    out.extend_from_slice(&[0, 0, 0, 4, a, b, c, d, 0, 0, 0, 0]);
}

fn write_long(value: [u8; 8], out: &mut Vec<u8>) {
    write_length(8, out);
    out.extend_from_slice(&value);
}

/// Sign-extended to a multiple of eight bytes; these bytes count as the value's own.
fn write_big_integer(number: &[u8], out: &mut Vec<u8>) {
    let length = padded(number.len().max(1));
    write_length(length, out);
    let negative = number.first().is_some_and(|first| first & 0x80 != 0);
    out.resize(out.len() + length - number.len(), if negative { 0xFF } else { 0 });
    out.extend_from_slice(number);
}

fn write_string(bytes: &[u8], out: &mut Vec<u8>) {
    write_length(bytes.len(), out);
    out.extend_from_slice(bytes);
    out.resize(out.len() + padded(bytes.len()) - bytes.len(), 0);
}

fn write_length(length: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(&saturating_length(length).to_be_bytes());
}

fn saturating_length(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

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

#[cfg(test)]
mod tests {
    use super::*;

    /// The tag of the examples in KMIP 1.4 §9.1.2.
    const TAG: Tag = Tag::CompromiseDate;

    fn hex(text: &str) -> Vec<u8> {
        let digits: Vec<u32> = text.chars().filter_map(|c| c.to_digit(16)).collect();
        digits.chunks(2).map(|pair| u8::try_from(pair[0] << 4 | pair[1]).unwrap()).collect()
    }

    fn read(text: &str) -> Result<Item, DecodeError> {
        decode(&hex(text), &Limits::default())
    }

    fn fault(text: &str) -> Fault {
        read(text).unwrap_err().fault
    }

    /// Both ways, and the length foretold.
    fn assert_encodes(value: Value, bytes: &str) {
        let item = Item::new(TAG, value);
        assert_eq!(read(bytes).unwrap(), item);
        assert_eq!(*encode(&item), hex(bytes), "{item:?}");
        assert_eq!(encoded_len(&item), hex(bytes).len(), "{item:?}");
    }

    #[test]
    fn reads_and_writes_the_examples_of_the_specification() {
        assert_encodes(Value::Integer(8), "42002002 00000004 0000000800000000");
        assert_encodes(Value::LongInteger(123_456_789_000_000_000), "42002003 00000008 01B69B4BA5749200");
        assert_encodes(
            Value::BigInteger(Zeroizing::new(hex("0000000003FD35EB6BC2DF4618080000"))),
            "42002004 00000010 0000000003FD35EB 6BC2DF4618080000",
        );
        assert_encodes(Value::Enumeration(Enumerated::code(255)), "42002005 00000004 000000FF00000000");
        assert_encodes(Value::Boolean(true), "42002006 00000008 0000000000000001");
        assert_encodes(Value::text("Hello World"), "42002007 0000000B 48656C6C6F20576F 726C640000000000");
        assert_encodes(Value::bytes([1, 2, 3]), "42002008 00000003 0102030000000000");
        assert_encodes(Value::DateTime(1_205_495_800), "42002009 00000008 0000000047DA67F8");
        assert_encodes(Value::Interval(864_000), "4200200A 00000004 000D2F0000000000");
        assert_encodes(
            Value::Structure(vec![
                Item::new(Tag::ApplicationSpecificInformation, Value::Enumeration(Enumerated::code(254))),
                Item::new(Tag::ArchiveDate, Value::Integer(255)),
            ]),
            "42002001 00000020 42000405 00000004 000000FE00000000 42000502 00000004 000000FF00000000",
        );
    }

    #[test]
    fn reads_and_writes_the_ends_of_each_type() {
        assert_encodes(Value::Integer(i32::MIN), "42002002 00000004 8000000000000000");
        assert_encodes(Value::LongInteger(-1), "42002003 00000008 FFFFFFFFFFFFFFFF");
        assert_encodes(Value::Enumeration(Enumerated::code(0x8000_0001)), "42002005 00000004 8000000100000000");
        assert_encodes(Value::Boolean(false), "42002006 00000008 0000000000000000");
        assert_encodes(Value::text(""), "42002007 00000000");
        assert_encodes(Value::text("12345678"), "42002007 00000008 3132333435363738");
        assert_encodes(Value::bytes([]), "42002008 00000000");
        assert_encodes(Value::bytes([0; 9]), "42002008 00000009 0000000000000000 0000000000000000");
        assert_encodes(Value::DateTime(-1), "42002009 00000008 FFFFFFFFFFFFFFFF");
        assert_encodes(Value::Interval(u32::MAX), "4200200A 00000004 FFFFFFFF00000000");
        assert_encodes(Value::DateTimeExtended(1_205_495_800_000_001), "4200200B 00000008 000448645CEFEE01");
        assert_encodes(Value::Structure(vec![]), "42002001 00000000");
    }

    #[test]
    fn a_vendors_tag_is_a_tag_but_no_other_range_is() {
        assert_eq!(read("540001 02 00000004 0000000100000000").unwrap().tag, Tag(0x54_0001));
        for (first, tag) in [("41", 0x41_0020), ("43", 0x43_0020), ("53", 0x53_0020), ("55", 0x55_0020), ("00", 0x20)] {
            let message = format!("{first}0020 02 00000004 0000000100000000");
            assert_eq!(fault(&message), Fault::BadTag(tag));
        }
    }

    #[test]
    fn refuses_an_item_type_that_does_not_exist() {
        for code in [0x00, 0x0C, 0x42, 0xFF] {
            let error = read(&format!("420020 {code:02X} 00000008 0000000000000000")).unwrap_err();
            assert_eq!(error, DecodeError::at(TAG, Fault::BadType(code)));
        }
    }

    #[test]
    fn refuses_a_length_that_the_type_does_not_allow() {
        for (code, right, wrong) in [
            (0x02, 4, [0, 3, 5, 8]),
            (0x03, 8, [0, 4, 7, 16]),
            (0x04, 16, [0, 4, 7, 9]),
            (0x05, 4, [0, 3, 5, 8]),
            (0x06, 8, [0, 1, 4, 16]),
            (0x09, 8, [0, 4, 7, 16]),
            (0x0A, 4, [0, 3, 5, 8]),
            (0x0B, 8, [0, 4, 7, 16]),
            (0x01, 0, [1, 4, 7, 9]),
        ] {
            let message = |length: u32| {
                let zeros = "00".repeat(padded(length as usize));
                format!("420020 {code:02X} {length:08X} {zeros}")
            };
            assert!(read(&message(right)).is_ok(), "type {code:#x}, length {right}");
            for length in wrong {
                let found = fault(&message(length));
                assert!(matches!(found, Fault::BadLength { length: l, .. } if l == length), "{code:#x}: {found}");
            }
        }
    }

    #[test]
    fn refuses_padding_that_is_not_zero() {
        for message in [
            "42002002 00000004 0000000800000001",
            "42002005 00000004 0000000801000000",
            "4200200A 00000004 0000000800010000",
            "42002007 00000001 4100000000000001",
            "42002008 00000007 01020304050607FF",
        ] {
            assert_eq!(fault(message), Fault::BadPadding, "{message}");
        }
    }

    #[test]
    fn refuses_a_boolean_that_is_neither_zero_nor_one() {
        for value in ["0000000000000002", "0100000000000000", "FFFFFFFFFFFFFFFF"] {
            assert_eq!(fault(&format!("42002006 00000008 {value}")), Fault::BadBoolean);
        }
    }

    #[test]
    fn refuses_text_that_is_not_utf8_but_takes_the_same_as_bytes() {
        assert_eq!(fault("42002007 00000002 C328000000000000"), Fault::NotUtf8);
        assert_eq!(read("42002008 00000002 C328000000000000").unwrap().value, Value::bytes([0xC3, 0x28]));
        assert_eq!(read("42002007 00000002 C3A9000000000000").unwrap().value, Value::text("é"));
    }

    #[test]
    fn refuses_every_message_that_is_cut_short() {
        let whole = hex("42002001 00000020 42000405 00000004 000000FE00000000 42000507 00000003 4142430000000000");
        assert!(decode(&whole, &Limits::default()).is_ok());
        for end in 0..whole.len() {
            let error = decode(&whole[..end], &Limits::default()).unwrap_err();
            assert_eq!(error.fault, Fault::Truncated, "cut at {end}");
        }
    }

    #[test]
    fn refuses_bytes_after_the_item() {
        assert_eq!(fault("42002002 00000004 0000000800000000 00"), Fault::TrailingBytes);
        assert_eq!(
            fault("42002002 00000004 0000000800000000 42002002 00000004 0000000800000000"),
            Fault::TrailingBytes
        );
    }

    #[test]
    fn refuses_a_field_that_is_longer_than_its_structure() {
        // The structure has room for the header of its field and four bytes of the value; more bytes follow it.
        assert_eq!(fault("42002001 00000008 42000502 00000004 000000FF00000000"), Fault::Truncated);
        assert_eq!(fault("42002001 00000010 42000508 00000009 0000000000000000 0000000000000000"), Fault::Truncated);
    }

    #[test]
    fn believes_no_length_beyond_the_bytes_that_are_there() {
        for code in ["01", "04", "07", "08"] {
            let length = if code == "07" || code == "08" { "FFFFFFFF" } else { "FFFFFFF8" };
            assert_eq!(fault(&format!("420020{code} {length} 0000000000000000")), Fault::Truncated);
        }
    }

    #[test]
    fn says_in_which_field_the_fault_is() {
        let error = read("42007801 00000018 42000F01 00000010 42005C05 00000004 0000000100000001").unwrap_err();
        assert_eq!(error.to_string(), "RequestMessage/BatchItem/Operation: padding is not zero");
    }

    /// A structure in a structure, and so on; `depth` structures in all.
    fn nested(depth: usize) -> Item {
        (1..depth).fold(Item::structure(TAG, vec![]), |inner, _| Item::structure(TAG, vec![inner]))
    }

    #[test]
    fn refuses_structures_nested_deeper_than_the_limit() {
        let limits = Limits { depth: 3, ..Limits::default() };
        assert!(decode(&encode(&nested(3)), &limits).is_ok());
        assert_eq!(decode(&encode(&nested(4)), &limits).unwrap_err().fault, Fault::TooDeep { limit: 3 });
        assert!(decode(&encode(&Item::new(TAG, Value::Integer(1))), &Limits { depth: 0, ..limits }).is_ok());
    }

    #[test]
    fn refuses_more_items_than_the_limit_wherever_they_stand() {
        let leaf = || Item::new(TAG, Value::Integer(1));
        let tree = Item::structure(TAG, vec![leaf(), Item::structure(TAG, vec![leaf()]), leaf()]);
        let bytes = encode(&tree);
        assert!(decode(&bytes, &Limits { items: 5, ..Limits::default() }).is_ok());
        for items in 0..5 {
            let error = decode(&bytes, &Limits { items, ..Limits::default() }).unwrap_err();
            assert_eq!(error.fault, Fault::TooManyItems { limit: items });
        }
    }

    #[test]
    fn refuses_a_message_longer_than_the_limit() {
        let bytes = encode(&Item::new(TAG, Value::Integer(1)));
        assert!(decode(&bytes, &Limits { bytes: 16, ..Limits::default() }).is_ok());
        let error = decode(&bytes, &Limits { bytes: 15, ..Limits::default() }).unwrap_err();
        assert_eq!(error.fault, Fault::TooLarge { limit: 15 });
    }

    #[test]
    fn the_header_of_a_message_tells_its_whole_length() {
        let header = |text: &str| <[u8; 8]>::try_from(hex(text)).unwrap();
        assert_eq!(frame_len(&header("42007801 00000000"), Tag::RequestMessage), Ok(8));
        assert_eq!(frame_len(&header("42007B01 00000088"), Tag::ResponseMessage), Ok(0x90));
        assert_eq!(frame_len(&header("42007801 FFFFFFF0"), Tag::RequestMessage), Ok(0xFFFF_FFF8));
    }

    #[test]
    fn refuses_the_header_of_anything_but_the_message_awaited() {
        let refused = |text: &str| {
            let header = <[u8; 8]>::try_from(hex(text)).unwrap();
            frame_len(&header, Tag::RequestMessage).unwrap_err().fault
        };
        assert_eq!(refused("42007B01 00000088"), Fault::UnexpectedField);
        assert!(matches!(refused("42007802 00000004"), Fault::WrongType { .. }));
        assert!(matches!(refused("42007801 00000007"), Fault::BadLength { .. }));
        assert!(matches!(refused("42007801 FFFFFFF8"), Fault::TooLarge { .. }));
        assert_eq!(refused("16030100 A5010000"), Fault::BadTag(0x16_0301), "a TLS handshake on the plain port");
        assert_eq!(refused("47455420 2F204854"), Fault::BadTag(0x47_4554), "an HTTP request");
    }

    #[test]
    fn a_big_integer_is_sign_extended_to_a_multiple_of_eight_bytes() {
        for (number, written) in [
            ("", "0000000000000000"),
            ("01", "0000000000000001"),
            ("80", "FFFFFFFFFFFFFF80"),
            ("0080", "0000000000000080"),
            ("0102030405060708", "0102030405060708"),
            ("FF02030405060708 09", "FFFFFFFFFFFFFFFF 0203040506070809"),
        ] {
            let item = Item::new(TAG, Value::BigInteger(Zeroizing::new(hex(number))));
            assert_eq!(encode(&item)[8..], hex(written), "{number}");
            assert_eq!(encoded_len(&item), 8 + hex(written).len(), "{number}");
        }
    }

    #[test]
    fn an_enumeration_without_a_number_becomes_one_that_nobody_knows() {
        let item = Item::new(TAG, Value::Enumeration(Enumerated { code: None, name: Some("Active".into()) }));
        assert_eq!(*encode(&item), hex("42002005 00000004 FFFFFFFF00000000"));
    }

    #[test]
    fn writes_into_a_buffer_that_never_grows() {
        let item = Item::structure(TAG, vec![Item::new(TAG, Value::bytes([7; 33])), nested(4)]);
        let bytes = encode(&item);
        assert_eq!(bytes.capacity(), bytes.len());

        let mut out = Vec::with_capacity(1 + encoded_len(&item));
        out.push(0xAA);
        let place = out.as_ptr();
        encode_into(&item, &mut out);
        assert_eq!(out.as_ptr(), place);
        assert_eq!((out[0], &out[1..]), (0xAA, &bytes[..]));
    }
}

//! The macros behind the protocol tables: `tags!`, `kmip_enum!` and `kmip_mask!`.
//!
//! A row is declared once: its number, its name in Rust, its name in the text encodings, and the versions that define it.
//! The text name of a value is the specification's, brought into the form of KMIP Additional Message Encodings 1.0 §4.1.3;
//! where versions spell it differently, every spelling is read and the newest is written.

/// `V1_0..` or `V1_0..V2_0` as a [`crate::version::VersionRange`].
macro_rules! versions {
    ($from:ident ..) => {
        $crate::version::VersionRange::since($crate::version::Version::$from)
    };
    ($from:ident .. $until:ident) => {
        $crate::version::VersionRange::between($crate::version::Version::$from, $crate::version::Version::$until)
    };
}

/// A row's text name: the one given, or else its name in Rust.
macro_rules! text {
    ($name:ident) => {
        stringify!($name)
    };
    ($name:ident $text:literal) => {
        $text
    };
}

/// The constants and lookups of [`crate::tags::Tag`], from rows like `0x42_0057 ObjectType in V1_0..;`. A text name
/// follows the Rust name where the two differ.
macro_rules! tags {
    ($($code:literal $name:ident $($text:literal)? in $from:ident .. $($until:ident)?;)*) => {
        #[expect(non_upper_case_globals, reason = "a tag reads as the specification writes it")]
        impl Tag {
            $(
                #[doc = concat!("`", text!($name $($text)?), "`, `", stringify!($code), "`.")]
                pub const $name: Self = Self($code);
            )*
        }

        impl Tag {
            /// Every tag that some version defines, in the order of their numbers.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// Its name in the text encodings, such as `CryptographicAlgorithm`; none where no version defines it.
            pub const fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($code => Some(text!($name $($text)?)),)*
                    _ => None,
                }
            }

            /// The tag with this name in the text encodings.
            pub fn from_name(name: &str) -> Option<Self> {
                match name {
                    $(text!($name $($text)?) => Some(Self::$name),)*
                    _ => None,
                }
            }

            /// The versions that define it; none where no version does.
            pub const fn versions(self) -> Option<$crate::version::VersionRange> {
                match self.0 {
                    $($code => Some(versions!($from .. $($until)?)),)*
                    _ => None,
                }
            }
        }
    };
}

/// An enumeration, from rows like `Template = 0x06 "Template" in V1_0..V2_0;`. Further spellings of a text name follow
/// after `|`. Vendor extensions (codes `0x8XXXXXXX`) are not represented: to this crate they are unknown values.
macro_rules! kmip_enum {
    (
        $(#[$meta:meta])*
        pub enum $type:ident {
            $($variant:ident = $code:literal $text:literal $(| $alias:literal)* in $from:ident .. $($until:ident)?;)*
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u32)]
        pub enum $type {
            $(
                #[doc = concat!("`", $text, "`, `", stringify!($code), "`.")]
                $variant = $code,
            )*
        }

        impl $type {
            /// Every value of every version, in the order of their codes.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// Its number in the binary encoding.
            pub const fn code(self) -> u32 {
                self as u32
            }

            /// Its name in the text encodings.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)*
                }
            }

            /// The value with this number.
            pub const fn from_code(code: u32) -> Option<Self> {
                match code {
                    $($code => Some(Self::$variant),)*
                    _ => None,
                }
            }

            /// The value with this name in the text encodings.
            pub fn from_name(name: &str) -> Option<Self> {
                match name {
                    $($text $(| $alias)* => Some(Self::$variant),)*
                    _ => None,
                }
            }

            /// The versions that define it.
            pub const fn versions(self) -> $crate::version::VersionRange {
                match self {
                    $(Self::$variant => versions!($from .. $($until)?),)*
                }
            }

            /// Whether `version` defines it.
            pub const fn in_version(self, version: $crate::version::Version) -> bool {
                self.versions().contains(version)
            }

            /// The value that stands in a message: by its number where that is known, else by its name.
            pub fn from_enumerated(found: &$crate::tree::Enumerated) -> Option<Self> {
                match (found.code, &found.name) {
                    (Some(code), _) => Self::from_code(code),
                    (None, Some(name)) => Self::from_name(name),
                    (None, None) => None,
                }
            }

            /// The value as any encoding can write it.
            pub fn to_enumerated(self) -> $crate::tree::Enumerated {
                $crate::tree::Enumerated {
                    code: Some(self.code()),
                    name: Some(::std::borrow::Cow::Borrowed(self.name())),
                }
            }
        }
    };
}

/// A bit mask, from rows like `Encrypt = 0x0000_0004 "Encrypt" in V1_0..;`. Bits without a row are kept, so that an
/// object's mask survives a round trip; [`in_version`](crate::masks::CryptographicUsageMask::in_version) tells of them.
macro_rules! kmip_mask {
    (
        $(#[$meta:meta])*
        pub struct $type:ident {
            $($bit:ident = $code:literal $text:literal $(| $alias:literal)* in $from:ident .. $($until:ident)?;)*
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $type(i32);

        #[expect(non_upper_case_globals, reason = "a bit reads as the specification writes it")]
        impl $type {
            $(
                #[doc = concat!("`", $text, "`, `", stringify!($code), "`.")]
                pub const $bit: Self = Self($code);
            )*
        }

        impl $type {
            /// Every bit of every version, in the order of their numbers.
            pub const ALL: &'static [Self] = &[$(Self::$bit),*];

            /// The mask without any bit.
            pub const fn empty() -> Self {
                Self(0)
            }

            /// The mask as it stands in a message.
            pub const fn bits(self) -> i32 {
                self.0
            }

            /// The mask of these bits, whether or not they are defined.
            pub const fn from_bits(bits: i32) -> Self {
                Self(bits)
            }

            /// The bit with this name in the text encodings.
            pub fn from_name(name: &str) -> Option<Self> {
                match name {
                    $($text $(| $alias)* => Some(Self::$bit),)*
                    _ => None,
                }
            }

            /// Whether no bit is set.
            pub const fn is_empty(self) -> bool {
                self.0 == 0
            }

            /// Whether every bit of `other` is set; so it is for an empty `other`.
            pub const fn contains(self, other: Self) -> bool {
                self.0 & other.0 == other.0
            }

            /// Whether some bit of `other` is set.
            pub const fn intersects(self, other: Self) -> bool {
                self.0 & other.0 != 0
            }

            /// Every bit that `version` defines.
            pub const fn defined_in(version: $crate::version::Version) -> Self {
                let mut bits = 0;
                $(
                    if versions!($from .. $($until)?).contains(version) {
                        bits |= $code;
                    }
                )*
                Self(bits)
            }

            /// Whether `version` defines every bit that is set.
            pub const fn in_version(self, version: $crate::version::Version) -> bool {
                Self::defined_in(version).contains(self)
            }

            /// The names of the bits that are set and have one, in the order of their numbers.
            pub fn names(self) -> impl Iterator<Item = &'static str> {
                [$((Self::$bit, $text)),*].into_iter().filter(move |(bit, _)| self.contains(*bit)).map(|(_, name)| name)
            }
        }

        impl ::std::ops::BitOr for $type {
            type Output = Self;

            fn bitor(self, other: Self) -> Self {
                Self(self.0 | other.0)
            }
        }

        impl ::std::ops::BitOrAssign for $type {
            fn bitor_assign(&mut self, other: Self) {
                self.0 |= other.0;
            }
        }

        impl ::std::ops::BitAnd for $type {
            type Output = Self;

            fn bitand(self, other: Self) -> Self {
                Self(self.0 & other.0)
            }
        }

        /// The names of the bits, then the bits without a name in hexadecimal, as the XML encoding writes a mask.
        impl ::std::fmt::Display for $type {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                let mut rest = self.0;
                $(rest &= !$code;)*
                for (position, name) in self.names().enumerate() {
                    if position > 0 {
                        f.write_str(" ")?;
                    }
                    f.write_str(name)?;
                }
                match (rest, rest == self.0) {
                    (0, _) => Ok(()),
                    (_, true) => write!(f, "0x{rest:08X}"),
                    (_, false) => write!(f, " 0x{rest:08X}"),
                }
            }
        }

        impl ::std::fmt::Debug for $type {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                write!(f, concat!(stringify!($type), "({})"), self)
            }
        }
    };
}

pub(crate) use {kmip_enum, kmip_mask, tags, text, versions};

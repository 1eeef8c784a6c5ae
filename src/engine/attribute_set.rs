//! The attributes of one object: instances with indices, typed access, and the form in which the store keeps them.
//!
//! It knows how many instances an attribute may have, not who may change it: that is `attribute_rules`.

use kmip::{
    attributes::{Attribute, AttributeInstance, AttributeKind, AttributeName, CustomAttribute, Instances},
    enums::State,
    fields::DateTime,
    tags::Tag,
    tree::{Item, Value},
    version::Version,
};

use super::error::OpError;

/// The version whose shapes the store uses: the newest of the 1.x line, which has every attribute this server knows.
const STORED: Version = Version::V1_4;

/// One value of an attribute.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Instance {
    /// The attribute and its value.
    pub(super) attribute: Attribute,
    /// Its Attribute Index (KMIP 1.4 §2.1.1): never changes.
    pub(super) index: i32,
}

impl Instance {
    /// Whether a message of `version` can carry it: neither the attribute nor a value in it is of a newer version.
    pub(super) fn is_defined(&self, version: Version) -> bool {
        let Some(kind) = self.attribute.kind() else { return true };
        kind.versions().contains(version) && kind.read(self.attribute.clone().into_value(version), version).is_ok()
    }

    /// As a message carries it; index 0 is left out.
    pub(super) fn returned(&self) -> AttributeInstance {
        AttributeInstance { attribute: self.attribute.clone(), index: Some(self.index).filter(|index| *index != 0) }
    }
}

/// All attributes of an object, in the order in which they were set.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct AttributeSet(Vec<Instance>);

impl AttributeSet {
    /// Every instance.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Instance> {
        self.0.iter()
    }

    /// Every instance of the attribute called `name`.
    pub(super) fn named<'a>(&'a self, name: &'a AttributeName) -> impl Iterator<Item = &'a Instance> {
        self.0.iter().filter(move |instance| is_named(&instance.attribute, name))
    }

    /// The only instance of a single-instance attribute.
    pub(super) fn get(&self, kind: AttributeKind) -> Option<&Attribute> {
        self.0.iter().map(|instance| &instance.attribute).find(|attribute| attribute.kind() == Some(kind))
    }

    /// Whether the object has the attribute at all.
    pub(super) fn has(&self, kind: AttributeKind) -> bool {
        self.get(kind).is_some()
    }

    /// A date, in seconds since 1970-01-01 UTC.
    pub(super) fn date(&self, kind: AttributeKind) -> Option<i64> {
        self.get(kind).and_then(date_of)
    }

    /// A Boolean; false where it is absent.
    pub(super) fn flag(&self, kind: AttributeKind) -> bool {
        matches!(
            self.get(kind),
            Some(
                Attribute::Fresh(true)
                    | Attribute::Sensitive(true)
                    | Attribute::AlwaysSensitive(true)
                    | Attribute::Extractable(true)
                    | Attribute::NeverExtractable(true)
                    | Attribute::KeyValuePresent(true)
            )
        )
    }

    /// The State as it was last stored; the clock may have moved it since.
    pub(super) fn state(&self) -> State {
        match self.get(AttributeKind::State) {
            Some(Attribute::State(state)) => *state,
            _ => State::PreActive,
        }
    }

    /// Sets a single-instance attribute, whether or not it had a value.
    pub(super) fn set(&mut self, attribute: Attribute) {
        match self.0.iter_mut().find(|instance| instance.attribute.kind() == attribute.kind()) {
            Some(instance) => instance.attribute = attribute,
            None => self.0.push(Instance { attribute, index: 0 }),
        }
    }

    /// Sets a date.
    pub(super) fn set_date(&mut self, kind: AttributeKind, seconds: i64) {
        if let Ok(attribute) = kind.read(Value::DateTime(seconds), STORED) {
            self.set(attribute);
        }
    }

    /// Adds an instance and returns its index: one more than the highest, or the one given.
    ///
    /// # Errors
    /// A second instance of a single-instance attribute, or an index that is taken.
    pub(super) fn add(&mut self, attribute: Attribute, index: Option<i32>) -> Result<i32, OpError> {
        let name = attribute.name();
        if attribute.kind().is_some_and(|kind| kind.instances() == Instances::One) {
            if self.named(&name).next().is_some() {
                return Err(OpError::IndexOutOfBounds("the attribute can have only one value, and has one"));
            }
            if index.is_some_and(|index| index != 0) {
                return Err(OpError::IndexOutOfBounds("an attribute with only one value has index 0"));
            }
        }
        let taken = |wanted: i32| self.named(&name).any(|instance| instance.index == wanted);
        let index = match index {
            Some(index) if taken(index) => return Err(OpError::IndexOutOfBounds("the attribute index is taken")),
            Some(index) => index,
            None => match self.named(&name).map(|instance| instance.index).max() {
                None => 0,
                Some(highest) => {
                    highest.checked_add(1).ok_or(OpError::IndexOutOfBounds("no attribute index is left"))?
                }
            },
        };
        self.0.push(Instance { attribute, index });
        Ok(index)
    }

    /// Replaces the value of the instance with `index`; false where there is none.
    pub(super) fn replace(&mut self, attribute: Attribute, index: i32) -> bool {
        let name = attribute.name();
        let found = self.0.iter_mut().find(|instance| instance.index == index && is_named(&instance.attribute, &name));
        found.map(|instance| instance.attribute = attribute).is_some()
    }

    /// Removes and returns the instance of `name` with `index`.
    pub(super) fn remove(&mut self, name: &AttributeName, index: i32) -> Option<Instance> {
        let position =
            self.0.iter().position(|instance| instance.index == index && is_named(&instance.attribute, name))?;
        Some(self.0.remove(position))
    }

    /// The attributes as fields of the stored metadata.
    pub(super) fn to_items(&self) -> Vec<Item> {
        let mut items = Vec::with_capacity(self.0.len() + 2);
        for Instance { attribute, index } in &self.0 {
            if *index != 0 {
                items.push(Item::new(Tag::AttributeIndex, Value::Integer(*index)));
            }
            items.push(match (attribute.kind(), attribute.clone()) {
                (Some(kind), standard) => Item::new(kind.tag(), standard.into_value(STORED)),
                (None, Attribute::Custom(custom)) => Item::structure(
                    Tag::Attribute,
                    vec![
                        Item::new(Tag::AttributeName, Value::text(custom.name)),
                        Item::new(Tag::AttributeValue, custom.value),
                    ],
                ),
                (None, standard) => Item::new(Tag::Attribute, standard.into_value(STORED)),
            });
        }
        items
    }

    /// Reads what [`AttributeSet::to_items`] wrote.
    pub(super) fn from_items(items: impl Iterator<Item = Item>) -> Option<Self> {
        let mut set = Vec::with_capacity(items.size_hint().0);
        let mut index = 0;
        for item in items {
            if let (Tag::AttributeIndex, Value::Integer(next)) = (item.tag, &item.value) {
                index = *next;
                continue;
            }
            let attribute = match item.tag {
                Tag::Attribute => custom_from(item.value)?,
                tag => AttributeKind::from_tag(tag)?.read(item.value, STORED).ok()?,
            };
            set.push(Instance { attribute, index: std::mem::take(&mut index) });
        }
        Some(Self(set))
    }
}

/// The seconds of a date attribute.
pub(super) fn date_of(attribute: &Attribute) -> Option<i64> {
    match attribute {
        Attribute::InitialDate(DateTime(seconds))
        | Attribute::ActivationDate(DateTime(seconds))
        | Attribute::ProcessStartDate(DateTime(seconds))
        | Attribute::ProtectStopDate(DateTime(seconds))
        | Attribute::DeactivationDate(DateTime(seconds))
        | Attribute::DestroyDate(DateTime(seconds))
        | Attribute::CompromiseOccurrenceDate(DateTime(seconds))
        | Attribute::CompromiseDate(DateTime(seconds))
        | Attribute::ArchiveDate(DateTime(seconds))
        | Attribute::LastChangeDate(DateTime(seconds))
        | Attribute::OriginalCreationDate(DateTime(seconds)) => Some(*seconds),
        _ => None,
    }
}

fn is_named(attribute: &Attribute, name: &AttributeName) -> bool {
    match (attribute, name) {
        (Attribute::Custom(custom), AttributeName::Other(name)) => custom.name == *name,
        (standard, AttributeName::Standard(kind)) => standard.kind() == Some(*kind),
        _ => false,
    }
}

fn custom_from(value: Value) -> Option<Attribute> {
    let Value::Structure(fields) = value else { return None };
    let [name, value] = <[Item; 2]>::try_from(fields).ok()?;
    let (Value::TextString(mut name), Tag::AttributeValue) = (name.value, value.tag) else { return None };
    Some(Attribute::Custom(CustomAttribute { name: std::mem::take(&mut *name), value: value.value }))
}

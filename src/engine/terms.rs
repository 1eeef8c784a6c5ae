//! What Locate can match: the index entries of an object, and the plan of a search over them (KMIP 1.4 §4.9).
//!
//! Every attribute value becomes a term, a structure also one for each of its fields, a usage mask one for each bit, a date
//! a date entry. Values that nearly every object has by default are left out of the index: a search for them finds nearly
//! everything, so looking at the objects costs no more than the answer. Where terms cannot say exactly what the client
//! asked (several fields of a structure, usage limits), they narrow the search and [`Plan::matches`] decides.

use kmip::{
    attributes::{Attribute, AttributeKind, AttributeName},
    enums::{ObjectGroupMember, ObjectType, RngAlgorithm, State},
    error::Fault,
    masks::StorageStatusMask,
    payloads::Criterion,
    tags::Tag,
    tree::{Item, Value},
    ttlv,
    version::Version,
};
use ring::digest::{SHA256, digest};

use super::{attribute_set::date_of, ctx::parse_id, error::OpError, object::ManagedObject, state::is_destroyed};
use crate::store::{DateEntry, DateRange, IndexEntries, ObjectId, Search, Term};

/// The Lease Time that every object gets, in seconds (KMIP 1.4 §3.20).
pub(super) const LEASE_SECONDS: u32 = 3600;
/// The Object Group of objects that were given none; the name is reserved for it (KMIP 1.4 §3.33).
pub(super) const DEFAULT_GROUP: &str = "default";
/// The Operation Policy Name of objects that were given none (KMIP 1.4 §3.18).
pub(super) const DEFAULT_POLICY: &str = "default";
/// A date that stands for a missing one in a search (KMIP 1.4 §4.9).
const NO_DATE: i64 = i64::MAX;

/// What searches find `object` by.
pub(super) fn index_entries(object: &ManagedObject) -> IndexEntries {
    let mut index = IndexEntries::default();
    let mut buffer = Vec::with_capacity(128);
    for instance in object.attributes.iter() {
        let attribute = &instance.attribute;
        let name = attribute.name();
        if let (AttributeName::Standard(kind), Some(seconds)) = (&name, date_of(attribute)) {
            index.dates.push(DateEntry { field: kind.tag().0, seconds });
            continue;
        }
        if is_unindexed(attribute) {
            continue;
        }
        let whole_value = attribute.clone().into_value(Version::V1_4);
        if let (Attribute::CryptographicUsageMask(_), Value::Integer(mask)) = (attribute, &whole_value) {
            index.terms.extend(bits(*mask).map(|bit| term(&name, &Value::Integer(bit), &mut buffer)));
            continue;
        }
        match whole_value {
            Value::Structure(fields) => {
                if let Some(whole) = has_whole_term(&name).then(|| Value::Structure(fields.clone())) {
                    let whole = term(&name, &whole, &mut buffer);
                    index.terms.push(whole);
                    if matches!(attribute, Attribute::Name(_)) {
                        index.unique.push(whole);
                    }
                }
                let telling = fields.into_iter().filter(|field| is_telling(&name, field.tag));
                index.terms.extend(telling.map(|field| term(&name, &Value::Structure(vec![field]), &mut buffer)));
            }
            value => index.terms.push(term(&name, &value, &mut buffer)),
        }
    }
    index
}

/// Structures of two fields, which clients mostly give whole.
fn has_whole_term(name: &AttributeName) -> bool {
    use AttributeKind as K;
    matches!(
        name,
        AttributeName::Standard(
            K::Name | K::Link | K::ApplicationSpecificInformation | K::AlternativeName | K::KeyValueLocation
        )
    )
}

/// Whether a field of a structure tells objects apart: nobody looks for every name that is text, or every SHA-256.
fn is_telling(name: &AttributeName, field: Tag) -> bool {
    match name {
        AttributeName::Standard(AttributeKind::Name) => field == Tag::NameValue,
        AttributeName::Standard(AttributeKind::Digest) => field == Tag::DigestValue,
        _ => true,
    }
}

/// Values that say nothing about an object, because nearly every one has them.
fn is_unindexed(attribute: &Attribute) -> bool {
    match attribute {
        Attribute::Sensitive(false)
        | Attribute::AlwaysSensitive(false)
        | Attribute::Extractable(true)
        | Attribute::NeverExtractable(false)
        | Attribute::Fresh(false)
        | Attribute::KeyValuePresent(_)
        | Attribute::UniqueIdentifier(_)
        | Attribute::UsageLimits(_) => true,
        Attribute::LeaseTime(seconds) => seconds.0 == LEASE_SECONDS,
        Attribute::OperationPolicyName(name) => name == DEFAULT_POLICY,
        Attribute::RandomNumberGenerator(generator) => generator.rng_algorithm == RngAlgorithm::Unspecified,
        Attribute::ObjectGroup(name) => name == DEFAULT_GROUP,
        _ => false,
    }
}

/// The term of a value, or of a structure of some of its fields.
fn term(name: &AttributeName, value: &Value, buffer: &mut Vec<u8>) -> Term {
    buffer.clear();
    let tag = match name {
        AttributeName::Standard(kind) => kind.tag(),
        AttributeName::Other(name) => {
            buffer.extend(name.as_bytes());
            buffer.push(0);
            Tag::Attribute
        }
    };
    let item = Item::new(tag, value.clone());
    ttlv::encode_into(&item, buffer);
    let mut out = [0; 16];
    for (to, from) in out.iter_mut().zip(digest(&SHA256, buffer).as_ref()) {
        *to = *from;
    }
    Term(out)
}

/// The term of a state.
pub(super) fn state_term(state: State) -> Term {
    let name = AttributeName::Standard(AttributeKind::State);
    term(&name, &Value::Enumeration(state.to_enumerated()), &mut Vec::new())
}

/// The term of an object type.
pub(super) fn object_type_term(object_type: ObjectType) -> Term {
    let name = AttributeName::Standard(AttributeKind::ObjectType);
    term(&name, &Value::Enumeration(object_type.to_enumerated()), &mut Vec::new())
}

/// The term of a name, whatever its type.
pub(super) fn name_term(text: &str) -> Term {
    let value = Value::Structure(vec![Item::new(Tag::NameValue, Value::text(text.to_owned()))]);
    term(&AttributeName::Standard(AttributeKind::Name), &value, &mut Vec::new())
}

/// The term of an attribute whose value is text; within `Some`, `None` where the index does not have it. `None` where there is
/// no such attribute, or its value is no text, or it has a place of its own among what an object is looked for by.
pub(super) fn text_term(name: &str, text: &str) -> Option<Option<Term>> {
    let name = AttributeName::parse(name.to_owned(), Version::V1_4);
    let value = Value::text(text.to_owned());
    match &name {
        AttributeName::Standard(AttributeKind::UniqueIdentifier) => return None,
        AttributeName::Standard(kind) => {
            let read = kind.read(value.clone(), Version::V1_4).ok()?;
            if !matches!(read.clone().into_value(Version::V1_4), Value::TextString(_)) {
                return None;
            }
            if is_unindexed(&read) {
                return Some(None);
            }
        }
        other if other.is_custom() => {}
        AttributeName::Other(_) => return None,
    }
    Some(Some(term(&name, &value, &mut Vec::new())))
}

fn bits(mask: i32) -> impl Iterator<Item = i32> {
    (0..i32::BITS).map(|position| 1_i32 << position).filter(move |bit| mask & bit != 0)
}

/// What a Locate request looks for.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    /// The search over the index; offset and limit are the caller's.
    pub(super) search: Search,
    /// The one object that can match, where the request names it.
    pub(super) only: Option<ObjectId>,
    /// Nothing can match.
    pub(super) nothing: bool,
    /// The index alone decides; otherwise every object it finds is to be looked at.
    pub(super) exact: bool,
    /// Only the default member of the group is wanted.
    pub(super) default_member: bool,
    criteria: Vec<Criterion>,
}

impl Plan {
    /// Plans the search for `criteria`.
    ///
    /// # Errors
    /// An attribute that no version defines, a value of the wrong type, or three dates of one kind.
    pub(super) fn new(
        criteria: Vec<Criterion>,
        storage: Option<StorageStatusMask>,
        member: Option<ObjectGroupMember>,
        version: Version,
    ) -> Result<Self, OpError> {
        // On-line is the default; destroyed objects, whose rows remain, are no longer on-line (§9.1.3.3.2).
        let storage = storage.unwrap_or(StorageStatusMask::OnLineStorage);
        let search = Search {
            live: storage.contains(StorageStatusMask::OnLineStorage),
            destroyed: storage.contains(StorageStatusMask::DestroyedStorage),
            // From 2.0 on the newest object comes first (2.0 §6.1.28), and 1.4 is played so already; older clients page
            // through a list that grows at its end.
            newest_first: version >= Version::V1_4,
            ..Search::default()
        };
        let default_member = member == Some(ObjectGroupMember::GroupMemberDefault);
        let mut plan = Self { search, only: None, nothing: false, exact: true, default_member, criteria: Vec::new() };
        if member == Some(ObjectGroupMember::GroupMemberFresh) {
            plan.require_fresh();
        }
        let mut dates = Vec::new();
        for criterion in criteria {
            plan.add(criterion, version, &mut dates)?;
        }
        for (kind, values) in dates {
            plan.date(kind, &values)?;
        }
        Ok(plan)
    }

    /// Whether `object` is what the request looks for.
    pub(super) fn matches(&self, object: &ManagedObject) -> bool {
        let visible = if is_destroyed(object.state()) { self.search.destroyed } else { self.search.live };
        let dated = self.search.ranges.iter().all(|range| {
            object.attributes.iter().any(|instance| {
                instance.attribute.kind().is_some_and(|kind| kind.tag().0 == range.field)
                    && date_of(&instance.attribute).is_some_and(|date| (range.from..=range.to).contains(&date))
            })
        });
        !self.nothing && visible && dated && self.criteria.iter().all(|criterion| has(object, criterion))
    }

    /// The same search without the index of states, which the clock may have left behind.
    pub(super) fn without_states(&self) -> Self {
        let states: Vec<Term> = State::ALL.iter().map(|state| state_term(*state)).collect();
        let mut plan = Self { exact: false, ..self.clone() };
        plan.search.terms.retain(|term| !states.contains(term));
        plan
    }

    /// Narrows the search to objects that no client was given yet.
    pub(super) fn require_fresh(&mut self) {
        self.term(&AttributeName::Standard(AttributeKind::Fresh), &Value::Boolean(true));
    }

    fn term(&mut self, name: &AttributeName, value: &Value) {
        self.search.terms.push(term(name, value, &mut Vec::new()));
        self.criteria.push(Criterion { name: name.clone(), value: value.clone() });
    }

    fn add(
        &mut self,
        criterion: Criterion,
        version: Version,
        dates: &mut Vec<(AttributeKind, Vec<i64>)>,
    ) -> Result<(), OpError> {
        let Criterion { name, value } = criterion;
        let kind = match &name {
            AttributeName::Standard(kind) => *kind,
            other if other.is_custom() => {
                self.value(&name, value);
                return Ok(());
            }
            AttributeName::Other(_) => return Err(OpError::InvalidField("an attribute to locate by is not known")),
        };
        // Whole values are read as the attribute's type; a structure may be given in part and is then compared as it came.
        let value = match kind.read(value.clone(), version) {
            Ok(attribute) => attribute.into_value(Version::V1_4),
            Err(error) if error.fault == Fault::MissingField && matches!(value, Value::Structure(_)) => value,
            Err(error) => return Err(error.within(kind.tag()).into()),
        };
        match (&value, kind) {
            (Value::DateTime(seconds), _) => match dates.iter_mut().find(|(known, _)| *known == kind) {
                Some((_, values)) => values.push(*seconds),
                None => dates.push((kind, vec![*seconds])),
            },
            (Value::TextString(id), AttributeKind::UniqueIdentifier) => match parse_id(id) {
                Some(id) if self.only.is_none_or(|only| only == id) => self.only = Some(id),
                _ => self.nothing = true,
            },
            (Value::Integer(mask), AttributeKind::CryptographicUsageMask) => {
                let terms = bits(*mask).map(|bit| term(&name, &Value::Integer(bit), &mut Vec::new()));
                self.search.terms.extend(terms);
                self.criteria.push(Criterion { name, value });
            }
            (_, AttributeKind::UsageLimits) => {
                self.exact = false;
                self.criteria.push(Criterion { name, value });
            }
            _ => self.value(&name, value),
        }
        Ok(())
    }

    fn value(&mut self, name: &AttributeName, value: Value) {
        if let AttributeName::Standard(kind) = name {
            let read = kind.read(value.clone(), Version::V1_4);
            if read.is_ok_and(|attribute| is_unindexed(&attribute)) {
                self.exact = false;
                self.criteria.push(Criterion { name: name.clone(), value });
                return;
            }
        }
        let Value::Structure(fields) = &value else { return self.term(name, &value) };
        if has_whole_term(name) && fields.len() == 2 {
            return self.term(name, &value);
        }
        let telling = fields.iter().filter(|field| is_telling(name, field.tag));
        let terms: Vec<Term> =
            telling.map(|field| term(name, &Value::Structure(vec![field.clone()]), &mut Vec::new())).collect();
        // One field of one instance is exactly what its term says; several might be spread over instances.
        self.exact &= fields.len() == 1 && terms.len() == 1;
        self.search.terms.extend(terms);
        self.criteria.push(Criterion { name: name.clone(), value });
    }

    fn date(&mut self, kind: AttributeKind, values: &[i64]) -> Result<(), OpError> {
        let (from, to) = match values {
            [only] => (*only, *only),
            [one, other] => (*one.min(other), *one.max(other)),
            _ => return Err(OpError::InvalidField("a date is given more than twice")),
        };
        if from == NO_DATE {
            self.exact = false;
            self.criteria.push(Criterion { name: AttributeName::Standard(kind), value: Value::DateTime(NO_DATE) });
        } else {
            self.search.ranges.push(DateRange { field: kind.tag().0, from, to });
        }
        Ok(())
    }
}

/// Whether some instance of the criterion's attribute is as it asks.
fn has(object: &ManagedObject, criterion: &Criterion) -> bool {
    if criterion.value == Value::DateTime(NO_DATE) {
        return object.attributes.named(&criterion.name).next().is_none();
    }
    object.attributes.named(&criterion.name).any(|instance| {
        let value = instance.attribute.clone().into_value(Version::V1_4);
        match (&instance.attribute, &criterion.value, &value) {
            (Attribute::CryptographicUsageMask(_), Value::Integer(wanted), Value::Integer(found)) => {
                found & wanted == *wanted
            }
            (Attribute::UsageLimits(_), Value::Structure(wanted), Value::Structure(found)) => wanted
                .iter()
                .all(|field| found.iter().any(|other| other.tag == field.tag && at_least(&other.value, &field.value))),
            (_, wanted, found) => covers(found, wanted),
        }
    })
}

/// Whether `found` is `wanted`, or for structures has every field that `wanted` has.
fn covers(found: &Value, wanted: &Value) -> bool {
    match (found, wanted) {
        (Value::Structure(found), Value::Structure(wanted)) => wanted
            .iter()
            .all(|field| found.iter().any(|other| other.tag == field.tag && covers(&other.value, &field.value))),
        (Value::Enumeration(found), Value::Enumeration(wanted)) => found.code == wanted.code,
        _ => found == wanted,
    }
}

fn at_least(found: &Value, wanted: &Value) -> bool {
    match (found, wanted) {
        (Value::LongInteger(found), Value::LongInteger(wanted)) => found >= wanted,
        _ => covers(found, wanted),
    }
}

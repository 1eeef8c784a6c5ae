//! Managed objects: everything but their content, which is in no answer.

use kmip::enums::{ObjectType, State};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::parse_time;
use crate::{
    admin::{http::Resource, problem::Problem},
    engine::{Filter, IdentifierRange, WantedAttribute},
};

/// What administrators may know of a managed object.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ManagedObject {
    /// Its Unique Identifier.
    pub id: Uuid,
    /// The adapter that owns it.
    pub adapter: Uuid,
    /// Its Object Type, such as `SymmetricKey`.
    #[serde(rename = "type")]
    pub object_type: String,
    /// Its State, such as `Active`.
    pub state: String,
    /// Its names. Clients chose them.
    pub names: Vec<String>,
    /// Its cryptographic algorithm.
    pub algorithm: Option<String>,
    /// Its cryptographic length in bits.
    pub length_bits: Option<i32>,
    /// The dates of its life.
    pub dates: ObjectDates,
    /// Whether a client was ever given it.
    pub fetched: bool,
    /// When and with which certificate it was fetched last, to some seconds.
    pub last_use: Option<ObjectUse>,
    /// Destroyed, but its material is held until then and it can be recovered.
    pub held_until: Option<String>,
    /// The root key that protects it; null where its material is gone.
    pub sealed_under: Option<SealedUnder>,
    /// Its other attributes, those of clients among them.
    pub attributes: Vec<ObjectAttribute>,
    /// One more with every change; its ETag.
    pub revision: u64,
}

/// The dates of an object's life.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct ObjectDates {
    /// When the server made or registered it.
    pub initial: Option<String>,
    /// When it was or will be activated.
    pub activation: Option<String>,
    /// When it may begin to process.
    pub process_start: Option<String>,
    /// When it must stop to protect.
    pub protect_stop: Option<String>,
    /// When it was or will be deactivated.
    pub deactivation: Option<String>,
    /// When it was destroyed.
    pub destroy: Option<String>,
    /// When it was or may have been compromised first.
    pub compromise_occurrence: Option<String>,
    /// When the compromise was told.
    pub compromise: Option<String>,
    /// When anything of it changed last.
    pub last_change: Option<String>,
    /// When it was made, wherever that was.
    pub original_creation: Option<String>,
}

/// A use of an object.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ObjectUse {
    /// When.
    pub at: String,
    /// The fingerprint of the client's certificate.
    pub certificate: String,
}

/// What protects an object.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct SealedUnder {
    /// The root key.
    pub root_key: Uuid,
    /// Its version.
    pub version: u32,
}

/// An attribute as text.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ObjectAttribute {
    /// Its name in the specification, or the client's own.
    pub name: String,
    /// Its Attribute Index.
    pub index: i32,
    /// Its value; of byte strings the length only.
    pub value: String,
}

impl Resource for ManagedObject {
    fn path(&self) -> String {
        format!("/v1/objects/{}", self.id)
    }

    fn revision(&self) -> Option<u64> {
        Some(self.revision)
    }
}

/// Which objects are asked for.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ObjectQuery {
    /// In this state: PreActive, Active, Deactivated, Compromised, Destroyed or DestroyedCompromised.
    #[param(example = "Active")]
    pub state: Option<String>,
    /// Of this type: SymmetricKey, SecretData, Certificate and so on.
    #[serde(rename = "type")]
    #[param(rename = "type", example = "SymmetricKey")]
    pub object_type: Option<String>,
    /// With exactly this name.
    pub name: Option<String>,
    /// With this text in one of its names, whatever the case.
    pub name_contains: Option<String>,
    /// With this Unique Identifier, or one that begins so.
    #[param(example = "0190a5f2")]
    pub identifier: Option<String>,
    /// With this attribute, `NAME:VALUE`, whose value is text: one of the client's own, such as `x-Identifier`, or of the
    /// specification, such as `Contact Information`. The value is all of it.
    #[param(example = "x-Product:vSphere")]
    pub attribute: Option<String>,
    /// Made at this time (RFC 3339) or later.
    pub created_from: Option<String>,
    /// Made at this time or earlier.
    pub created_to: Option<String>,
    /// Not fetched at this time or later, as far as is on record.
    pub unused_since: Option<String>,
    /// With true, only destroyed objects whose material is held.
    pub held: Option<bool>,
    /// At most so many items, 1 to 1000.
    #[param(minimum = 1, maximum = 1000)]
    pub limit: Option<u32>,
    /// `next_page` of the page before.
    pub page: Option<String>,
}

impl ObjectQuery {
    /// What is asked for.
    ///
    /// # Errors
    /// A state, type or time that there is not.
    pub fn filter(self) -> Result<Filter, Problem> {
        let time = |field, text| parse_time(field, text).map(|time| time.map(|time| time.as_second()));
        let state = self.state.map(|name| {
            let all = State::ALL.iter().map(|state| state.name()).collect::<Vec<_>>().join(", ");
            State::from_name(&name).ok_or_else(|| Problem::invalid("state", format_args!("allowed is one of {all}")))
        });
        let object_type = self.object_type.map(|name| {
            let all = ObjectType::ALL.iter().map(|kind| kind.name()).collect::<Vec<_>>().join(", ");
            ObjectType::from_name(&name)
                .ok_or_else(|| Problem::invalid("type", format_args!("allowed is one of {all}")))
        });
        Ok(Filter {
            state: state.transpose()?,
            object_type: object_type.transpose()?,
            name: self.name,
            name_contains: self.name_contains,
            identifier: self.identifier.map(|text| identifier(&text)).transpose()?,
            attribute: self.attribute.map(|text| attribute(&text)).transpose()?,
            created_from: time("created_from", self.created_from)?,
            created_to: time("created_to", self.created_to)?,
            unused_since: time("unused_since", self.unused_since)?,
            held: self.held.unwrap_or(false),
        })
    }
}

fn identifier(text: &str) -> Result<IdentifierRange, Problem> {
    IdentifierRange::beginning(text).ok_or_else(|| {
        Problem::invalid(
            "identifier",
            "allowed is a Unique Identifier or its beginning: hexadecimal digits, with or without hyphens",
        )
    })
}

fn attribute(text: &str) -> Result<WantedAttribute, Problem> {
    let wanted = text.split_once(':').and_then(|(name, value)| WantedAttribute::new(name, value));
    wanted.ok_or_else(|| {
        Problem::invalid(
            "attribute",
            "allowed is NAME:VALUE with an attribute whose value is text: one of the client's own (x-…), or one such as Contact \
             Information or Object Group; for names there is the filter name",
        )
    })
}

/// Which objects are asked for, whosever they are: [`ObjectQuery`] and the adapter. Its members stand here again because serde does
/// not refuse unknown filters of a type that flattens another.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ObjectSearch {
    /// Of this adapter.
    pub adapter: Option<Uuid>,
    /// In this state: PreActive, Active, Deactivated, Compromised, Destroyed or DestroyedCompromised.
    #[param(example = "Active")]
    pub state: Option<String>,
    /// Of this type: SymmetricKey, SecretData, Certificate and so on.
    #[serde(rename = "type")]
    #[param(rename = "type", example = "SymmetricKey")]
    pub object_type: Option<String>,
    /// With exactly this name.
    pub name: Option<String>,
    /// With this text in one of its names, whatever the case.
    pub name_contains: Option<String>,
    /// With this Unique Identifier, or one that begins so.
    #[param(example = "0190a5f2")]
    pub identifier: Option<String>,
    /// With this attribute, `NAME:VALUE`, whose value is text: one of the client's own, such as `x-Identifier`, or of the
    /// specification, such as `Contact Information`. The value is all of it.
    #[param(example = "x-Product:vSphere")]
    pub attribute: Option<String>,
    /// Made at this time (RFC 3339) or later.
    pub created_from: Option<String>,
    /// Made at this time or earlier.
    pub created_to: Option<String>,
    /// Not fetched at this time or later, as far as is on record.
    pub unused_since: Option<String>,
    /// With true, only destroyed objects whose material is held.
    pub held: Option<bool>,
    /// At most so many items, 1 to 1000.
    #[param(minimum = 1, maximum = 1000)]
    pub limit: Option<u32>,
    /// `next_page` of the page before.
    pub page: Option<String>,
}

impl ObjectSearch {
    /// The adapter that is asked for, and what of it.
    #[must_use]
    pub fn split(self) -> (Option<Uuid>, ObjectQuery) {
        let Self {
            adapter,
            state,
            object_type,
            name,
            name_contains,
            identifier,
            attribute,
            created_from,
            created_to,
            unused_since,
            held,
            limit,
            page,
        } = self;
        let query = ObjectQuery {
            state,
            object_type,
            name,
            name_contains,
            identifier,
            attribute,
            created_from,
            created_to,
            unused_since,
            held,
            limit,
            page,
        };
        (adapter, query)
    }
}

//! What callers may do: permissions, the built-in roles that bundle them, and grants of roles, everywhere or for one adapter.
//!
//! One table says what each role may do. A grant for one adapter gives the role's permissions that can be about one adapter,
//! and for that adapter only.

use std::fmt;

use utoipa::openapi::{
    RefOr, Schema,
    schema::{ObjectBuilder, Type},
};

use crate::store::{AdapterId, GrantRow};

/// Makes an enumeration whose members have names on the outside.
macro_rules! named {
    ($(#[$about:meta])* $name:ident { $($(#[$doc:meta])* $member:ident = $text:literal),* $(,)? }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
        pub enum $name {
            $($(#[$doc])* #[serde(rename = $text)] $member,)*
        }

        impl $name {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$member,)*];

            /// Its name in the API and in the audit log.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$member => $text,)* }
            }

            /// The one with this name.
            #[must_use]
            pub fn named(name: &str) -> Option<Self> {
                match name { $($text => Some(Self::$member),)* _ => None }
            }
        }

        // The derived one does not see names that a macro gives.
        impl utoipa::PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                let names = Self::ALL.iter().map(|one| one.name());
                ObjectBuilder::new().schema_type(Type::String).enum_values(Some(names)).into()
            }
        }

        impl utoipa::ToSchema for $name {}

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.name())
            }
        }
    };
}

named! {
    /// Something that a caller may or may not do.
    Permission {
        /// Make and change adapters, and what they consist of.
        KmipCreate = "kmip-management.create",
        /// List adapters, certificates and KMIP objects.
        KmipList = "kmip-management.list",
        /// Read one of them.
        KmipRead = "kmip-management.read",
        /// Delete them.
        KmipDelete = "kmip-management.delete",
        /// Make root keys.
        RootKeyCreate = "root-key.create",
        /// List root keys.
        RootKeyList = "root-key.list",
        /// Read one.
        RootKeyRead = "root-key.read",
        /// Give one a new version.
        RootKeyRotate = "root-key.rotate",
        /// Suspend and resume one.
        RootKeySuspend = "root-key.suspend",
        /// Make one from existing key material.
        RootKeyImport = "root-key.import",
        /// Destroy one, with another person's approval.
        RootKeyDestroy = "root-key.destroy",
        /// Have one attested.
        RootKeyAttest = "root-key.attest",
        /// Search the audit log.
        AuditRead = "audit.read",
        /// Read what the server is set to.
        ConfigRead = "config.read",
        /// Change it: reload, certificate authorities.
        ConfigWrite = "config.write",
        /// Make and change identities and their API keys.
        IdentityCreate = "identity.create",
        /// List identities.
        IdentityList = "identity.list",
        /// Read one.
        IdentityRead = "identity.read",
        /// Delete identities, revoke API keys.
        IdentityDelete = "identity.delete",
        /// Ask for what needs a second person.
        ApprovalRequest = "approval.request",
        /// Be that second person.
        ApprovalDecide = "approval.decide",
        /// Make backups.
        BackupCreate = "backup.create",
    }
}

named! {
    /// A built-in bundle of permissions.
    Role {
        /// Lists and reads everything but the audit log.
        Viewer = "viewer",
        /// Runs adapters: certificates, rules, keys; rotates root keys.
        Operator = "operator",
        /// Root keys, approvals, identities and configuration.
        SecurityOfficer = "security-officer",
        /// Reads everything, the audit log as well.
        Auditor = "auditor",
        /// Everything. Nobody approves their own requests, whatever their role.
        Administrator = "administrator",
    }
}

impl Permission {
    /// Whether it can be about one adapter and what belongs to it.
    #[must_use]
    pub fn can_be_of_one_adapter(self) -> bool {
        use Permission as P;
        matches!(
            self,
            P::KmipCreate
                | P::KmipList
                | P::KmipRead
                | P::KmipDelete
                | P::AuditRead
                | P::ApprovalRequest
                | P::ApprovalDecide
        )
    }

    /// Whether it lets its holder see only, and not the audit log.
    fn is_viewing(self) -> bool {
        use Permission as P;
        matches!(
            self,
            P::KmipList
                | P::KmipRead
                | P::RootKeyList
                | P::RootKeyRead
                | P::ConfigRead
                | P::IdentityList
                | P::IdentityRead
        )
    }
}

impl Role {
    /// The table of what roles may do.
    #[must_use]
    pub fn may(self, permission: Permission) -> bool {
        use Permission as P;
        match self {
            Self::Viewer => permission.is_viewing(),
            Self::Auditor => permission.is_viewing() || permission == P::AuditRead,
            Self::Operator => matches!(
                permission,
                P::KmipCreate
                    | P::KmipList
                    | P::KmipRead
                    | P::KmipDelete
                    | P::RootKeyList
                    | P::RootKeyRead
                    | P::RootKeyRotate
                    | P::ApprovalRequest
                    | P::ConfigRead
            ),
            Self::SecurityOfficer => !matches!(permission, P::KmipCreate | P::KmipDelete),
            Self::Administrator => true,
        }
    }
}

/// A role that an identity has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Grant {
    /// The role.
    pub role: Role,
    /// The only adapter that it is for; `None` where it is for everything.
    pub adapter: Option<AdapterId>,
}

impl Grant {
    /// The grant in a row; `None` where its role is one of a newer program, which gives nothing here.
    #[must_use]
    pub fn of(row: &GrantRow) -> Option<Self> {
        Some(Self { role: Role::named(&row.role)?, adapter: row.adapter })
    }

    /// The first permission that this gives and none of `own` gives as far as this does.
    #[must_use]
    pub fn lacking(&self, own: &[Grant]) -> Option<Permission> {
        let scope = self.adapter.map_or(Scope::Everything, Scope::Adapter);
        let lacks = |permission| !own.iter().any(|own| own.allows(permission, scope));
        Permission::ALL.iter().copied().find(|permission| self.allows(*permission, scope) && lacks(*permission))
    }

    /// Whether it allows `permission` in `scope`.
    #[must_use]
    pub fn allows(&self, permission: Permission, scope: Scope) -> bool {
        let covers = match (self.adapter, scope) {
            (None, _) => true,
            (Some(own), Scope::Adapter(adapter)) => own == adapter && permission.can_be_of_one_adapter(),
            (Some(_), Scope::Everything) => false,
        };
        covers && self.role.may(permission)
    }
}

/// What an action touches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The server as a whole, or all adapters.
    Everything,
    /// One adapter and what belongs to it.
    Adapter(AdapterId),
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn names_lead_back_to_their_members() {
        for &permission in Permission::ALL {
            assert_eq!(Permission::named(permission.name()), Some(permission));
            assert_eq!(serde_json::to_value(permission).unwrap(), permission.name());
        }
        for &role in Role::ALL {
            assert_eq!(Role::named(role.name()), Some(role));
        }
        assert_eq!(Role::named("Administrator"), None);
    }

    #[test]
    fn roles_do_what_they_are_for_and_not_the_next_thing() {
        use Permission as P;
        for (role, may, may_not) in [
            (Role::Viewer, P::KmipRead, P::KmipCreate),
            (Role::Viewer, P::RootKeyList, P::AuditRead),
            (Role::Operator, P::KmipDelete, P::RootKeyDestroy),
            (Role::Operator, P::RootKeyRotate, P::IdentityCreate),
            (Role::Operator, P::ApprovalRequest, P::ApprovalDecide),
            (Role::SecurityOfficer, P::RootKeyDestroy, P::KmipDelete),
            (Role::SecurityOfficer, P::ApprovalDecide, P::KmipCreate),
            (Role::Auditor, P::AuditRead, P::RootKeyRotate),
            (Role::Administrator, P::BackupCreate, P::BackupCreate),
        ] {
            assert!(role.may(may), "{role} {may}");
            assert_eq!(role.may(may_not), role == Role::Administrator, "{role} {may_not}");
        }
        assert!(Permission::ALL.iter().all(|&permission| Role::Administrator.may(permission)));
    }

    #[test]
    fn a_grant_lacks_what_no_other_gives_as_far_as_it_does() {
        use Permission as P;
        let (one, other) = (AdapterId(Uuid::from_u128(1)), AdapterId(Uuid::from_u128(2)));
        let grant = |role, adapter| Grant { role, adapter };
        for (given, own, lacks) in [
            (grant(Role::Viewer, None), &[grant(Role::SecurityOfficer, None)][..], None),
            (grant(Role::SecurityOfficer, None), &[grant(Role::SecurityOfficer, None)], None),
            (grant(Role::Operator, None), &[grant(Role::SecurityOfficer, None)], Some(P::KmipCreate)),
            (grant(Role::Operator, Some(one)), &[grant(Role::SecurityOfficer, None)], Some(P::KmipCreate)),
            (grant(Role::Auditor, Some(one)), &[grant(Role::SecurityOfficer, None)], None),
            (grant(Role::Administrator, None), &[grant(Role::Administrator, None)], None),
            (
                grant(Role::Administrator, None),
                &[grant(Role::SecurityOfficer, None), grant(Role::Operator, None)],
                None,
            ),
            (grant(Role::Operator, Some(one)), &[grant(Role::Operator, Some(one))], None),
            (grant(Role::Operator, Some(other)), &[grant(Role::Operator, Some(one))], Some(P::KmipCreate)),
            (grant(Role::Viewer, None), &[grant(Role::Administrator, Some(one))], Some(P::KmipList)),
            (grant(Role::Viewer, None), &[], Some(P::KmipList)),
        ] {
            assert_eq!(given.lacking(own), lacks, "{given:?} of {own:?}");
        }
    }

    #[test]
    fn the_store_knows_the_roles_that_decide() {
        let decides = |role: &&Role| role.may(Permission::ApprovalDecide);
        let names: Vec<_> = Role::ALL.iter().filter(decides).map(|role| role.name()).collect();
        assert_eq!(crate::store::StoreOptions::default().deciding_roles, names);
    }

    #[test]
    fn a_grant_for_one_adapter_ends_at_that_adapter() {
        let (own, other) = (AdapterId(Uuid::from_u128(1)), AdapterId(Uuid::from_u128(2)));
        let grant = Grant { role: Role::Administrator, adapter: Some(own) };
        assert!(grant.allows(Permission::KmipDelete, Scope::Adapter(own)));
        assert!(!grant.allows(Permission::KmipDelete, Scope::Adapter(other)));
        assert!(!grant.allows(Permission::KmipCreate, Scope::Everything), "no new adapters");
        assert!(!grant.allows(Permission::IdentityCreate, Scope::Adapter(own)), "identities are of no adapter");
        let everywhere = Grant { role: Role::Viewer, adapter: None };
        assert!(everywhere.allows(Permission::KmipRead, Scope::Adapter(other)));
        assert!(!everywhere.allows(Permission::KmipDelete, Scope::Adapter(other)));
    }
}

//! Who asks, and what they may do.

use std::{collections::BTreeSet, net::SocketAddr, sync::Arc};

use uuid::Uuid;

use super::{
    permission::{Grant, Permission, Role, Scope},
    problem::{Code, Problem},
};
use crate::{
    audit::{Actor, Identity, Name, Via},
    store::{AdapterId, Fingerprint},
};

/// What a caller is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallerKind {
    /// A program, by an API key.
    Service,
    /// A person, by a client certificate or an API key.
    Operator,
    /// The holder of the token that `keystead init` printed, who can only make the first administrator.
    Bootstrap,
    /// Whoever runs a command on the machine itself and may read and write the server's files.
    LocalUser,
}

/// What a caller proved to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoggedInBy {
    /// An API key.
    ApiKey(Uuid),
    /// The private key of a client certificate.
    Certificate(Fingerprint),
    /// The cookie of a browser session; the session's number, which is no part of the cookie.
    Session(Uuid),
    /// Their real user id on the machine itself.
    LocalUser(u32),
}

/// Who asks. Made anew for every request, so that what was taken away is gone at once.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The identity.
    pub identity: Uuid,
    /// Its name.
    pub name: Arc<str>,
    /// What it is.
    pub kind: CallerKind,
    /// Its roles.
    pub grants: Vec<Grant>,
    /// What it proved to hold.
    pub by: LoggedInBy,
    /// Through whose hands this and its roles came, directly or through others.
    pub hands: BTreeSet<Uuid>,
    /// Its end of the TCP connection; `None` on the machine itself.
    pub address: Option<SocketAddr>,
    /// Joins the request's answer, audit events and log lines.
    pub correlation: Uuid,
}

/// What a caller sees of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Visible {
    /// All of it.
    All,
    /// What belongs to these adapters.
    Of(Vec<AdapterId>),
}

impl Caller {
    /// The user of this machine with the real user id `uid`, who is no identity.
    #[must_use]
    pub(super) fn local(uid: u32, correlation: Uuid) -> Self {
        Self {
            identity: Uuid::nil(),
            name: format!("uid:{uid}").into(),
            kind: CallerKind::LocalUser,
            grants: Vec::new(),
            by: LoggedInBy::LocalUser(uid),
            hands: BTreeSet::new(),
            address: None,
            correlation,
        }
    }

    /// Whether the caller may do what needs `permission` to what is in `scope`. Asked before anything is looked up, so that
    /// the answer tells nothing about what there is.
    ///
    /// # Errors
    /// `Forbidden`; `NotFound` where the caller has such a permission for other adapters only.
    pub fn may(&self, permission: Permission, scope: Scope) -> Result<(), Problem> {
        match self.kind {
            CallerKind::Service | CallerKind::Operator => {}
            CallerKind::LocalUser => return local_user_may(permission),
            CallerKind::Bootstrap => {
                return match permission {
                    Permission::IdentityCreate => Ok(()),
                    _ => Err(Problem::new(
                        Code::Forbidden,
                        "this token only makes the first administrator: POST /v1/identities, then POST /v1/identities/{id}/api-keys",
                    )),
                };
            }
        }
        if self.grants.iter().any(|grant| grant.allows(permission, scope)) {
            return Ok(());
        }
        // What is in sight of no grant does not exist for the caller; what is in sight may not be done.
        let sees =
            |adapter| self.grants.iter().any(|grant| grant.allows(Permission::KmipRead, Scope::Adapter(adapter)));
        match scope {
            Scope::Adapter(adapter) if self.is_scoped() && !sees(adapter) => Err(Problem::not_found("adapter")),
            Scope::Adapter(_) | Scope::Everything => Err(Problem::forbidden(permission)),
        }
    }

    /// What the caller sees of a list of what belongs to adapters.
    ///
    /// # Errors
    /// `Forbidden` where that is nothing.
    pub fn sees(&self, permission: Permission) -> Result<Visible, Problem> {
        if self.kind != CallerKind::Bootstrap {
            if self.may(permission, Scope::Everything).is_ok() {
                return Ok(Visible::All);
            }
            let own = |grant: &Grant| grant.adapter.filter(|own| grant.allows(permission, Scope::Adapter(*own)));
            let adapters: Vec<_> = self.grants.iter().filter_map(own).collect();
            if !adapters.is_empty() {
                return Ok(Visible::Of(adapters));
            }
        }
        self.may(permission, Scope::Everything).map(|()| Visible::All)
    }

    /// The caller in audit events.
    #[must_use]
    pub fn actor(&self) -> Actor {
        let via = match self.by {
            LoggedInBy::ApiKey(key) => Via::ApiKey(key),
            LoggedInBy::Certificate(fingerprint) => Via::Certificate(fingerprint),
            LoggedInBy::Session(number) => Via::Session(number),
            LoggedInBy::LocalUser(uid) => return Actor::LocalUser { uid },
        };
        Actor::Identity(Identity { id: self.identity, name: Name::new(&self.name), via })
    }

    /// Whether one of the caller's grants is this role for everything.
    #[must_use]
    pub fn is_everywhere(&self, role: Role) -> bool {
        self.grants.contains(&Grant { role, adapter: None })
    }

    /// Has a grant for one adapter.
    fn is_scoped(&self) -> bool {
        self.grants.iter().any(|grant| grant.adapter.is_some())
    }
}

/// Whoever has the server's files may do everything with them but be one of two people, or make people: in the records these
/// must be identities that somebody gave to somebody.
fn local_user_may(permission: Permission) -> Result<(), Problem> {
    let detail = match permission {
        Permission::ApprovalRequest | Permission::ApprovalDecide => {
            "two people agree over the admin API, each with an identity of their own, and the files of the machine are nobody's: use a \
             context (`keystead context add`)"
        }
        Permission::IdentityCreate | Permission::IdentityDelete => {
            "identities are made and deleted over the admin API, by an identity: use a context (`keystead context add`); on the machine \
             itself, `keystead admin-token` prints a token that makes an administrator"
        }
        _ => return Ok(()),
    };
    Err(Problem::new(Code::Forbidden, detail).with("permission", permission.name()))
}

impl Visible {
    /// Whether something of this adapter is seen.
    #[must_use]
    pub fn includes(&self, adapter: AdapterId) -> bool {
        match self {
            Self::All => true,
            Self::Of(adapters) => adapters.contains(&adapter),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(kind: CallerKind, grants: &[(Role, Option<u128>)]) -> Caller {
        Caller {
            identity: Uuid::from_u128(9),
            name: "somebody".into(),
            kind,
            grants: grants.iter().map(|&(role, adapter)| Grant { role, adapter: adapter.map(adapter_id) }).collect(),
            by: LoggedInBy::ApiKey(Uuid::nil()),
            hands: BTreeSet::new(),
            address: "192.0.2.1:1".parse().ok(),
            correlation: Uuid::nil(),
        }
    }

    fn adapter_id(number: u128) -> AdapterId {
        AdapterId(Uuid::from_u128(number))
    }

    fn refusal(caller: &Caller, permission: Permission, scope: Scope) -> Option<Code> {
        caller.may(permission, scope).err().map(|problem| problem.code())
    }

    #[test]
    fn what_is_out_of_scope_is_not_there_and_what_is_in_it_may_be_forbidden() {
        let scoped = caller(CallerKind::Service, &[(Role::Viewer, Some(1))]);
        let (own, other) = (Scope::Adapter(adapter_id(1)), Scope::Adapter(adapter_id(2)));
        assert_eq!(refusal(&scoped, Permission::KmipRead, own), None);
        assert_eq!(refusal(&scoped, Permission::KmipDelete, own), Some(Code::Forbidden));
        assert_eq!(refusal(&scoped, Permission::KmipRead, other), Some(Code::NotFound));
        assert_eq!(refusal(&scoped, Permission::KmipDelete, other), Some(Code::NotFound));
        assert_eq!(refusal(&scoped, Permission::RootKeyList, Scope::Everything), Some(Code::Forbidden));
        let viewer = caller(CallerKind::Service, &[(Role::Viewer, None)]);
        assert_eq!(refusal(&viewer, Permission::KmipDelete, other), Some(Code::Forbidden));
        assert_eq!(refusal(&caller(CallerKind::Service, &[]), Permission::KmipRead, own), Some(Code::Forbidden));
    }

    #[test]
    fn lists_show_what_is_in_scope() {
        let scoped = caller(CallerKind::Service, &[(Role::Operator, Some(1)), (Role::Viewer, Some(2))]);
        let seen = scoped.sees(Permission::KmipList).unwrap();
        assert!(seen.includes(adapter_id(1)) && seen.includes(adapter_id(2)) && !seen.includes(adapter_id(3)));
        assert_eq!(scoped.sees(Permission::KmipDelete).unwrap(), Visible::Of(vec![adapter_id(1)]));
        assert_eq!(scoped.sees(Permission::RootKeyList).unwrap_err().code(), Code::Forbidden);
        let viewer = caller(CallerKind::Service, &[(Role::Viewer, None)]);
        assert_eq!(viewer.sees(Permission::KmipList).unwrap(), Visible::All);
    }

    #[test]
    fn a_local_user_does_everything_but_what_takes_people() {
        let local = Caller::local(1000, Uuid::nil());
        for &permission in Permission::ALL {
            let takes_people = ["approval.", "identity.create", "identity.delete"];
            let expected = takes_people.iter().any(|name| permission.name().starts_with(name));
            for scope in [Scope::Everything, Scope::Adapter(adapter_id(1))] {
                let refused = refusal(&local, permission, scope);
                assert_eq!(refused, expected.then_some(Code::Forbidden), "{permission}");
            }
        }
        assert_eq!(local.sees(Permission::KmipList).unwrap(), Visible::All);
        assert!(local.sees(Permission::ApprovalDecide).is_err());
        assert_eq!(local.actor(), Actor::LocalUser { uid: 1000 });
    }

    #[test]
    fn the_bootstrap_token_makes_identities_and_nothing_else() {
        let bootstrap = caller(CallerKind::Bootstrap, &[(Role::Administrator, None)]);
        for &permission in Permission::ALL {
            let allowed = bootstrap.may(permission, Scope::Everything).is_ok();
            assert_eq!(allowed, permission == Permission::IdentityCreate, "{permission}");
        }
        assert!(bootstrap.sees(Permission::KmipList).is_err());
    }
}

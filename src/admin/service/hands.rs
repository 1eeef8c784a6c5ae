//! Who may give which access, and through whose hands it then came: nobody plays both of the two people that something takes.
//!
//! Whoever makes an identity or an API key can keep the key and act as both. So whatever is given carries the hands through which
//! it came: who gave it, and all through whose hands the giver's own access came. Two people are two where neither is among the
//! other's hands and no third one is among both. The first two who may decide have none: the store sees to that.

use std::collections::BTreeSet;

use uuid::Uuid;

use super::Service;
use crate::{
    admin::{
        caller::{Caller, CallerKind},
        permission::{Grant, Permission, Role},
        problem::{Code, Problem},
    },
    store::{ApprovalRow, IdentityRow, StoreError},
};

/// Most identities through whose hands access may come.
const MOST_HANDS: usize = 64;

/// Whether an identity is an administrator of everything.
pub(super) fn is_administrator(row: &IdentityRow) -> bool {
    row.grants.iter().any(|grant| grant.role == Role::Administrator.name() && grant.adapter.is_none())
}

/// Refuses to manage an identity that may do more than the caller; the bootstrap token manages the administrator that it makes.
pub(super) fn may_manage(caller: &Caller, row: &IdentityRow) -> Result<(), Problem> {
    if caller.kind == CallerKind::Bootstrap {
        return match row.created_by == Some(caller.identity) && is_administrator(row) {
            true => Ok(()),
            false => Err(Problem::invalid(
                "grants",
                "this token makes the first administrator only: grants must be [{\"role\": \"administrator\"}]",
            )),
        };
    }
    for grant in &row.grants {
        let lacking = match Grant::of(grant) {
            Some(grant) => grant.lacking(&caller.grants),
            // Nobody can tell here what a newer program's role allows.
            None => Grant { role: Role::Administrator, adapter: None }.lacking(&caller.grants),
        };
        if let Some(permission) = lacking {
            let detail = format!(
                "nobody gives, changes or takes away what they may not do themselves: the role {} may {permission}, and you may \
                 not, or not as far; ask an administrator",
                grant.role
            );
            return Err(Problem::new(Code::Forbidden, detail).with("permission", permission.name()));
        }
    }
    Ok(())
}

/// Refuses to end an administrator's access to those who are none. Others' may be ended (keys revoked, the identity disabled or
/// deleted) by whoever manages identities at all: what is in the wrong hands has to go at once, and nobody gains by it.
pub(super) fn may_end(caller: &Caller, row: &IdentityRow) -> Result<(), Problem> {
    if caller.kind == CallerKind::Bootstrap {
        return may_manage(caller, row);
    }
    if is_administrator(row) && !caller.is_everywhere(Role::Administrator) {
        return Err(Problem::new(Code::Forbidden, "only an administrator may end the access of administrators"));
    }
    Ok(())
}

/// Through whose hands that comes which the caller gives to the identity `to`. What one gives to oneself came through those before,
/// and what the bootstrap token gives came from the server's own machine.
///
/// # Errors
/// They are too many.
pub(super) fn hands_of(caller: &Caller, to: Uuid) -> Result<BTreeSet<Uuid>, Problem> {
    let mut hands = caller.hands.clone();
    match caller.kind {
        CallerKind::Bootstrap => return Ok(BTreeSet::new()),
        // The files of the machine are nobody's hands; see `Caller::may`.
        CallerKind::LocalUser => return Err(Problem::forbidden(Permission::IdentityCreate)),
        CallerKind::Service | CallerKind::Operator if caller.identity != to => drop(hands.insert(caller.identity)),
        CallerKind::Service | CallerKind::Operator => {}
    }
    bounded(hands)
}

/// Through whose hands the grants and the certificate of `before` came once the caller has made `after` of it.
///
/// # Errors
/// They are too many.
pub(super) fn hands_after(
    caller: &Caller,
    before: &IdentityRow,
    after: &IdentityRow,
) -> Result<BTreeSet<Uuid>, Problem> {
    let own: Vec<_> = before.grants.iter().filter_map(Grant::of).collect();
    let gives_more = |row| Grant::of(row).is_none_or(|grant| grant.lacking(&own).is_some());
    let gives_roles = after.grants.iter().filter(|row| !before.grants.contains(row)).any(gives_more);
    let gives_certificate = after.certificate.is_some() && after.certificate != before.certificate;
    if !gives_roles && !gives_certificate {
        return Ok(before.hands.clone());
    }
    let mut hands = hands_of(caller, before.id)?;
    // What stays as it was came as it came: the certificate beside new roles, or the roles beside a new certificate.
    let keeps_certificate = !gives_certificate && after.certificate.is_some();
    let keeps_roles = !gives_roles && !after.grants.is_empty();
    if keeps_certificate || keeps_roles {
        hands.extend(&before.hands);
    }
    bounded(hands)
}

fn bounded(hands: BTreeSet<Uuid>) -> Result<BTreeSet<Uuid>, Problem> {
    if hands.len() <= MOST_HANDS {
        return Ok(hands);
    }
    let detail = format!(
        "this access would come through the hands of more than {MOST_HANDS} identities: let somebody give it who got theirs through \
         fewer; what the token of `keystead admin-token` makes on the server's machine came through nobody's"
    );
    Err(Problem::new(Code::LimitReached, detail).with("limit", MOST_HANDS))
}

impl Service {
    /// Refuses to decide over a request to whoever made it, with whatever key, and to whoever is not somebody else.
    pub(super) fn must_be_independent(&self, caller: &Caller, row: &ApprovalRow) -> Result<(), Problem> {
        must_be_another(caller, row)?;
        let asked = &row.requested_name;
        let shared = caller.hands.intersection(&row.hands).next();
        let (hand, why) = if caller.hands.contains(&row.requested_by) {
            (row.requested_by, format!("{asked} gave you, directly or through others, the access that you decide with"))
        } else if row.hands.contains(&caller.identity) {
            (
                caller.identity,
                format!("you gave {asked}, directly or through others, the access that this was asked for with"),
            )
        } else if let Some(&shared) = shared {
            let found = self.store.identity(shared)?;
            let name = found.map_or_else(|| format!("somebody who is gone ({shared})"), |row| row.name);
            (shared, format!("{name} gave both you and {asked}, directly or through others, your access"))
        } else {
            return Ok(());
        };
        let detail = format!(
            "{why}: a third person must decide. `keystead admin-token` on the server's machine gives access that comes from nobody"
        );
        Err(Problem::new(Code::NotIndependent, detail).with("given_by", hand.to_string()))
    }
}

/// Nobody decides on what they asked for, with whatever key.
pub(super) fn must_be_another(caller: &Caller, row: &ApprovalRow) -> Result<(), Problem> {
    if caller.identity == row.requested_by { Err(StoreError::OwnRequest.into()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        admin::caller::LoggedInBy,
        store::{AdapterId, Fingerprint, GrantRow, IdentityCertificate},
    };

    const GIVER: Uuid = Uuid::from_u128(1);
    const OTHER: Uuid = Uuid::from_u128(2);
    const OWNER: Uuid = Uuid::from_u128(3);

    fn caller(kind: CallerKind, hands: impl IntoIterator<Item = Uuid>) -> Caller {
        Caller {
            identity: GIVER,
            name: "giver".into(),
            kind,
            grants: vec![Grant { role: Role::Administrator, adapter: None }],
            by: LoggedInBy::ApiKey(Uuid::nil()),
            hands: hands.into_iter().collect(),
            address: "192.0.2.1:1".parse().ok(),
            correlation: Uuid::nil(),
        }
    }

    fn row(role: &str, certificate: Option<u8>) -> IdentityRow {
        IdentityRow {
            id: OWNER,
            kind: "operator".into(),
            name: "owner".into(),
            description: None,
            certificate: certificate
                .map(|number| IdentityCertificate { fingerprint: Fingerprint([number; 32]), der: vec![number] }),
            disabled: false,
            revision: 1,
            created_at: 0,
            changed_at: 0,
            created_by: None,
            grants: Some(role).filter(|role| !role.is_empty()).map(grant).into_iter().collect(),
            hands: [OTHER].into(),
        }
    }

    fn grant(role: &str) -> GrantRow {
        GrantRow { role: role.into(), adapter: None }
    }

    #[test]
    fn what_is_given_comes_through_the_giver_and_all_before_and_what_one_makes_for_oneself_through_those_before() {
        let operator = caller(CallerKind::Operator, [OTHER]);
        assert_eq!(hands_of(&operator, OWNER).unwrap(), [GIVER, OTHER].into());
        assert_eq!(hands_of(&operator, GIVER).unwrap(), [OTHER].into());
        assert_eq!(hands_of(&caller(CallerKind::Bootstrap, []), OWNER).unwrap(), BTreeSet::new());
    }

    #[test]
    fn only_what_gives_something_makes_new_hands_and_what_stays_keeps_the_old_ones() {
        let giver = caller(CallerKind::Service, []);
        let scoped = |role| GrantRow { adapter: Some(AdapterId(Uuid::nil())), ..grant(role) };
        let (old, new, both) = ([OTHER].into(), [GIVER].into(), [GIVER, OTHER].into());
        let cases: [(IdentityRow, IdentityRow, &BTreeSet<Uuid>); 13] = [
            (row("administrator", Some(1)), row("administrator", Some(1)), &old),
            (row("administrator", None), row("operator", None), &old),
            (row("administrator", None), row("", None), &old),
            (row("administrator", None), IdentityRow { grants: vec![scoped("operator")], ..row("", None) }, &old),
            (row("operator", Some(1)), row("operator", None), &old),
            (IdentityRow { disabled: true, ..row("operator", None) }, row("operator", None), &old),
            (row("operator", None), row("administrator", None), &new),
            (row("", None), row("viewer", None), &new),
            (IdentityRow { grants: vec![scoped("viewer")], ..row("", None) }, row("viewer", None), &new),
            (row("operator", Some(1)), row("administrator", Some(1)), &both),
            (row("operator", Some(1)), row("operator", Some(2)), &both),
            (row("operator", None), row("administrator", Some(2)), &new),
            (row("", None), row("", Some(2)), &new),
        ];
        for (number, (before, after, hands)) in cases.iter().enumerate() {
            assert_eq!(hands_after(&giver, before, after).unwrap(), **hands, "case {number}");
        }
    }

    #[test]
    fn a_role_of_a_newer_program_is_an_administrators_to_manage_and_comes_from_whoever_gives_it() {
        let unknown = row("from the future", None);
        assert!(may_manage(&caller(CallerKind::Operator, []), &unknown).is_ok());
        let officer = Caller {
            grants: vec![Grant { role: Role::SecurityOfficer, adapter: None }],
            ..caller(CallerKind::Operator, [])
        };
        assert_eq!(may_manage(&officer, &unknown).unwrap_err().code(), Code::Forbidden);
        assert!(may_manage(&officer, &row("auditor", None)).is_ok());
        let given = hands_after(&officer, &row("auditor", None), &unknown).unwrap();
        assert_eq!(given, [GIVER].into());
    }

    #[test]
    fn hands_are_limited() {
        let many = |count: usize| (0..count).map(|number| Uuid::from_u128(1000 + number as u128));
        assert_eq!(hands_of(&caller(CallerKind::Operator, many(MOST_HANDS - 1)), OWNER).unwrap().len(), MOST_HANDS);
        let full = caller(CallerKind::Operator, many(MOST_HANDS));
        assert_eq!(hands_of(&full, OWNER).unwrap_err().code(), Code::LimitReached);
        assert_eq!(hands_of(&full, GIVER).unwrap().len(), MOST_HANDS);
        let after = row("administrator", Some(1));
        let problem = hands_after(&full, &row("operator", Some(1)), &after).unwrap_err();
        assert_eq!(problem.code(), Code::LimitReached);
    }
}

//! Identities, their roles and their API keys.
//!
//! Nobody comes to more rights by managing identities than somebody gave them: nobody changes their own roles, nor gives what they
//! may not do themselves, and what is given carries the hands through which it came ([`super::hands`]). One administrator always
//! remains.

use uuid::Uuid;

use super::{
    Service,
    hands::{hands_after, hands_of, may_end, may_manage},
    now,
};
use crate::{
    admin::{
        api_key::ApiKey,
        caller::{Caller, CallerKind, LoggedInBy},
        etag::IfMatch,
        model::{
            ApiKeyInfo, CertificateInfo, GrantModel, Identity, IdentityChange, IdentityKind, NewApiKey, NewIdentity,
            NewlyMadeApiKey, Password, shown_time,
        },
        page::{Page, Window},
        permission::{Grant, Permission, Role, Scope},
        problem::{Code, Problem},
    },
    audit::{Name, Subject},
    ca::read_certificates,
    store::{AdapterId, ApiKeyRow, GrantRow, IdentityCertificate, IdentityRow, Keep, Spend, StoreError},
    text,
    trust::fingerprint,
};

/// Most roles of one identity.
const MOST_GRANTS: usize = 256;
/// How long an API key is valid where nothing is said, and at most, in days.
const USUAL_DAYS: u32 = 365;
const MOST_DAYS: u32 = 3660;
const DAY: i64 = 86_400;

/// What no change of identities takes away: somebody who can manage all of them.
fn an_administrator(at: i64) -> Option<Keep> {
    Some(Keep { role: Role::Administrator.name(), at })
}

impl IdentityKind {
    /// Its name in the store.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Service => "service",
            Self::Operator => "operator",
            Self::Bootstrap => "bootstrap",
        }
    }

    fn named(name: &str) -> Result<Self, Problem> {
        let all = [Self::Service, Self::Operator, Self::Bootstrap];
        all.into_iter()
            .find(|kind| kind.name() == name)
            .ok_or_else(|| Problem::internal("an identity of an unknown kind"))
    }
}

impl Service {
    /// Makes an identity. With the token of `keystead init`, an administrator.
    pub(in crate::admin) fn create_identity(&self, caller: &Caller, new: NewIdentity) -> Result<Identity, Problem> {
        let id = Uuid::new_v4();
        let about = Subject { identity: Some(id), name: Some(Name::new(&new.name)), ..Subject::default() };
        self.act(caller, "identity.create", (Permission::IdentityCreate, Scope::Everything), about, |about| {
            check_texts(Some(&new.name), new.description.as_deref())?;
            if new.kind == IdentityKind::Bootstrap {
                return Err(Problem::invalid("kind", "allowed is service or operator"));
            }
            let certificate = new.certificate_pem.as_deref().map(|pem| read_certificate(pem, new.kind)).transpose()?;
            about.certificate = certificate.as_ref().map(|certificate| certificate.fingerprint);
            let at = now();
            let row = IdentityRow {
                id,
                kind: new.kind.name().to_owned(),
                name: new.name,
                description: new.description,
                certificate,
                disabled: false,
                revision: 1,
                created_at: at,
                changed_at: at,
                created_by: Some(caller.identity),
                grants: grant_rows(&new.grants)?,
                hands: hands_of(caller, id)?,
            };
            self.check_adapters(&row.grants)?;
            may_manage(caller, &row)?;
            // A certificate lets its holder in at once.
            let spend = spend(caller, at).filter(|_| row.certificate.is_some());
            self.store.insert_identity(row, spend).map_err(|error| taken(error, spend))?;
            // As it is kept: the store knows whether hands are.
            shown(self.find_identity(id)?)
        })
    }

    /// Lists identities by name.
    pub(in crate::admin) fn list_identities(
        &self,
        caller: &Caller,
        window: &Window,
    ) -> Result<Page<Identity>, Problem> {
        self.list(caller, "identity.list", Permission::IdentityList, |_| {
            let Page { items, next_page } = window.cut(self.store.identities()?, |row| row.name.clone());
            Ok(Page { items: items.into_iter().map(shown).collect::<Result<_, _>>()?, next_page })
        })
    }

    /// Reads an identity.
    pub(in crate::admin) fn read_identity(&self, caller: &Caller, id: Uuid) -> Result<Identity, Problem> {
        let may = (Permission::IdentityRead, Scope::Everything);
        self.act(caller, "identity.read", may, of(id), |_| shown(self.find_identity(id)?))
    }

    /// Changes an identity.
    pub(in crate::admin) fn update_identity(
        &self,
        caller: &Caller,
        id: Uuid,
        if_match: &IfMatch,
        change: IdentityChange,
    ) -> Result<Identity, Problem> {
        let may = (Permission::IdentityCreate, Scope::Everything);
        self.act(caller, "identity.update", may, of(id), |about| {
            let mut row = self.find_identity(id)?;
            about.name = Some(Name::new(&row.name));
            must_be_manageable(caller, &row)?;
            if_match.check(row.revision)?;
            let may = if change.only_disables() { may_end } else { may_manage };
            may(caller, &row)?;
            if caller.kind == CallerKind::Bootstrap {
                // A certificate given here would let its holder in without the token being spent.
                let detail = "the single-use token makes an administrator and their first API key, nothing else: delete this \
                              identity and make another";
                return Err(Problem::new(Code::Forbidden, detail));
            }
            let kind = IdentityKind::named(&row.kind)?;
            check_texts(change.name.as_deref(), change.description.as_ref().and_then(Option::as_deref))?;
            if caller.identity == id && (change.grants.is_some() || change.disabled == Some(true)) {
                return Err(Problem::new(
                    Code::OwnRequest,
                    "nobody changes their own roles or disables themselves: another person must",
                ));
            }
            let before = row.clone();
            row.name = change.name.unwrap_or(row.name);
            row.description = change.description.unwrap_or(row.description);
            row.disabled = change.disabled.unwrap_or(row.disabled);
            if let Some(grants) = &change.grants {
                row.grants = grant_rows(grants)?;
                self.check_adapters(&row.grants)?;
            }
            if let Some(pem) = &change.certificate_pem {
                row.certificate = pem.as_deref().map(|pem| read_certificate(pem, kind)).transpose()?;
                about.certificate = row.certificate.as_ref().map(|certificate| certificate.fingerprint);
            }
            may(caller, &row)?;
            row.hands = hands_after(caller, &before, &row)?;
            row.revision += 1;
            row.changed_at = now();
            let keep = an_administrator(row.changed_at);
            self.store.update_identity(row, keep).map_err(|error| taken(error, None))?;
            shown(self.find_identity(id)?)
        })
    }

    /// Deletes an identity with its API keys.
    pub(in crate::admin) fn delete_identity(
        &self,
        caller: &Caller,
        id: Uuid,
        if_match: &IfMatch,
    ) -> Result<(), Problem> {
        let may = (Permission::IdentityDelete, Scope::Everything);
        self.act(caller, "identity.delete", may, of(id), |about| {
            let row = self.find_identity(id)?;
            about.name = Some(Name::new(&row.name));
            if_match.check(row.revision)?;
            may_end(caller, &row)?;
            if caller.identity == id {
                return Err(Problem::new(Code::OwnRequest, "nobody deletes themselves: another person must"));
            }
            Ok(self.store.delete_identity(id, row.revision, an_administrator(now()))?)
        })
    }

    /// Makes an API key. The secret is in the answer and nowhere else.
    pub(in crate::admin) fn create_api_key(
        &self,
        caller: &Caller,
        identity: Uuid,
        new: NewApiKey,
    ) -> Result<NewlyMadeApiKey, Problem> {
        let key = ApiKey::generate().map_err(Problem::internal)?;
        let about = Subject { api_key: Some(key.id), ..of(identity) };
        self.act(caller, "api_key.create", (Permission::IdentityCreate, Scope::Everything), about, |about| {
            let owner = self.find_identity(identity)?;
            about.name = Some(Name::new(&owner.name));
            must_be_manageable(caller, &owner)?;
            may_manage(caller, &owner)?;
            text::check(&new.name, text::NAME).map_err(|bad| bad.of("name"))?;
            let days = new.expires_in_days.unwrap_or(USUAL_DAYS);
            if !(1..=MOST_DAYS).contains(&days) {
                return Err(Problem::invalid("expires_in_days", format_args!("allowed is 1 to {MOST_DAYS}")));
            }
            let at = now();
            let row = ApiKeyRow {
                id: key.id,
                identity,
                name: new.name,
                hash: key.hash(),
                single_use: false,
                created_at: at,
                expires_at: Some(at + i64::from(days) * DAY),
                revoked_at: None,
                used_at: None,
                hands: hands_of(caller, identity)?,
            };
            let spend = spend(caller, at);
            self.store.insert_api_key(row, spend).map_err(|error| taken(error, spend))?;
            let (row, _) = self.find_api_key(identity, key.id)?;
            Ok(NewlyMadeApiKey { key: Password(key.text()), info: key_shown(row, at) })
        })
    }

    /// Lists the API keys of an identity, without their secrets.
    pub(in crate::admin) fn list_api_keys(
        &self,
        caller: &Caller,
        identity: Uuid,
        window: &Window,
    ) -> Result<Page<ApiKeyInfo>, Problem> {
        let may = (Permission::IdentityList, Scope::Everything);
        self.act(caller, "api_key.list", may, of(identity), |_| {
            self.find_identity(identity)?;
            let at = now();
            let rows = self.store.api_keys(identity)?.into_iter().map(|row| key_shown(row, at));
            Ok(window.cut(rows, |key| format!("{} {}", key.created_at, key.id)))
        })
    }

    /// Reads what is kept of an API key.
    pub(in crate::admin) fn read_api_key(
        &self,
        caller: &Caller,
        identity: Uuid,
        key: Uuid,
    ) -> Result<ApiKeyInfo, Problem> {
        let may = (Permission::IdentityRead, Scope::Everything);
        let about = Subject { api_key: Some(key), ..of(identity) };
        self.act(caller, "api_key.read", may, about, |_| {
            let (row, _) = self.find_api_key(identity, key)?;
            Ok(key_shown(row, now()))
        })
    }

    /// Revokes an API key; one that is revoked stays so. Sessions that it began end with it.
    pub(in crate::admin) fn revoke_api_key(&self, caller: &Caller, identity: Uuid, key: Uuid) -> Result<(), Problem> {
        let may = (Permission::IdentityDelete, Scope::Everything);
        let about = Subject { api_key: Some(key), ..of(identity) };
        self.act(caller, "api_key.revoke", may, about, |_| {
            let (_, owner) = self.find_api_key(identity, key)?;
            may_end(caller, &owner)?;
            let at = now();
            match self.store.revoke_api_key(key, at, an_administrator(at)) {
                Ok(()) | Err(StoreError::Conflict) => Ok(()),
                Err(error) => Err(error.into()),
            }
        })
    }

    fn find_identity(&self, id: Uuid) -> Result<IdentityRow, Problem> {
        self.store.identity(id)?.ok_or_else(|| Problem::not_found("identity"))
    }

    fn find_api_key(&self, identity: Uuid, key: Uuid) -> Result<(ApiKeyRow, IdentityRow), Problem> {
        let found = self.store.api_key(key)?.filter(|(row, _)| row.identity == identity);
        found.ok_or_else(|| Problem::not_found("API key"))
    }

    fn check_adapters(&self, grants: &[GrantRow]) -> Result<(), Problem> {
        for adapter in grants.iter().filter_map(|grant| grant.adapter) {
            if self.store.adapter(adapter)?.is_none() {
                return Err(Problem::invalid("grants.adapter", format_args!("there is no adapter {}", adapter.0)));
            }
        }
        Ok(())
    }
}

fn of(identity: Uuid) -> Subject {
    Subject { identity: Some(identity), ..Subject::default() }
}

fn must_be_manageable(caller: &Caller, row: &IdentityRow) -> Result<(), Problem> {
    if row.kind == IdentityKind::Bootstrap.name() && caller.kind != CallerKind::Bootstrap {
        return Err(Problem::new(
            Code::State,
            "the bootstrap identity cannot be changed and gets no keys: it can only be deleted",
        ));
    }
    Ok(())
}

/// The spending of a bootstrap token.
fn spend(caller: &Caller, at: i64) -> Option<Spend> {
    match (caller.kind, caller.by) {
        (CallerKind::Bootstrap, LoggedInBy::ApiKey(key)) => Some(Spend { key, at }),
        _ => None,
    }
}

fn taken(error: StoreError, spend: Option<Spend>) -> Problem {
    match error {
        StoreError::Duplicate => {
            Problem::new(Code::Exists, "the name or the certificate belongs to another identity: choose another")
        }
        StoreError::Conflict if spend.is_some() => Problem::new(
            Code::Unauthenticated,
            "this token is spent: it made the first administrator, whose API key to use from now on",
        ),
        error => error.into(),
    }
}

fn check_texts(name: Option<&str>, description: Option<&str>) -> Result<(), Problem> {
    name.map_or(Ok(()), |name| text::check(name, text::NAME).map_err(|bad| bad.of("name")))?;
    description.map_or(Ok(()), |text| text::check(text, text::DESCRIPTION).map_err(|bad| bad.of("description")))
}

fn grant_rows(grants: &[GrantModel]) -> Result<Vec<GrantRow>, Problem> {
    if grants.len() > MOST_GRANTS {
        return Err(Problem::invalid("grants", format_args!("at most {MOST_GRANTS}")).with("limit", MOST_GRANTS));
    }
    let mut rows = Vec::with_capacity(grants.len());
    for grant in grants {
        let row = GrantRow { role: grant.role.name().to_owned(), adapter: grant.adapter.map(AdapterId) };
        if !rows.contains(&row) {
            rows.push(row);
        }
    }
    Ok(rows)
}

/// Reads an operator's certificate. The end of its validity is checked at every login.
fn read_certificate(pem: &str, kind: IdentityKind) -> Result<IdentityCertificate, Problem> {
    const FIELD: &str = "certificate_pem";
    if kind != IdentityKind::Operator {
        return Err(Problem::invalid(FIELD, "only an operator has a certificate; a service has API keys"));
    }
    // The reader takes DER as well, which no JSON text is.
    let certificates = read_certificates(pem.as_bytes()).map_err(|error| Problem::invalid(FIELD, error))?;
    let [certificate] = certificates.as_slice() else {
        return Err(Problem::invalid(FIELD, "give the operator's own certificate only, without its chain"));
    };
    Ok(IdentityCertificate { fingerprint: fingerprint(certificate), der: certificate.to_vec() })
}

fn shown(row: IdentityRow) -> Result<Identity, Problem> {
    let certificate = row.certificate.map(|certificate| CertificateInfo::of(&certificate.der)).transpose();
    let grant = |row: &GrantRow| {
        Grant::of(row).map(|Grant { role, adapter }| GrantModel { role, adapter: adapter.map(|id| id.0) })
    };
    Ok(Identity {
        id: row.id,
        kind: IdentityKind::named(&row.kind)?,
        name: row.name,
        description: row.description,
        certificate: certificate.map_err(Problem::internal)?,
        disabled: row.disabled,
        grants: row.grants.iter().filter_map(grant).collect(),
        created_at: shown_time(row.created_at),
        changed_at: shown_time(row.changed_at),
        created_by: row.created_by,
        given_by: row.hands.into_iter().collect(),
        revision: row.revision,
    })
}

fn key_shown(row: ApiKeyRow, now: i64) -> ApiKeyInfo {
    ApiKeyInfo {
        usable: row.is_usable(now),
        id: row.id,
        identity: row.identity,
        name: row.name,
        created_at: shown_time(row.created_at),
        expires_at: row.expires_at.map(shown_time),
        revoked_at: row.revoked_at.map(shown_time),
        used_at: row.used_at.map(shown_time),
        given_by: row.hands.into_iter().collect(),
    }
}

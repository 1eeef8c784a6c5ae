//! Authorities of other people. One lets nobody in by itself: rules say which of its certificates act as which adapter.

use super::{Service, days_left, now};
use crate::{
    admin::{
        caller::Caller,
        model::{Authority, CertificateInfo, NewAuthority, shown_time},
        page::{Page, Window},
        permission::{Permission, Scope},
        problem::{Code, Problem},
    },
    audit::{Name, Subject},
    ca::{IssuedCertificate, describe, read_certificates},
    store::{AuthorityRow, CaRuleRow, Fingerprint, StoreError},
    text,
    trust::{check_authority, fingerprint},
};

impl Service {
    /// Adds an authority.
    pub(in crate::admin) fn create_authority(&self, caller: &Caller, new: NewAuthority) -> Result<Authority, Problem> {
        let may = (Permission::ConfigWrite, Scope::Everything);
        let about = Subject { name: Some(Name::new(&new.name)), ..Subject::default() };
        self.act(caller, "authority.add", may, about, |about| {
            text::check(&new.name, text::NAME).map_err(|bad| bad.of("name"))?;
            let bad = |error: &dyn std::fmt::Display| Problem::invalid("pem", text::shown(&error.to_string(), 300));
            let found = read_certificates(new.pem.as_bytes()).map_err(|error| bad(&error))?;
            let [der] = found.as_slice() else {
                return Err(Problem::invalid("pem", "give one certificate: each authority is added by itself"));
            };
            check_authority(der, &self.own_ca()?).map_err(|error| bad(&error))?;
            if describe(der).map_err(|error| bad(&error))?.not_after.as_second() < now() {
                return Err(Problem::invalid("pem", "the certificate's validity has ended"));
            }
            let fingerprint = fingerprint(der);
            about.authority = Some(fingerprint);
            let row = AuthorityRow { fingerprint, name: new.name, der: der.to_vec(), added_at: now() };
            self.store.insert_authority(row.clone()).map_err(|error| match error {
                StoreError::Duplicate => Problem::new(Code::Exists, "this authority is there already")
                    .with("fingerprint", fingerprint.to_string()),
                error => error.into(),
            })?;
            self.trust_changed();
            shown(&row, &[])
        })
    }

    /// Lists authorities by name.
    pub(in crate::admin) fn list_authorities(
        &self,
        caller: &Caller,
        window: &Window,
    ) -> Result<Page<Authority>, Problem> {
        let may = (Permission::ConfigRead, Scope::Everything);
        self.act(caller, "authority.list", may, Subject::default(), |_| {
            let trust = self.store.trust()?;
            let page = window.cut(trust.authorities, |row| format!("{}\0{}", row.name, row.fingerprint));
            let items = page.items.iter().map(|row| shown(row, &trust.ca_rules));
            Ok(Page { items: items.collect::<Result<_, _>>()?, next_page: page.next_page })
        })
    }

    /// Reads an authority.
    pub(in crate::admin) fn read_authority(
        &self,
        caller: &Caller,
        id: Option<Fingerprint>,
    ) -> Result<Authority, Problem> {
        let may = (Permission::ConfigRead, Scope::Everything);
        self.act(caller, "authority.read", may, Subject { authority: id, ..Subject::default() }, |_| {
            let trust = self.store.trust()?;
            let row = find(trust.authorities, id)?;
            let pem = IssuedCertificate::from_der(row.der.clone()).pem;
            Ok(Authority { pem: Some(pem), ..shown(&row, &trust.ca_rules)? })
        })
    }

    /// Removes an authority that no rule names.
    pub(in crate::admin) fn remove_authority(&self, caller: &Caller, id: Option<Fingerprint>) -> Result<(), Problem> {
        let may = (Permission::ConfigWrite, Scope::Everything);
        self.act(caller, "authority.remove", may, Subject { authority: id, ..Subject::default() }, |about| {
            let row = find(self.store.authorities()?, id)?;
            about.name = Some(Name::new(&row.name));
            self.store.delete_authority(row.fingerprint)?;
            self.trust_changed();
            Ok(())
        })
    }
}

fn find(rows: Vec<AuthorityRow>, id: Option<Fingerprint>) -> Result<AuthorityRow, Problem> {
    let found = rows.into_iter().find(|row| Some(row.fingerprint) == id);
    found.ok_or_else(|| Problem::not_found("authority"))
}

fn shown(row: &AuthorityRow, rules: &[CaRuleRow]) -> Result<Authority, Problem> {
    Ok(Authority {
        info: CertificateInfo::of(&row.der).map_err(Problem::internal)?,
        name: row.name.clone(),
        days_left: days_left(describe(&row.der).map_err(Problem::internal)?.not_after.as_second()),
        rules: rules.iter().filter(|rule| rule.issuer == Some(row.fingerprint)).count(),
        added_at: shown_time(row.added_at),
        pem: None,
    })
}

//! The client certificates of adapters: whoever holds the private key of one acts as its adapter.

use std::collections::{HashMap, HashSet};

use rustls_pki_types::CertificateDer;

use super::{Service, about, days_left, now};
use crate::{
    admin::{
        caller::Caller,
        model::{Certificate, CertificateInfo, NewCertificate, RegisteredCertificates, Sighting, shown_time},
        page::{Page, Window},
        permission::{Permission, Scope},
        problem::{Code, Problem},
    },
    audit::{Name, Subject},
    ca::{Description, IssuedCertificate, describe, read_certificates},
    store::{AdapterId, CertificateRow, Fingerprint, SeenCertificate, StoreError},
    text,
    trust::{self, fingerprint, issued_row},
};

/// A certificate to be registered.
pub(super) struct Wanted {
    pub(super) fingerprint: Fingerprint,
    pub(super) name: String,
    pub(super) der: Vec<u8>,
}

/// Whether the own authority issued a certificate.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum IsOwn {
    Yes,
    No,
}

impl Service {
    /// Registers certificates with an adapter, all of those in the request or none.
    pub(in crate::admin) fn add_certificates(
        &self,
        caller: &Caller,
        adapter: AdapterId,
        new: &NewCertificate,
    ) -> Result<RegisteredCertificates, Problem> {
        let (wanted, notes) = match read(new) {
            Ok(read) => read,
            // Refused and recorded like any other; without the permission nobody learns what is wrong with it.
            Err(problem) => return self.register(caller, adapter, |_| Err(problem)),
        };
        let mut items = Vec::new();
        for wanted in wanted {
            let added = self.register(caller, adapter, |about| {
                about.certificate = Some(wanted.fingerprint);
                about.name = Some(Name::new(&wanted.name));
                self.refuse_own(&wanted.der)?;
                if items.is_empty() {
                    self.trust.refresh_now()?;
                }
                // Its holder would act as this adapter from then on.
                self.covered_by(caller, adapter, &wanted.der)?;
                let is_own = self.trust.current().is_own(&wanted.der.as_slice().into(), trust::now());
                self.insert_certificate(caller, adapter, wanted, if is_own { IsOwn::Yes } else { IsOwn::No })
            });
            match added {
                Ok(row) => items.push(row),
                Err(problem) => {
                    self.take_back(caller, adapter, &items);
                    return Err(problem);
                }
            }
        }
        self.trust_changed();
        let items = items.iter().map(|row| shown(row, None)).collect::<Result<_, _>>()?;
        Ok(RegisteredCertificates { items, notes })
    }

    /// Lists the certificates of an adapter by name.
    pub(in crate::admin) fn list_certificates(
        &self,
        caller: &Caller,
        adapter: AdapterId,
        window: &Window,
    ) -> Result<Page<Certificate>, Problem> {
        let may = (Permission::KmipList, Scope::Adapter(adapter));
        self.act(caller, "certificate.list", may, about(adapter), |_| {
            self.find_adapter(adapter)?;
            let seen = self.seen(adapter)?;
            let rows = self.store.certificates(adapter)?;
            let Page { items, next_page } = window.cut(rows, |row| format!("{}\0{}", row.name, row.fingerprint));
            let items = items.iter().map(|row| shown(row, seen.get(&row.fingerprint)));
            Ok(Page { items: items.collect::<Result<_, _>>()?, next_page })
        })
    }

    /// Reads a certificate of an adapter.
    pub(in crate::admin) fn read_certificate(
        &self,
        caller: &Caller,
        adapter: AdapterId,
        id: Option<Fingerprint>,
    ) -> Result<Certificate, Problem> {
        let may = (Permission::KmipRead, Scope::Adapter(adapter));
        self.act(caller, "certificate.read", may, Subject { certificate: id, ..about(adapter) }, |_| {
            let row = self.find_certificate(adapter, id)?;
            let mut certificate = shown(&row, self.seen(adapter)?.get(&row.fingerprint))?;
            certificate.pem = Some(IssuedCertificate::from_der(row.der).pem);
            Ok(certificate)
        })
    }

    /// Removes a certificate; the connections of its holder end within a second. One that a rule of the adapter lets in as before
    /// is removed only where the caller has said so (`although_covered`): whoever removes one means to shut somebody out.
    pub(in crate::admin) fn remove_certificate(
        &self,
        caller: &Caller,
        adapter: AdapterId,
        id: Option<Fingerprint>,
        although_covered: bool,
    ) -> Result<(), Problem> {
        let may = (Permission::KmipDelete, Scope::Adapter(adapter));
        self.act(caller, "certificate.remove", may, Subject { certificate: id, ..about(adapter) }, |about| {
            let row = self.find_certificate(adapter, id)?;
            about.name = Some(Name::new(&row.name));
            self.trust.refresh_now()?;
            let rule = self.trust.current().rule_for(&row.der.as_slice().into(), adapter, trust::now());
            if let Some(rule) = rule.filter(|_| !although_covered) {
                let detail = format!(
                    "the rule {rule} of this adapter lets the certificate in also when it is not registered: remove that rule first, or \
                     say that the rule is to be what lets it in, with although_covered=true"
                );
                return Err(Problem::new(Code::State, detail).with("rule", rule.to_string()));
            }
            self.store.delete_certificate(row.fingerprint)?;
            self.trust_changed();
            Ok(())
        })
    }

    /// Adds the row of a certificate. Whoever calls this has seen to permission, audit and [`Service::trust_changed`].
    pub(super) fn insert_certificate(
        &self,
        caller: &Caller,
        adapter: AdapterId,
        wanted: Wanted,
        is_own: IsOwn,
    ) -> Result<CertificateRow, Problem> {
        let Wanted { fingerprint, name, der } = wanted;
        let row = CertificateRow { fingerprint, adapter, name, der, added_at: now() };
        let inserted = match issued_row(&row.der, adapter).filter(|_| is_own == IsOwn::Yes) {
            Some(issued) => self.store.insert_issued(row.clone(), issued.expires_at),
            None => self.store.insert_certificate(row.clone()),
        };
        match inserted {
            Ok(()) => Ok(row),
            Err(StoreError::NotFound) => Err(Problem::not_found("adapter")),
            Err(StoreError::Duplicate) => Err(self.taken_certificate(caller, adapter, fingerprint)?),
            Err(error) => Err(error.into()),
        }
    }

    fn register<T>(
        &self,
        caller: &Caller,
        adapter: AdapterId,
        work: impl FnOnce(&mut Subject) -> Result<T, Problem>,
    ) -> Result<T, Problem> {
        let may = (Permission::KmipCreate, Scope::Adapter(adapter));
        self.act(caller, "certificate.register", may, about(adapter), |about| {
            self.find_adapter(adapter)?;
            work(about)
        })
    }

    /// Removes what a request registered before it failed.
    fn take_back(&self, caller: &Caller, adapter: AdapterId, rows: &[CertificateRow]) {
        for row in rows {
            let may = (Permission::KmipCreate, Scope::Adapter(adapter));
            let about = Subject { certificate: Some(row.fingerprint), ..about(adapter) };
            let removed = self.act(caller, "certificate.remove", may, about, |_| {
                Ok(self.store.delete_certificate(row.fingerprint)?)
            });
            if removed.is_err() {
                tracing::warn!(certificate = %row.fingerprint, "a certificate of a failed request stays registered");
            }
        }
        // What is in force may have been read in between.
        self.trust_changed();
    }

    /// Refuses certificates whose private key is the authority's or the server's: no client has them.
    fn refuse_own(&self, der: &[u8]) -> Result<(), Problem> {
        let server = self.certificate.chain();
        let own = server.into_iter().chain(self.own_ca()?);
        if own.into_iter().any(|own| own.as_ref() == der) {
            let reason = "this is the server's own certificate, or that of its authority: give the client's";
            return Err(Problem::invalid("pem", reason));
        }
        Ok(())
    }

    /// The certificate is registered already; with which adapter is told to those who may see that one.
    fn taken_certificate(
        &self,
        caller: &Caller,
        adapter: AdapterId,
        fingerprint: Fingerprint,
    ) -> Result<Problem, Problem> {
        let directory = self.directory()?;
        let trust = &directory.rows;
        let owner = trust.certificates.iter().find(|row| row.fingerprint == fingerprint).map(|row| row.adapter);
        let owner = trust.adapters.iter().find(|row| Some(row.id) == owner);
        let seen = owner.filter(|owner| caller.may(Permission::KmipRead, Scope::Adapter(owner.id)).is_ok());
        let whose = match seen {
            Some(owner) if owner.id == adapter => "this adapter already".to_owned(),
            Some(owner) => format!("the adapter {:?}: remove it there first", owner.name),
            None => "another adapter, which you may not see: give the client a certificate of its own".to_owned(),
        };
        let problem = Problem::new(Code::Exists, format!("the certificate {fingerprint} is registered with {whose}"));
        let problem = problem.with("fingerprint", fingerprint.to_string());
        Ok(match seen {
            Some(owner) => problem.with("adapter", owner.id.0.to_string()),
            None => problem,
        })
    }

    fn find_certificate(&self, adapter: AdapterId, id: Option<Fingerprint>) -> Result<CertificateRow, Problem> {
        self.find_adapter(adapter)?;
        let mut rows = self.store.certificates(adapter)?.into_iter();
        rows.find(|row| Some(row.fingerprint) == id).ok_or_else(|| Problem::not_found("certificate"))
    }

    fn seen(&self, adapter: AdapterId) -> Result<HashMap<Fingerprint, SeenCertificate>, Problem> {
        let seen = self.store.certificates_seen(Some(adapter))?;
        Ok(seen.into_iter().map(|seen| (seen.fingerprint, seen)).collect())
    }
}

/// A certificate as it is answered.
pub(super) fn shown(row: &CertificateRow, seen: Option<&SeenCertificate>) -> Result<Certificate, Problem> {
    let described = describe(&row.der).map_err(Problem::internal)?;
    Ok(Certificate {
        info: CertificateInfo::of(&row.der).map_err(Problem::internal)?,
        adapter: row.adapter.0,
        name: row.name.clone(),
        key: described.key,
        days_left: days_left(described.not_after.as_second()),
        added_at: shown_time(row.added_at),
        last_seen: seen.map(|seen| Sighting { at: shown_time(seen.at), address: seen.address.clone() }),
        pem: None,
    })
}

/// The name of a certificate for people: the given one, or what can be made of its common name.
pub(super) fn name_for(given: Option<&str>, common_name: &str) -> Result<String, Problem> {
    if let Some(name) = given {
        text::check(name, text::NAME).map_err(|bad| bad.of("name"))?;
        return Ok(name.to_owned());
    }
    let (_, most) = text::NAME;
    let name = text::shown(common_name, most - 1).trim().to_owned();
    Ok(if text::check(&name, text::NAME).is_ok() { name } else { "certificate".to_owned() })
}

/// The certificates in a request, and what is to be said about them.
fn read(new: &NewCertificate) -> Result<(Vec<Wanted>, Vec<String>), Problem> {
    // DER that begins like one would be taken for it, but JSON text cannot hold it.
    let found = read_certificates(new.pem.as_bytes()).map_err(|error| Problem::invalid("pem", error))?;
    let (mut wanted, mut notes, mut known) = (Vec::new(), Vec::new(), HashSet::new());
    for der in found {
        let described = describe(&der).map_err(|error| Problem::invalid("pem", error))?;
        let fingerprint = fingerprint(&der);
        if !known.insert(fingerprint) {
            continue;
        }
        if described.is_authority && !wanted.is_empty() {
            notes.push(format!(
                "{fingerprint}: an authority's certificate, not registered: it would let nobody else in"
            ));
            continue;
        }
        notes.extend(warnings(fingerprint, &described));
        let name = name_for(new.name.as_deref(), &described.common_name)?;
        let name = numbered(name, wanted.len(), new.name.is_some());
        wanted.push(Wanted { fingerprint, name, der: der.to_vec() });
    }
    Ok((wanted, notes))
}

/// The second and following certificates under one name get numbers.
fn numbered(name: String, before: usize, given: bool) -> String {
    if !given || before == 0 {
        return name;
    }
    let number = format!(" ({})", before + 1);
    let (_, most) = text::NAME;
    let kept: String = name.chars().take(most - number.chars().count()).collect();
    format!("{}{number}", kept.trim_end())
}

fn warnings(fingerprint: Fingerprint, described: &Description) -> Option<String> {
    if described.not_after.as_second() < now() {
        return Some(format!("{fingerprint}: its validity has ended, so it opens no connection"));
    }
    described.is_authority.then(|| {
        format!("{fingerprint}: an authority's certificate; certificates that it issued are not accepted because of it")
    })
}

/// SHA-256 fingerprints as people write them, with colons or without; `None` for what is none.
pub(in crate::admin) fn parse_fingerprint(text: &str) -> Option<Fingerprint> {
    if text.len() > 95 || !text.is_ascii() {
        return None;
    }
    let digits = text.replace(':', "");
    let mut bytes = [0; 32];
    if digits.len() != 2 * bytes.len() {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(digits.as_bytes().chunks(2)) {
        let digit = |at: usize| pair.get(at).and_then(|digit| char::from(*digit).to_digit(16));
        *byte = u8::try_from(digit(0)? * 16 + digit(1)?).ok()?;
    }
    Some(Fingerprint(bytes))
}

/// The certificates of the own authority.
impl Service {
    pub(super) fn own_ca(&self) -> Result<Vec<CertificateDer<'static>>, Problem> {
        let file = std::fs::read(&self.config.tls.ca).map_err(Problem::internal)?;
        read_certificates(&file).map_err(Problem::internal)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprints_are_64_digits_with_colons_or_without() {
        let plain = "0a".repeat(32);
        let colons = vec!["0A"; 32].join(":");
        assert_eq!(parse_fingerprint(&plain), Some(Fingerprint([10; 32])));
        assert_eq!(parse_fingerprint(&colons), Some(Fingerprint([10; 32])));
        for bad in ["", "0a", &"0g".repeat(32), &"0a".repeat(33), &"é".repeat(32), &"+1".repeat(32)] {
            assert_eq!(parse_fingerprint(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_name_comes_from_the_request_or_is_made_of_the_common_name() {
        assert_eq!(name_for(Some("vc"), "x").unwrap(), "vc");
        assert!(name_for(Some("v"), "long enough").is_err());
        assert_eq!(name_for(None, "vcenter").unwrap(), "vcenter");
        assert_eq!(name_for(None, "x").unwrap(), "certificate");
        assert_eq!(name_for(None, &"é".repeat(100)).unwrap().chars().count(), 40);
        assert_eq!(name_for(None, "a\u{202e}b").unwrap(), "a\u{fffd}b");
    }

    #[test]
    fn several_certificates_under_one_name_are_numbered() {
        assert_eq!(numbered("vc".to_owned(), 0, true), "vc");
        assert_eq!(numbered("vc".to_owned(), 1, true), "vc (2)");
        assert_eq!(numbered("vc".to_owned(), 1, false), "vc");
        assert_eq!(numbered("n".repeat(40), 9, true).chars().count(), 40);
    }
}

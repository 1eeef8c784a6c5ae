//! The KMIP user name and password of an adapter. The password goes in and never out: only its hash is kept.

use argon2::{Argon2, password_hash::PasswordHasher as _};

use super::{Service, about};
use crate::{
    admin::{
        caller::Caller,
        etag::IfMatch,
        model::NewCredential,
        permission::{Permission, Scope},
        problem::Problem,
    },
    store::{AdapterCredential, AdapterId},
    text,
};

/// Longest password in bytes.
const MAX_PASSWORD: usize = 1024;

impl Service {
    /// Sets the credential of an adapter, which thereby comes to its next revision.
    pub(in crate::admin) fn set_credential(
        &self,
        caller: &Caller,
        adapter: AdapterId,
        if_match: &IfMatch,
        new: &NewCredential,
    ) -> Result<(), Problem> {
        let may = (Permission::KmipCreate, Scope::Adapter(adapter));
        self.act(caller, "adapter.credential.set", may, about(adapter), |_| {
            if_match.check(self.find_adapter(adapter)?.revision)?;
            text::check(&new.user, text::USER).map_err(|bad| bad.of("user"))?;
            let password = &new.password.0;
            if password.is_empty() || password.len() > MAX_PASSWORD {
                let problem = Problem::invalid("password", format_args!("has 1 to {MAX_PASSWORD} bytes"));
                return Err(problem.with("max_length", MAX_PASSWORD));
            }
            let hash = Argon2::default().hash_password(password.as_bytes()).map_err(Problem::internal)?;
            let credential = AdapterCredential { username: new.user.clone(), password_hash: hash.to_string() };
            self.store.set_credential(adapter, Some(credential))?;
            self.trust_changed();
            Ok(())
        })
    }

    /// Removes the credential of an adapter: its clients need none from then on.
    pub(in crate::admin) fn remove_credential(
        &self,
        caller: &Caller,
        adapter: AdapterId,
        if_match: &IfMatch,
    ) -> Result<(), Problem> {
        let may = (Permission::KmipDelete, Scope::Adapter(adapter));
        self.act(caller, "adapter.credential.remove", may, about(adapter), |_| {
            let row = self.find_adapter(adapter)?;
            if_match.check(row.revision)?;
            if row.credential.is_none() {
                return Err(Problem::not_found("credential"));
            }
            self.store.set_credential(adapter, None)?;
            self.trust_changed();
            Ok(())
        })
    }
}

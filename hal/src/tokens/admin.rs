//! Administration of several tokens: what changes root keys changes all of them or none.

use crate::{
    DestroyConsent, HalError, Health, Kcv, Label, Outage, Refusal, RootKeyInfo, RootKeyVersion, RootKeys, SecretBytes,
    SelfCheck, SelfTestReport, SignerId, SignerInfo, SignerKind, TokenSelfTest, WrappedKek,
};

use super::{ADMIN_PATIENCE, TokenSet, member, verdict::Verdict};

impl TokenSet {
    /// Demands that every token serves.
    fn demand_all(&self) -> Result<(), HalError> {
        let answers = self.ask_all(ADMIN_PATIENCE, |hal| Ok(hal.health()));
        let mut away = 0;
        for (member, answer) in self.members.iter().zip(answers) {
            if let Health::Down(error) = answer.unwrap_or_else(Health::Down) {
                tracing::error!(token = member.name(), %error, "the token is not ready");
                away += 1;
            }
        }
        match away {
            0 => Ok(()),
            away => Err(HalError::Unavailable(Outage::TokensMissing { away, tokens: self.members.len() })),
        }
    }

    /// The only token, where there is one.
    fn only(&self) -> Result<&dyn RootKeys, HalError> {
        match self.members.as_slice() {
            [one] => Ok(one.hal()),
            _ => Err(HalError::Refused(Refusal::SeveralTokens)),
        }
    }

    /// Refuses to import where a token would: afterwards all of them take the key, or hold it already.
    fn demand_importable(&self, key: RootKeyVersion, label: &Label) -> Result<(), HalError> {
        for roots in self.ask_all(ADMIN_PATIENCE, |hal| hal.list_roots()) {
            if roots?.iter().any(|root| root.label == *label && root.id != key.root) {
                return Err(HalError::Refused(Refusal::LabelTaken));
            }
        }
        Ok(())
    }

    /// One description of a key out of each token's own.
    fn gather(
        &self,
        key: RootKeyVersion,
        answers: Vec<Result<RootKeyInfo, HalError>>,
    ) -> Result<RootKeyInfo, HalError> {
        let mut verdict = Verdict::default();
        let mut gathered: Option<RootKeyInfo> = None;
        let mut useless = Vec::new();
        for (member, answer) in self.members.iter().zip(answers) {
            match (answer, &mut gathered) {
                (Ok(info), None) => gathered = Some(info),
                (Ok(info), Some(gathered)) if gathered.kcv.admits(info.kcv) => gathered.tokens.extend(info.tokens),
                (Ok(_), Some(_)) => return Err(HalError::Refused(Refusal::TokensDisagree)),
                (Err(error), _) => {
                    if member::is_about_the_key(&error) {
                        useless.push((member, error.clone()));
                    }
                    member.failed(&error);
                    verdict.add(error);
                }
            }
        }
        let gathered = gathered.ok_or_else(|| verdict.sum_up())?;
        useless.into_iter().for_each(|(member, error)| member.pass_over(key, &error));
        Ok(gathered)
    }
}

impl RootKeys for TokenSet {
    fn generate_root(&self, label: &Label) -> Result<RootKeyInfo, HalError> {
        self.only()?.generate_root(label)
    }

    fn generate_version(&self, key: RootKeyVersion, label: &Label) -> Result<RootKeyInfo, HalError> {
        self.only()?.generate_version(key, label)
    }

    fn import_root(&self, key: RootKeyVersion, label: &Label, material: SecretBytes) -> Result<RootKeyInfo, HalError> {
        self.demand_all()?;
        self.demand_importable(key, label)?;
        let mut answers = Vec::new();
        // One after the other: where a token refuses after all, the same import again takes up where this one ended.
        for member in &self.members {
            let copy = SecretBytes::from(material.expose_secret().to_vec());
            let imported = member.hal().import_root(key, label, copy).inspect_err(|error| {
                tracing::error!(token = member.name(), root = %key, %error, "the root key was not imported into the token");
            })?;
            member.forgive(key);
            answers.push(Ok(imported));
        }
        drop(material);
        let info = self.gather(key, answers)?;
        self.record(key, info.kcv);
        Ok(info)
    }

    fn describe_root(&self, key: RootKeyVersion) -> Result<RootKeyInfo, HalError> {
        self.gather(key, self.ask_all(ADMIN_PATIENCE, move |hal| hal.describe_root(key)))
    }

    /// What the tokens within reach hold. A version of which they hold different keys is listed once for each.
    fn list_roots(&self) -> Result<Vec<RootKeyInfo>, HalError> {
        let mut listed: Vec<RootKeyInfo> = Vec::new();
        let mut verdict = Verdict::default();
        let mut reached = false;
        for (member, answer) in self.members.iter().zip(self.ask_all(ADMIN_PATIENCE, |hal| hal.list_roots())) {
            match answer {
                Ok(infos) => {
                    reached = true;
                    for info in infos {
                        let same = |other: &&mut RootKeyInfo| other.key() == info.key() && other.kcv.admits(info.kcv);
                        match listed.iter_mut().find(same) {
                            Some(other) => other.tokens.extend(info.tokens),
                            None => listed.push(info),
                        }
                    }
                }
                Err(error) => {
                    tracing::warn!(token = member.name(), %error, "the token's root keys are not listed");
                    verdict.add(error);
                }
            }
        }
        if !reached {
            return Err(verdict.sum_up());
        }
        listed.sort_by(|a, b| (&a.label, a.key(), a.kcv.value).cmp(&(&b.label, b.key(), b.kcv.value)));
        Ok(listed)
    }

    fn expect_root(&self, key: RootKeyVersion, kcv: Kcv) {
        self.record(key, kcv);
    }

    /// Every token counts its own seals on top of that.
    fn expect_seals(&self, key: RootKeyVersion, made: u64) {
        self.members.iter().for_each(|member| member.hal().expect_seals(key, made));
    }

    fn self_test(&self, key: RootKeyVersion) -> Result<SelfTestReport, HalError> {
        let answers = self.ask_all(ADMIN_PATIENCE, move |hal| hal.self_test(key));
        let mut tokens = Vec::new();
        let (mut verdict, mut tested) = (Verdict::default(), false);
        for (member, answer) in self.members.iter().zip(answers) {
            match answer {
                Ok(report) => {
                    tested = true;
                    tokens.extend(report.tokens);
                }
                Err(error) => {
                    let token = member.hal().capabilities().token.clone();
                    let checks = vec![SelfCheck::new("holds-the-key", false, error.to_string())];
                    tokens.push(TokenSelfTest { token, checks });
                    verdict.add(error);
                }
            }
        }
        if tested { Ok(SelfTestReport { key, tokens }) } else { Err(verdict.sum_up()) }
    }

    fn rewrap_keks(&self, wrapped: &[WrappedKek], under: RootKeyVersion) -> Vec<Result<WrappedKek, HalError>> {
        let refuse_all = |error: &HalError| wrapped.iter().map(|_| Err(error.clone())).collect();
        let mut keys: Vec<_> = wrapped.iter().map(WrappedKek::key).chain([under]).collect();
        keys.sort_unstable();
        keys.dedup();
        for key in keys {
            let deadline = std::time::Instant::now() + self.deadline;
            if let Err(error) = self.agree(key, deadline) {
                return refuse_all(&error);
            }
        }
        let mut outcomes: Vec<Result<WrappedKek, Verdict>> = wrapped.iter().map(|_| Err(Verdict::default())).collect();
        for member in self.in_order(Some(under), None) {
            let (mut waiting, mut blobs) = (Vec::new(), Vec::new());
            for (outcome, blob) in outcomes.iter_mut().zip(wrapped) {
                if outcome.is_err() {
                    waiting.push(outcome);
                    blobs.push(blob.clone());
                }
            }
            if blobs.is_empty() {
                break;
            }
            for (outcome, answer) in waiting.into_iter().zip(member.hal().rewrap_keks(&blobs, under)) {
                match (answer, &mut *outcome) {
                    (Ok(new), _) => {
                        member.served();
                        *outcome = Ok(new);
                    }
                    (Err(error), Err(verdict)) => {
                        member.failed(&error);
                        verdict.add(error);
                    }
                    (Err(_), Ok(_)) => {}
                }
            }
        }
        outcomes.into_iter().map(|outcome| outcome.map_err(Verdict::sum_up)).collect()
    }

    fn destroy_root(&self, key: RootKeyVersion, consent: DestroyConsent) -> Result<(), HalError> {
        if consent.key() != key {
            return Err(HalError::Refused(Refusal::ConsentMismatch));
        }
        self.demand_all()?;
        let mut held = false;
        for answer in self.ask_all(ADMIN_PATIENCE, move |hal| hal.describe_root(key)) {
            match answer {
                Err(HalError::UnknownRootKey(_)) => {}
                // A key that fails its self-test in another way is the one that was meant.
                Err(HalError::Refused(Refusal::KeyReplaced)) => return Err(HalError::Refused(Refusal::KeyReplaced)),
                Err(error @ HalError::Unavailable(_)) => return Err(error),
                Ok(_) | Err(_) => held = true,
            }
        }
        if !held {
            return Err(HalError::UnknownRootKey(key));
        }
        for member in &self.members {
            // The consent is for the key, wherever it is.
            match member.hal().destroy_root(key, DestroyConsent::approved_for(key)) {
                // It was destroyed there before, by a call that was interrupted.
                Ok(()) | Err(HalError::UnknownRootKey(_)) => {}
                Err(error) => {
                    tracing::error!(token = member.name(), root = %key, %error, "the root key is still on this token");
                    return Err(error);
                }
            }
            member.forgive(key);
        }
        self.recorded.write().remove(&key);
        Ok(())
    }

    /// Inside the first token that is ready, and on no other: it is away when that token is.
    fn generate_signer(&self, label: &Label, kind: SignerKind) -> Result<SignerInfo, HalError> {
        if self.find_signer(label)?.is_some() {
            return Err(HalError::Refused(Refusal::LabelTaken));
        }
        let mut verdict = Verdict::default();
        for member in &self.members {
            // Not tried on the next token after a failure: the first may have made the key.
            if let Health::Down(error) = member.hal().health() {
                verdict.add(error);
                continue;
            }
            let info = member.hal().generate_signer(label, kind)?;
            self.homes.write().insert(info.id, member.index());
            if self.members.len() > 1 {
                tracing::warn!(%label, token = member.name(), "the signing key is on this token only, and away when it is");
            }
            return Ok(info);
        }
        Err(verdict.sum_up())
    }

    /// A label that no token within reach has may be on one that is away, and is then not known to be free.
    fn find_signer(&self, label: &Label) -> Result<Option<SignerInfo>, HalError> {
        let label = label.clone();
        let mut verdict = Verdict::default();
        let answers = self.ask_all(ADMIN_PATIENCE, move |hal| hal.find_signer(&label));
        for (member, answer) in self.members.iter().zip(answers) {
            match answer {
                Ok(Some(info)) => {
                    self.homes.write().insert(info.id, member.index());
                    return Ok(Some(info));
                }
                Ok(None) => {}
                Err(error) => verdict.add(error),
            }
        }
        if verdict.has_any() { Err(verdict.sum_up()) } else { Ok(None) }
    }

    fn describe_signer(&self, signer: SignerId) -> Result<SignerInfo, HalError> {
        let home = self.homes.read().get(&signer).copied();
        let (index, info) = self.attempt(None, home, |hal| hal.describe_signer(signer))?;
        self.homes.write().insert(signer, index);
        Ok(info)
    }
}

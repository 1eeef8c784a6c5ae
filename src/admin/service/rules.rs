//! Rules: which certificates of an authority act as which adapter without being registered one by one.

use uuid::Uuid;

use super::{Service, about, certificates::parse_fingerprint, now};
use crate::{
    admin::{
        caller::Caller,
        model::{NewRule, Rule, shown_time},
        page::{Page, Window},
        permission::{Permission, Scope},
        problem::{Code, Problem},
    },
    audit::{Name, Subject},
    store::{AdapterId, CaRuleRow, StoreError},
    text,
    trust::rule_value,
};

/// Length of a rule's value, in characters.
const VALUE: (usize, usize) = (1, 2048);

impl Service {
    /// Makes a rule. Whoever may act for one adapter only may not: a rule can take clients away from another adapter, by naming
    /// them as well.
    pub(in crate::admin) fn create_rule(
        &self,
        caller: &Caller,
        adapter: AdapterId,
        new: &NewRule,
    ) -> Result<Rule, Problem> {
        let may = (Permission::KmipCreate, Scope::Everything);
        let id = Uuid::new_v4();
        self.act(caller, "ca_rule.add", may, Subject { ca_rule: Some(id), ..about(adapter) }, |about| {
            self.find_adapter(adapter)?;
            text::check(&new.value, VALUE).map_err(|bad| bad.of("value"))?;
            let value = rule_value(new.kind.into(), &new.value).map_err(|bad| Problem::invalid("value", bad))?;
            about.name = Some(Name::new(&value));
            let issuer = new.issuer.as_deref().map(|text| {
                let known = parse_fingerprint(text);
                known.ok_or_else(|| {
                    Problem::invalid("issuer", "not the SHA-256 fingerprint of an authority's certificate")
                })
            });
            let issuer = issuer.transpose()?;
            about.authority = issuer;
            let known = self.store.authorities()?;
            if issuer.is_some_and(|issuer| known.iter().all(|row| row.fingerprint != issuer)) {
                return Err(Problem::invalid("issuer", "there is no such authority: add its certificate first"));
            }
            let row = CaRuleRow { id, adapter, issuer, kind: new.kind.into(), value, added_at: now() };
            match self.store.insert_ca_rule(row.clone()) {
                Ok(()) => {}
                Err(StoreError::Duplicate) => return Err(self.taken_rule(caller, &row)?),
                Err(error) => return Err(error.into()),
            }
            self.trust_changed();
            Ok(shown(row))
        })
    }

    /// Lists the rules of an adapter, oldest first.
    pub(in crate::admin) fn list_rules(
        &self,
        caller: &Caller,
        adapter: AdapterId,
        window: &Window,
    ) -> Result<Page<Rule>, Problem> {
        let may = (Permission::KmipList, Scope::Adapter(adapter));
        self.act(caller, "ca_rule.list", may, about(adapter), |_| {
            let rows = self.rules_of(adapter)?;
            let Page { items, next_page } = window.cut(rows, |row| format!("{:020} {}", row.added_at.max(0), row.id));
            Ok(Page { items: items.into_iter().map(shown).collect(), next_page })
        })
    }

    /// Reads a rule.
    pub(in crate::admin) fn read_rule(&self, caller: &Caller, adapter: AdapterId, id: Uuid) -> Result<Rule, Problem> {
        let may = (Permission::KmipRead, Scope::Adapter(adapter));
        self.act(caller, "ca_rule.read", may, Subject { ca_rule: Some(id), ..about(adapter) }, |_| {
            self.find_rule(adapter, id).map(shown)
        })
    }

    /// Removes a rule; connections that it let in end within a second.
    pub(in crate::admin) fn remove_rule(&self, caller: &Caller, adapter: AdapterId, id: Uuid) -> Result<(), Problem> {
        let may = (Permission::KmipDelete, Scope::Adapter(adapter));
        self.act(caller, "ca_rule.remove", may, Subject { ca_rule: Some(id), ..about(adapter) }, |about| {
            let row = self.find_rule(adapter, id)?;
            about.name = Some(Name::new(&row.value));
            self.store.delete_ca_rule(row.id)?;
            self.trust_changed();
            Ok(())
        })
    }

    fn rules_of(&self, adapter: AdapterId) -> Result<Vec<CaRuleRow>, Problem> {
        self.find_adapter(adapter)?;
        let directory = self.directory()?;
        Ok(directory.rows.ca_rules.iter().filter(|row| row.adapter == adapter).cloned().collect())
    }

    fn find_rule(&self, adapter: AdapterId, id: Uuid) -> Result<CaRuleRow, Problem> {
        let found = self.rules_of(adapter)?.into_iter().find(|row| row.id == id);
        found.ok_or_else(|| Problem::not_found("rule"))
    }

    /// There is such a rule; of which adapter is told to those who may see that one.
    fn taken_rule(&self, caller: &Caller, row: &CaRuleRow) -> Result<Problem, Problem> {
        let trust = self.store.trust()?;
        let same = |other: &&CaRuleRow| (other.issuer, other.kind, &other.value) == (row.issuer, row.kind, &row.value);
        let owner = trust.ca_rules.iter().find(same).map(|other| other.adapter);
        let seen = owner.filter(|owner| caller.may(Permission::KmipRead, Scope::Adapter(*owner)).is_ok());
        let name = trust.adapters.iter().find(|adapter| Some(adapter.id) == seen).map(|adapter| adapter.name.as_str());
        let whose = match name {
            Some(_) if seen == Some(row.adapter) => "this adapter already".to_owned(),
            Some(name) => format!("the adapter {name:?}: remove it there first"),
            None => "another adapter, which you may not see".to_owned(),
        };
        let problem = Problem::new(Code::Exists, format!("a rule maps such certificates to {whose}"));
        Ok(match seen {
            Some(owner) => problem.with("adapter", owner.0.to_string()),
            None => problem,
        })
    }
}

fn shown(row: CaRuleRow) -> Rule {
    Rule {
        id: row.id,
        adapter: row.adapter.0,
        issuer: row.issuer.map(|issuer| issuer.to_string()),
        kind: row.kind.into(),
        value: row.value,
        added_at: shown_time(row.added_at),
    }
}

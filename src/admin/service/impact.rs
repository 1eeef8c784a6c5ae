//! What would be lost: shown to whoever decides, and looked at again before anything is done.

use uuid::Uuid;

use super::{Service, about, now};
use crate::{
    admin::{
        caller::Caller,
        model::{
            AdapterImpactReport, ApprovalAction, ClientReport, ImpactReport, ObjectImpactReport, StateCountReport,
            shown_time,
        },
        permission::{Permission, Scope},
        problem::Problem,
    },
    engine::{self, Summary},
    root_keys::{AdapterImpact, Impact},
    store::{AdapterId, AdapterRow, ObjectId, RootKeyRow, RootKeyState},
};

/// Clients that are listed of one adapter.
const CLIENTS: usize = 50;
/// What every deletion of keys means to hosts that run.
const IN_MEMORY: &str = "Hosts that run keep the keys they were given in memory. For them the loss takes effect when they are \
                         restarted or powered off; until then nothing may seem to have happened.";

/// What something is done to, and what would be lost by it.
pub(in crate::admin) struct Stake {
    /// What it is called.
    pub(in crate::admin) name: String,
    /// The adapter that it belongs to, or that it is.
    pub(in crate::admin) adapter: Option<AdapterId>,
    /// What would be lost.
    pub(in crate::admin) impact: ImpactReport,
}

impl Service {
    /// What `action` would mean for `subject`.
    ///
    /// # Errors
    /// There is no such subject, or it is gone already; the store failed.
    pub(in crate::admin) fn stake(&self, action: ApprovalAction, subject: Uuid) -> Result<Stake, Problem> {
        match action {
            ApprovalAction::RootKeyDestroy => self.root_key_stake(&self.find_root_key(subject)?),
            ApprovalAction::AdapterDelete => self.adapter_stake(&self.find_adapter(AdapterId(subject))?),
            ApprovalAction::ObjectDestroy => self.object_stake(ObjectId(subject)),
        }
    }

    /// What would be lost with a root key.
    pub(in crate::admin) fn root_key_stake(&self, row: &RootKeyRow) -> Result<Stake, Problem> {
        let Impact { adapters, objects, active_objects, wrapped_keks } = Impact::of(&self.store, row, now())?;
        let mut warnings = vec![
            "Every key under this root key is lost for ever, in whatever state it is, and its adapters are disabled. There is \
             no way back, also not from a backup of the database."
                .to_owned(),
            "If shares of this root key were made in a ceremony, have their custodians destroy them: with a backup of the \
             database they would open its keys."
                .to_owned(),
            IN_MEMORY.to_owned(),
        ];
        if row.state == RootKeyState::Active {
            warnings.push("To see first who still needs it, suspend the root key: that can be taken back.".to_owned());
        }
        let held_objects = adapters.iter().map(|adapter| adapter.held_objects).sum();
        let adapters = adapters.into_iter().map(|adapter| self.adapter_report(adapter)).collect::<Result<_, _>>()?;
        let impact = ImpactReport {
            computed_at: shown_time(now()),
            objects,
            active_objects,
            held_objects,
            wrapped_keks: Some(wrapped_keks),
            adapters,
            object: None,
            warnings,
        };
        Ok(Stake { name: row.label.clone(), adapter: None, impact })
    }

    /// Tells what would be lost with an adapter.
    pub(in crate::admin) fn adapter_impact(&self, caller: &Caller, id: AdapterId) -> Result<ImpactReport, Problem> {
        let may = (Permission::KmipRead, Scope::Adapter(id));
        self.act(caller, "adapter.impact.read", may, about(id), |_| {
            Ok(self.adapter_stake(&self.find_adapter(id)?)?.impact)
        })
    }

    /// Tells what would be lost with an object.
    pub(in crate::admin) fn object_impact(&self, caller: &Caller, id: ObjectId) -> Result<ImpactReport, Problem> {
        self.act_on(caller, "object.impact.read", Permission::KmipRead, id, |_| Ok(self.object_stake(id)?.impact))
    }

    fn adapter_stake(&self, row: &AdapterRow) -> Result<Stake, Problem> {
        let impact = AdapterImpact::of(&self.store, row, now())?;
        let mut warnings = vec![
            "The adapter's keys are destroyed, also those that its policy would hold, and its certificates and rules are \
             removed; its clients are cut off within a second. Nothing may still be encrypted with these keys."
                .to_owned(),
            IN_MEMORY.to_owned(),
        ];
        if impact.held_objects > 0 {
            warnings.push(format!(
                "{} destroyed keys are held and could still be recovered: the deletion ends their hold at once.",
                impact.held_objects
            ));
        }
        let report = ImpactReport {
            computed_at: shown_time(now()),
            objects: impact.objects,
            active_objects: impact.active_objects,
            held_objects: impact.held_objects,
            wrapped_keks: None,
            adapters: vec![self.adapter_report(impact)?],
            object: None,
            warnings,
        };
        Ok(Stake { name: row.name.clone(), adapter: Some(row.id), impact: report })
    }

    fn object_stake(&self, id: ObjectId) -> Result<Stake, Problem> {
        let found = engine::summary(&self.store, id, now())?.ok_or_else(|| Problem::not_found("object"))?;
        let adapter = self.find_adapter(found.adapter)?;
        let is_active = found.state == kmip::enums::State::Active;
        let census = AdapterImpact::of(&self.store, &adapter, now())?;
        let mut warnings = vec![if adapter.hold_seconds > 0 {
            "The key is out of reach at once. Its material is held for the adapter's hold period, in which it can be recovered, \
             and then erased."
                .to_owned()
        } else {
            "The key's material is erased at once: this adapter has no hold period.".to_owned()
        }];
        warnings.push(IN_MEMORY.to_owned());
        let impact = ImpactReport {
            computed_at: shown_time(now()),
            objects: 1,
            active_objects: u64::from(is_active),
            held_objects: 0,
            wrapped_keks: None,
            adapters: vec![self.adapter_report(census)?],
            warnings,
            object: Some(object_report(&found, adapter.hold_seconds)),
        };
        let name = name_of(&found).map_or_else(|| id.0.to_string(), str::to_owned);
        Ok(Stake { name, adapter: Some(adapter.id), impact })
    }

    fn adapter_report(&self, impact: AdapterImpact) -> Result<AdapterImpactReport, Problem> {
        let id = AdapterId(impact.id);
        let mut clients = self.store.certificates_seen(Some(id))?;
        let more_clients = clients.len().saturating_sub(CLIENTS);
        clients.truncate(CLIENTS);
        let state =
            |count: crate::statement::StateCount| StateCountReport { state: count.state, objects: count.objects };
        Ok(AdapterImpactReport {
            id: impact.id,
            name: impact.name,
            objects: impact.objects,
            active_objects: impact.active_objects,
            held_objects: impact.held_objects,
            states: impact.states.into_iter().map(state).collect(),
            newest_at: impact.newest.map(shown_time),
            last_use_at: self.store.last_use(id)?.map(|last| shown_time(last.at)),
            clients: clients
                .into_iter()
                .map(|seen| ClientReport {
                    fingerprint: seen.fingerprint.to_string(),
                    subject: seen.subject,
                    address: seen.address,
                    seen_at: shown_time(seen.at),
                })
                .collect(),
            more_clients,
        })
    }
}

/// What people know an object by: its first Name, or else what vCenter notes of the machine or datastore that it is for.
fn name_of(found: &Summary) -> Option<&str> {
    let noted = found.attributes.iter().find(|attribute| attribute.name == "x-Name");
    found.names.first().or_else(|| noted.map(|attribute| &attribute.value)).map(String::as_str)
}

fn object_report(found: &Summary, hold_seconds: u32) -> ObjectImpactReport {
    ObjectImpactReport {
        id: found.id.0,
        names: found.names.clone(),
        object_type: found.object_type.name().to_owned(),
        state: found.state.name().to_owned(),
        created_at: found.dates.initial.map(shown_time),
        last_use_at: found.last_use.map(|last| shown_time(last.at)),
        last_use_certificate: found.last_use.map(|last| last.certificate.to_string()),
        hold_seconds,
    }
}

//! The server is killed while it does what two people have approved, at one moment after the other. Started again it finishes
//! it: nothing is half done, nothing is done that was not approved, and all of it is on record.

use std::{
    collections::{HashMap, HashSet},
    path::Path,
    time::{Duration, Instant},
};

use keystead::admin::model::{Approval, ApprovalStatus};
use kmip::{
    client::{ClientError, RequestBuilder},
    version::Version,
};
use rusqlite::{Connection as Database, OpenFlags};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::client::Holder;
use crate::{
    audit::{records, whole},
    harness::{
        api::Api,
        ask::{activate, get, made, material},
        create_aes,
        server::Server,
    },
};

/// How long the server may take for what it does by itself.
const PATIENCE: Duration = Duration::from_secs(60);
/// Keys of an adapter that is deleted: they are erased in several steps.
const KEYS: usize = 600;

/// A data directory, its server and two people who may ask and decide.
struct Data {
    folder: TempDir,
    server: Option<Server>,
    keys: [String; 2],
}

impl Data {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let server = Server::start_in(folder.path(), &[]);
        let api = server.api();
        let keys = ["asks", "decides"].map(|name| {
            let body = json!({"kind": "service", "name": name, "grants": [{"role": "administrator"}]});
            api.new_key(api.post("/v1/identities", &body).expect(201)["id"].as_str().unwrap())
        });
        Self { folder, server: Some(server), keys }
    }

    fn dir(&self) -> &Path {
        self.folder.path()
    }

    fn server(&self) -> &Server {
        self.server.as_ref().unwrap()
    }

    fn api(&self) -> Api {
        self.server().api()
    }

    fn people(&self) -> [Api; 2] {
        [0, 1].map(|one| self.server().stranger().with_key(&self.keys[one]))
    }

    fn database(&self) -> Database {
        let database =
            Database::open_with_flags(self.dir().join("keystead.db"), OpenFlags::SQLITE_OPEN_READ_WRITE).unwrap();
        database.busy_timeout(PATIENCE).unwrap();
        database
    }

    /// One number that the database says.
    fn number(&self, sql: &str) -> i64 {
        self.database().query_row(sql, [], |row| row.get(0)).unwrap()
    }

    /// An adapter under `root_key` with a client, whose certificate is registered.
    fn adapter(&self, name: &str, root_key: &str) -> (String, Holder) {
        let made = self.api().post("/v1/adapters", &json!({"name": name, "root_key": root_key})).expect(201);
        let id = made["id"].as_str().unwrap().to_owned();
        let holder = Holder::new(name);
        self.api().post(&format!("/v1/adapters/{id}/certificates"), &json!({"pem": holder.pem})).expect(201);
        (id, holder)
    }

    /// Has something asked for and approved, without a hold.
    fn approve(&self, action: &str, subject: &str) -> Approval {
        let [asks, decides] = self.people();
        let body = json!({"action": action, "subject": subject, "reason": "to be killed in between"});
        let asked: Approval = asks.post("/v1/approvals", &body).read(201);
        let path = format!("/v1/approvals/{}/approve", asked.id);
        let approved = decides.with("if-match", "\"1\"").send("POST", &path, None).read(200);
        let sql = "UPDATE approval SET hold_until = 1 WHERE id = ?1";
        self.database().execute(sql, [asked.id.as_bytes()]).unwrap();
        approved
    }

    /// Kills the server when `moment` has come, and starts it again.
    fn killed_at(&mut self, what: &str, moment: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !moment(self) {
            assert!(Instant::now() < deadline, "the moment does not come: {what}");
        }
        self.server.take().unwrap().kill();
        whole_but_for_its_end(self.dir());
        self.server = Some(Server::start_in(self.dir(), &[]));
    }

    fn done(&self, approval: &Approval) -> Approval {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let now: Approval = self.api().get(&format!("/v1/approvals/{}", approval.id)).read(200);
            if !matches!(now.state, ApprovalStatus::Approved | ApprovalStatus::Executing) {
                assert_eq!(now.state, ApprovalStatus::Done, "{now:?}");
                return now;
            }
            assert!(Instant::now() < deadline, "{now:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Whether the log has a record of this action and outcome about the request.
    fn recorded(&self, approval: &Approval, action: &str, outcome: &str) -> bool {
        self.times(action, outcome, &format!("\"approval\":\"{}\"", approval.id)) > 0
    }

    /// How many records of this action and outcome have this text in them.
    fn times(&self, action: &str, outcome: &str, text: &str) -> usize {
        let log = std::fs::read_to_string(self.dir().join("audit/audit.jsonl")).unwrap();
        let (action, outcome) = (format!("\"operation\":\"{action}\""), format!("\"outcome\":\"{outcome}\""));
        log.lines().filter(|line| [&*action, &*outcome, text].iter().all(|part| line.contains(part))).count()
    }
}

/// The log, in which a record may have been torn by the kill.
fn whole_but_for_its_end(dir: &Path) {
    use keystead::audit::verify::{Evidence, ProblemKind, verify};
    let report = verify(&Evidence::of_folder(&dir.join("audit")).unwrap()).unwrap();
    assert!(report.problems.iter().all(|problem| problem.kind == ProblemKind::EndsWithinLine), "{report:?}");
}

/// Makes keys; their identifiers.
fn make(data: &Data, holder: &Holder, count: usize) -> Vec<String> {
    let mut client = holder.connect(data.server()).expect("its certificate is registered");
    let mut ids = Vec::new();
    while ids.len() < count {
        let batch = (0..100).fold(RequestBuilder::new(Version::V1_4), |batch, _| batch.item(create_aes(256, [])));
        ids.extend(client.send(batch).unwrap().into_iter().map(|result| made(result.unwrap())));
    }
    client.call(activate(&ids[0])).unwrap();
    ids
}

#[test]
fn a_deletion_that_is_cut_anywhere_is_finished_and_touches_nobody_else() {
    let mut data = Data::new();
    let root_key = data.api().root_key();
    let (_, neighbour) = data.adapter("neighbour", &root_key);
    let kept = make(&data, &neighbour, 100);
    let mut client = neighbour.connect(data.server()).unwrap();
    let bytes: HashMap<_, _> = kept.iter().map(|id| (id, material(client.call(get(id)).unwrap()))).collect();
    type Moment = fn(&Data, &Approval, &str) -> bool;
    let moments: [(&str, Moment); 6] = [
        ("its execution is on record as begun", |data, approval, _| {
            data.recorded(approval, "approval.execute", "begun")
        }),
        ("it is executing", |data, approval, _| {
            data.number(&format!("SELECT count(*) FROM approval WHERE state >= 3 AND subject = '{}'", approval.subject))
                > 0
        }),
        ("the deletion is on record as begun", |data, approval, _| data.recorded(approval, "adapter.delete", "begun")),
        ("nobody can connect as it", |data, _, name| {
            data.number(&format!("SELECT count(*) FROM adapter WHERE name = '{name}' AND state = 1")) == 0
        }),
        ("its first keys are about to be erased", |data, approval, _| {
            data.times("object.erase", "begun", &approval.subject.to_string()) > 0
        }),
        ("some of its keys are erased", |data, approval, _| {
            data.times("object.erase", "success", &approval.subject.to_string()) > 0
        }),
    ];
    for (round, (what, moment)) in moments.into_iter().enumerate() {
        let name = format!("doomed {round}");
        let (adapter, holder) = data.adapter(&name, &root_key);
        let ids = make(&data, &holder, KEYS);
        let approval = data.approve("adapter.delete", &adapter);
        data.killed_at(what, |data| moment(data, &approval, &name));
        let left = format!(
            "SELECT count(*) FROM object AS o JOIN adapter AS a ON a.seq = o.adapter WHERE a.name = '{name}' AND o.destroyed = 0"
        );
        println!("killed when {what}: {} keys left", data.number(&left));
        data.done(&approval);
        assert!(holder.connect(data.server()).is_none());
        let deadline = Instant::now() + PATIENCE;
        while data.number(&format!("SELECT count(*) FROM adapter WHERE name = '{name}' AND state <> 3")) > 0 {
            assert!(Instant::now() < deadline, "its name is not free");
            std::thread::sleep(Duration::from_millis(20));
        }
        assert_eq!(data.number(&left), 0);
        // Of every key it is on record that it was erased; the record of its end the kill may have taken.
        let records = records(data.dir());
        let begun: HashSet<_> = records
            .iter()
            .filter(|record| record.operation == "object.erase" && record.outcome == "begun")
            .filter_map(|record| record.object.map(|id| id.to_string()))
            .collect();
        assert!(ids.iter().all(|id| begun.contains(id)), "{what}");
        assert!(data.recorded(&approval, "adapter.delete", "success"), "{what}");
        data.api().get(&format!("/v1/adapters/{adapter}")).problem(404, "not-found");
        let mut client = neighbour.connect(data.server()).unwrap();
        assert_eq!(material(client.call(get(&kept[round])).unwrap()), bytes[&kept[round]]);
    }
    // Nothing of the others is erased, and everything of the deleted ones is.
    let live = data.number("SELECT count(*) FROM kek WHERE wrapped <> zeroblob(88)");
    assert_eq!(live, i64::try_from(kept.len()).unwrap());
    assert_eq!(data.number("SELECT count(*) FROM material WHERE sealed <> zeroblob(length(sealed))"), live);
    data.server.take().unwrap().stop();
    whole(data.dir());
}

#[test]
fn a_forced_destruction_that_is_cut_anywhere_is_finished_once() {
    let mut data = Data::new();
    let root_key = data.api().root_key();
    let (_, holder) = data.adapter("forced", &root_key);
    let ids = make(&data, &holder, 100);
    let mut client = holder.connect(data.server()).unwrap();
    for id in &ids[1..4] {
        client.call(activate(id)).unwrap();
    }
    type Moment = fn(&Data, &Approval) -> bool;
    let moments: [(&str, Moment); 4] = [
        ("its execution is on record as begun", |data, approval| data.recorded(approval, "approval.execute", "begun")),
        ("the destruction is on record as begun", |data, approval| data.recorded(approval, "object.destroy", "begun")),
        ("it is destroyed", |data, approval| {
            let id = approval.subject.simple().to_string();
            data.number(&format!("SELECT destroyed FROM object WHERE id = x'{id}'")) == 1
        }),
        ("it is on record", |data, approval| data.recorded(approval, "object.destroy", "success")),
    ];
    for (id, (what, moment)) in ids.iter().zip(moments) {
        let approval = data.approve("object.destroy", id);
        data.killed_at(what, |data| moment(data, &approval));
        data.done(&approval);
        let mut client = holder.connect(data.server()).unwrap();
        let Err(ClientError::Refused(_)) = client.call(get(id)) else { panic!("{what}: the key is handed out") };
        assert!(data.recorded(&approval, "object.destroy", "success"), "{what}");
    }
    assert_eq!(data.number("SELECT count(*) FROM kek WHERE wrapped = zeroblob(88)"), 4);
    let mut client = holder.connect(data.server()).unwrap();
    client.call(get(&ids[4])).unwrap();
    data.server.take().unwrap().stop();
    whole(data.dir());
}

#[test]
fn the_destruction_of_a_root_key_that_is_cut_anywhere_is_finished_and_certified() {
    let mut data = Data::new();
    type Moment = fn(&Data, &str, &Approval) -> bool;
    let moments: [(&str, Moment); 5] = [
        ("its execution is on record as begun", |data, _, approval| {
            data.recorded(approval, "approval.execute", "begun")
        }),
        ("the destruction is on record as begun", |data, _, approval| {
            data.recorded(approval, "root_key.destroy", "begun")
        }),
        ("it is suspended", |data, id, _| {
            data.number(&format!("SELECT count(*) FROM root_key WHERE id = x'{id}' AND state <> 1")) > 0
        }),
        ("what is to be destroyed is on record", |data, id, _| {
            data.number(&format!("SELECT count(*) FROM root_key WHERE id = x'{id}' AND destruction IS NOT NULL")) > 0
        }),
        ("it is destroyed", |data, id, _| {
            data.number(&format!("SELECT count(*) FROM root_key WHERE id = x'{id}' AND state = 3")) > 0
        }),
    ];
    for (round, (what, moment)) in moments.into_iter().enumerate() {
        let made = data.api().post("/v1/root-keys", &json!({"label": format!("doomed {round}")})).expect(201);
        let id = made["id"].as_str().unwrap().to_owned();
        let (adapter, holder) = data.adapter(&format!("under {round}"), &id);
        let ids = make(&data, &holder, 100);
        let approval = data.approve("root_key.destroy", &id);
        data.killed_at(what, |data| moment(data, &id.replace('-', ""), &approval));
        data.done(&approval);
        let root: Value = data.api().get(&format!("/v1/root-keys/{id}")).expect(200);
        assert_eq!(root["state"], "destroyed");
        let certificate = root["destruction_certificate"].as_str().unwrap();
        for part in ["asks", "decides", &approval.id.to_string(), &format!("under {round}")] {
            assert!(certificate.contains(part), "{what}: {part} in {certificate}");
        }
        assert_eq!(data.api().get(&format!("/v1/adapters/{adapter}")).expect(200)["state"], "root_key_destroyed");
        let mut client = holder.connect(data.server()).expect("the adapter is there, and searches");
        let Err(ClientError::Refused(_)) = client.call(get(&ids[0])) else { panic!("{what}: the key is handed out") };
        let under = format!(
            "SELECT count(*) FROM kek AS k JOIN root_key AS r ON r.seq = k.root
             WHERE r.label = 'doomed {round}' AND k.wrapped <> zeroblob(88)"
        );
        assert_eq!(data.number(&under), 0, "{what}");
        assert!(data.recorded(&approval, "root_key.destroy", "success"), "{what}");
    }
    // The other root key is as it was.
    let root_key = data.api().root_key();
    let (_, holder) = data.adapter("survivor", &root_key);
    make(&data, &holder, 100);
    data.server.take().unwrap().stop();
    whole(data.dir());
}

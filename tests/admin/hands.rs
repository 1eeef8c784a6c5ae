//! Nobody plays both of the two people that something takes: through whose hands access came, and who decides for whom.

use std::path::PathBuf;

use keystead::admin::{
    model::{ApiKeyInfo, Identity},
    problem::ProblemDetails,
};
use serde_json::{Value, json};
use tempfile::TempDir;
use uuid::Uuid;

use super::{
    approvals::{act, approve, ask},
    certificate,
};
use crate::{
    cli::succeed,
    harness::{
        api::{Api, Reply},
        server::Server,
    },
};

/// A server on which nobody administers yet.
pub struct Place {
    pub server: Server,
    dir: PathBuf,
    _folder: TempDir,
}

/// Somebody who administers.
pub struct Who {
    pub api: Api,
    pub id: String,
}

impl Place {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("data");
        Server::set_up(&dir, "--hsm software --tls-key ecdsa-p256 --adapter demo", &[]);
        Self { server: Server::serve(&dir), dir, _folder: folder }
    }

    /// An administrator, made with the token that the machine prints.
    pub fn by_token(&self, name: &str) -> Who {
        let printed = succeed(&format!("admin-token --config {}", self.dir.join("keystead.toml").display()));
        let token = self.server.stranger().with_key(printed.trim());
        Who::of(token.service(name, &[("administrator", None)]))
    }

    /// What `decides` is answered when they approve what `asks` asks for. Nothing comes of it.
    fn decided(&self, asks: &Who, decides: &Who) -> Reply {
        let request = if asks.may("root-key.destroy") {
            ask(&asks.api, "root_key.destroy", &asks.api.root_key())
        } else {
            let adapters = asks.api.get("/v1/adapters").expect(200);
            ask(&asks.api, "adapter.delete", adapters["items"][0]["id"].as_str().unwrap())
        };
        let reply = approve(&decides.api, &request);
        act(&asks.api, &request, "cancel").expect(200);
        reply
    }

    fn decides(&self, asks: &Who, decides: &Who) {
        self.decided(asks, decides).expect(200);
    }

    fn refused(&self, asks: &Who, decides: &Who) -> ProblemDetails {
        let problem = self.decided(asks, decides).problem(403, "not-independent");
        assert!(
            problem.detail.contains("third person") && problem.detail.contains("keystead admin-token"),
            "{problem:?}"
        );
        problem
    }
}

impl Who {
    fn of(api: Api) -> Self {
        let id = api.get("/v1/session").expect(200)["identity"].as_str().unwrap().to_owned();
        Self { api, id }
    }

    /// Somebody with this role, made by this one, with their first key.
    pub fn makes(&self, name: &str, role: &str) -> Self {
        Self::of(self.api.service(name, &[(role, None)]))
    }

    /// The same identity with another of its keys.
    fn with_key_of(&self, maker: &Self) -> Self {
        Self { api: self.api.with_key(&maker.api.new_key(&self.id)), id: self.id.clone() }
    }

    fn may(&self, permission: &str) -> bool {
        let session = self.api.get("/v1/session").expect(200);
        session["permissions"].as_array().unwrap().contains(&json!(permission))
    }

    pub fn path(&self) -> String {
        format!("/v1/identities/{}", self.id)
    }

    fn change(&self, other: &Self, change: &Value) -> Identity {
        self.api.patch(&other.path(), change).read(200)
    }

    /// Through whose hands this one's roles came.
    fn hands(&self) -> Vec<String> {
        names(&self.api.get(&self.path()).read::<Identity>(200))
    }

    /// The id of the key that this one logs in with.
    pub fn key(&self) -> Uuid {
        Uuid::parse_str(self.api.authorization().split('_').nth(1).unwrap()).unwrap()
    }

    /// Through whose hands the key came that this one logs in with.
    fn hands_of_key(&self) -> Vec<String> {
        let key: ApiKeyInfo = self.api.get(&format!("{}/api-keys/{}", self.path(), self.key())).read(200);
        key.given_by.iter().map(ToString::to_string).collect()
    }
}

fn names(identity: &Identity) -> Vec<String> {
    identity.given_by.iter().map(ToString::to_string).collect()
}

/// Identifiers as they are shown.
fn sorted<const N: usize>(of: [&Who; N]) -> Vec<String> {
    let mut ids: Vec<_> = of.iter().map(|who| who.id.clone()).collect();
    ids.sort_unstable();
    ids
}

#[test]
fn the_first_two_decide_for_each_other_and_whom_one_of_them_makes_then_for_the_other_only() {
    let place = Place::new();
    let alice = place.by_token("alice");
    let olga = alice.makes("olga", "operator");
    let bob = alice.makes("bob", "security-officer");
    for (asks, decides) in [(&alice, &bob), (&bob, &alice), (&olga, &bob)] {
        place.decides(asks, decides);
    }
    // Also whom she made before there were two.
    assert!(place.refused(&olga, &alice).detail.contains("you gave olga"));
    assert!(alice.hands().is_empty() && bob.hands().is_empty() && bob.hands_of_key().is_empty());

    let (carol, dave) = (alice.makes("carol", "administrator"), alice.makes("dave", "security-officer"));
    assert_eq!((carol.hands(), carol.hands_of_key()), (sorted([&alice]), sorted([&alice])));
    for (asks, decides, why) in [
        (&alice, &carol, "alice gave you"),
        (&carol, &alice, "you gave carol"),
        (&carol, &dave, "alice gave both you and carol"),
        (&dave, &carol, "alice gave both you and dave"),
    ] {
        let problem = place.refused(asks, decides);
        assert!(problem.detail.contains(why), "{}", problem.detail);
        assert_eq!(problem.members["given_by"], json!(alice.id));
    }
    for (asks, decides) in [(&alice, &bob), (&bob, &alice), (&carol, &bob), (&bob, &carol)] {
        place.decides(asks, decides);
    }
    // Through others as well.
    let erin = carol.makes("erin", "administrator");
    assert_eq!(erin.hands(), sorted([&alice, &carol]));
    for (asks, decides) in [(&alice, &erin), (&erin, &alice), (&carol, &erin), (&dave, &erin)] {
        place.refused(asks, decides);
    }
    place.decides(&erin, &bob);
    // To refuse and to cancel only stops something.
    let request = ask(&alice.api, "root_key.destroy", &alice.api.root_key());
    act(&carol.api, &request, "reject").expect(200);
    let request = ask(&alice.api, "root_key.destroy", &alice.api.root_key());
    approve(&bob.api, &request).expect(200);
    act(&carol.api, &request, "cancel").expect(200);
}

#[test]
fn whom_the_first_one_kept_in_reserve_stays_theirs_when_another_gives_it_a_role() {
    let place = Place::new();
    let alice = place.by_token("alice");
    let sleeper = Who::of(alice.api.service("sleeper", &[]));
    let bob = alice.makes("bob", "administrator");
    assert_eq!(names(&bob.change(&sleeper, &json!({"grants": [{"role": "security-officer"}]}))), sorted([&bob]));
    assert_eq!(sleeper.hands_of_key(), sorted([&alice]));
    assert!(place.refused(&alice, &sleeper).detail.contains("alice gave you"));
    place.refused(&bob, &sleeper);
}

#[test]
fn who_is_alone_again_makes_no_second_person_and_the_machine_does() {
    let place = Place::new();
    let alice = place.by_token("alice");
    let bob = alice.makes("bob", "administrator");
    alice.api.delete(&bob.path()).expect(204);
    let (carol, dave) = (alice.makes("carol", "administrator"), alice.makes("dave", "administrator"));
    assert_eq!(carol.hands(), sorted([&alice]));
    place.refused(&alice, &carol);
    let grace = place.by_token("grace");
    assert!(grace.hands().is_empty() && grace.hands_of_key().is_empty());
    let heidi = grace.makes("heidi", "security-officer");
    for (asks, decides) in [(&alice, &grace), (&grace, &alice), (&alice, &heidi), (&carol, &grace)] {
        place.decides(asks, decides);
    }
    place.refused(&grace, &heidi);
    // Hands that are gone are hands still.
    grace.api.delete(&alice.path()).expect(204);
    let problem = place.refused(&carol, &dave);
    assert!(problem.detail.contains("somebody who is gone") && problem.detail.contains(&alice.id), "{problem:?}");
}

/// A browser's session that was begun with the key of `who`.
fn session(place: &Place, who: &Who) -> Who {
    let reply = who.api.send("POST", "/v1/session", None);
    let cookie = reply.header("set-cookie").split(';').next().unwrap().to_owned();
    let csrf = reply.expect(200)["csrf_token"].as_str().unwrap().to_owned();
    Who { api: place.server.stranger().with("cookie", &cookie).with("x-csrf-token", &csrf), id: who.id.clone() }
}

#[test]
fn a_key_is_as_independent_as_whoever_made_it() {
    let place = Place::new();
    let alice = place.by_token("alice");
    let bob = alice.makes("bob", "administrator");
    let lent = bob.with_key_of(&alice);
    assert_eq!((bob.hands(), lent.hands_of_key()), (Vec::new(), sorted([&alice])));
    assert!(place.refused(&alice, &lent).detail.contains("alice gave you"));
    assert!(place.refused(&lent, &alice).detail.contains("you gave bob"));
    place.decides(&alice, &bob);
    // A key that one makes for oneself came the way of the one it was made with.
    let own = bob.with_key_of(&bob);
    assert!(own.hands_of_key().is_empty());
    place.decides(&alice, &own);
    let through = bob.with_key_of(&lent);
    assert_eq!(through.hands_of_key(), sorted([&alice]));
    place.refused(&alice, &through);
    // So does a session.
    place.decides(&alice, &session(&place, &bob));
    place.refused(&alice, &session(&place, &lent));
    place.refused(&session(&place, &lent), &alice);
    // What a borrowed key makes came through its maker's hands, too.
    let carol = lent.makes("carol", "administrator");
    assert_eq!(carol.hands(), sorted([&alice, &bob]));
}

#[test]
fn whoever_gives_roles_or_a_certificate_takes_the_place_of_those_before() {
    let place = Place::new();
    let alice = place.by_token("alice");
    let bob = {
        let new = json!({"kind": "operator", "name": "bob", "grants": [{"role": "administrator"}]});
        let id = alice.api.post("/v1/identities", &new).expect(201)["id"].as_str().unwrap().to_owned();
        Who::of(alice.api.with_key(&alice.api.new_key(&id)))
    };
    let grace = place.by_token("grace");
    let role = |role: &str| json!({"grants": [{"role": role}]});
    // What takes away, or says something else, gives nothing.
    for change in [
        json!({"description": "the second person"}),
        role("security-officer"),
        role("auditor"),
        json!({"disabled": true}),
        json!({"disabled": false}),
    ] {
        assert_eq!(names(&alice.change(&bob, &change)), Vec::<String>::new(), "{change}");
    }
    assert_eq!(names(&alice.change(&bob, &role("security-officer"))), sorted([&alice]));
    place.refused(&alice, &bob);
    place.decides(&grace, &bob);
    assert_eq!(names(&grace.change(&bob, &json!({"grants": []}))), sorted([&alice]), "still");
    assert_eq!(names(&grace.change(&bob, &role("administrator"))), sorted([&grace]));
    place.decides(&alice, &bob);
    place.refused(&grace, &bob);
    // The roles stay, so they came from where they came.
    let (pem, key) = certificate("bob");
    let changed = alice.change(&bob, &json!({"certificate_pem": pem}));
    assert_eq!(names(&changed), sorted([&alice, &grace]));
    let by_certificate = Who { api: bob.api.with_certificate(&pem, &key), id: bob.id.clone() };
    place.refused(&alice, &by_certificate);
    // One's own certificate is like one's own key.
    let (pem, _) = certificate("bob again");
    assert_eq!(names(&bob.change(&bob, &json!({"certificate_pem": pem}))), sorted([&alice, &grace]));
    assert_eq!(names(&alice.change(&bob, &json!({"certificate_pem": null}))), sorted([&alice, &grace]));
    let change = json!({"grants": [], "certificate_pem": null});
    assert_eq!(names(&grace.change(&bob, &change)), sorted([&alice, &grace]));
    assert_eq!(names(&grace.change(&bob, &role("security-officer"))), sorted([&grace]));
    place.decides(&alice, &bob);
}

//! Every page of a server with a believable week behind it. Where KEYSTEAD_PICTURES names a folder, as
//! `scripts/console-screenshots.sh` does, pictures of them in every look are left there for the documentation.

use std::path::{Path, PathBuf};

use rcgen::{CertificateParams, date_time_ymd};
use serde_json::json;

use super::{Browser, faults::settled};
use crate::{
    admin::client::{Holder, params},
    clients::vcenter,
    harness::{api::Api, server::Server},
};

const MACHINES: [&str; 5] = ["erp-db", "mail", "file-server", "web", "build-agent"];

struct Scene {
    server: Server,
    pages: Vec<(&'static str, String)>,
}

fn adapter(api: &Api, name: &str, description: &str, root_key: &str) -> String {
    let body = json!({"name": name, "description": description, "root_key": root_key, "hold_seconds": 604_800});
    api.post("/v1/adapters", &body).expect(201)["id"].as_str().unwrap().to_owned()
}

fn ending(common_name: &str, in_days: i64) -> CertificateParams {
    let mut params = params(common_name);
    let end = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(24 * in_days);
    let day = end.to_zoned(jiff::tz::TimeZone::UTC).date();
    let (month, day_of_month) = (u8::try_from(day.month()).unwrap(), u8::try_from(day.day()).unwrap());
    params.not_after = date_time_ymd(day.year().into(), month, day_of_month);
    params
}

/// A client of `adapter` that has made so many keys.
fn client(server: &Server, adapter: &str, params: &CertificateParams, keys: usize) -> Vec<String> {
    let holder = Holder::of(params);
    let body = json!({"pem": holder.pem});
    server.api().post(&format!("/v1/adapters/{adapter}/certificates"), &body).expect(201);
    let machine = |number| format!("{}-{:02}", MACHINES[number % MACHINES.len()], number / MACHINES.len() + 1);
    (0..keys)
        .map(|number| vcenter::makes_a_key_for(holder.connect(server).expect("it is let in"), &machine(number)))
        .collect()
}

impl Scene {
    fn new() -> Self {
        let server = Server::start_with(&["--hsm", "softhsm"]);
        let api = server.api();
        let made = |label: &str| {
            api.post("/v1/root-keys", &json!({"label": label})).expect(201)["id"].as_str().unwrap().to_owned()
        };
        let (production, archive) = (made("production"), made("archive"));
        for one in api.get("/v1/adapters").expect(200)["items"].as_array().unwrap() {
            api.delete(&format!("/v1/adapters/{}", one["id"].as_str().unwrap())).expect_text(204);
        }
        let frankfurt = adapter(&api, "vcenter-frankfurt", "vSAN and VM encryption, site Frankfurt", &production);
        let dublin = adapter(&api, "vcenter-dublin", "VM encryption, site Dublin", &production);
        let netapp = adapter(&api, "netapp-fra-01", "Volume encryption of the storage cluster", &production);
        let backup = adapter(&api, "veeam-archive", "Keys of the tape archive", &archive);
        let keys = client(&server, &frankfurt, &ending("kmipClient20260114", 52), 14);
        client(&server, &frankfurt, &ending("kmipClient20250702", 9), 1);
        client(&server, &dublin, &ending("kmipClient20260301", 700), 6);
        client(&server, &netapp, &ending("cluster-fra-01", 400), 4);
        client(&server, &backup, &ending("veeam-01.example.org", 31), 3);
        let identity = |name: &str, role: &str, about: &str| {
            let body = json!({"kind": "operator", "name": name, "description": about, "grants": [{"role": role, "adapter": null}]});
            api.post("/v1/identities", &body).expect(201)["id"].as_str().unwrap().to_owned()
        };
        let alice = identity("Alice Archer", "administrator", "Platform team");
        identity("Bob Baker", "security-officer", "Information security");
        identity("Carol Chen", "operator", "Virtualisation");
        identity("Dave Doyle", "auditor", "Internal audit");
        let carol = api.service("nightly backup", &[("security-officer", None), ("administrator", None)]);
        let body = json!({"action": "object.destroy", "subject": keys[3], "reason": "The machine was decommissioned on Friday"});
        let request = carol.post("/v1/approvals", &body).expect(201)["id"].as_str().unwrap().to_owned();
        api.send("POST", &format!("/v1/root-keys/{production}/rotate"), None);
        let _ = Holder::new("kmipClient20260722").connect(&server);
        let pages = vec![
            ("overview", "/".to_owned()),
            ("connect", "/connect".to_owned()),
            ("connect-vcenter", format!("/connect?kind=vcenter&adapter={dublin}")),
            ("connect-netapp", format!("/connect?kind=ontap&adapter={netapp}")),
            ("adapters", "/adapters".to_owned()),
            ("adapter", format!("/adapters/{frankfurt}")),
            ("adapter-activity", format!("/adapters/{frankfurt}?tab=activity")),
            ("adapter-policy", format!("/adapters/{frankfurt}?tab=policy")),
            ("keys", "/keys".to_owned()),
            ("key", format!("/keys/{}", keys[3])),
            ("root-keys", "/root-keys".to_owned()),
            ("root-key", format!("/root-keys/{production}")),
            ("certificates", "/certificates".to_owned()),
            ("approvals", "/approvals".to_owned()),
            ("approval", format!("/approvals/{request}")),
            ("identities", "/identities".to_owned()),
            ("identity", format!("/identities/{alice}")),
            ("audit", "/audit".to_owned()),
            ("server", "/server".to_owned()),
        ];
        Self { server, pages }
    }
}

/// How wide, and in which colours.
const LOOKS: [(u32, &str); 4] = [(390, "dark"), (390, "light"), (1280, "dark"), (1280, "light")];

fn keep(browser: &Browser, folder: Option<&Path>, name: &str, width: u32, theme: &str) {
    if let Some(folder) = folder {
        std::fs::write(folder.join(format!("{name}-{width}-{theme}.png")), browser.picture()).unwrap();
    }
}

#[test]
fn every_page_of_a_busy_server_is_shown_without_a_complaint() {
    let folder = std::env::var_os("KEYSTEAD_PICTURES").map(PathBuf::from);
    let folder = folder.as_deref();
    let scene = Scene::new();
    let Some(browser) = Browser::open(&scene.server) else { return };
    let looks = if folder.is_some() { LOOKS.len() } else { 1 };
    let key = std::fs::read_to_string(scene.server.dir().join("admin.token")).unwrap();
    for (width, theme) in LOOKS.into_iter().take(looks) {
        browser.resize(width, 900);
        browser.load("/");
        browser.sees("Sign in");
        browser.run("localStorage.setItem('keystead.theme', arguments[0])", &[theme.into()]);
        browser.load("/");
        browser.sees("Sign in");
        keep(&browser, folder, "sign-in", width, theme);
        browser.fill("API key", key.trim());
        browser.press("Sign in");
        browser.sees("Overview");
        for (name, page) in &scene.pages {
            browser.resize(width, 900);
            browser.go(page);
            settled(&browser);
            if *name == "connect-vcenter" {
                browser.sees("Seen from");
            }
            let high = browser
                .run("return Math.max(document.documentElement.scrollHeight, innerHeight)", &[])
                .as_u64()
                .unwrap();
            browser.resize(width, u32::try_from(high.min(4000)).unwrap());
            keep(&browser, folder, name, width, theme);
        }
        browser.resize(width, 900);
        browser.go(&scene.pages.iter().find(|(name, _)| *name == "adapter").unwrap().1);
        settled(&browser);
        browser.press("Delete…");
        browser.sees("keys are lost");
        keep(&browser, folder, "delete-adapter", width, theme);
        browser.press("Back");
        browser.press("Sign out");
        browser.sees("You are signed out.");
    }
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

//! What keeps people out: axe-core finds no serious fault on any page, and everything is reached by the keyboard.

use std::path::PathBuf;

use serde_json::Value;

use super::Browser;
use crate::{
    admin::client::Holder,
    clients::vcenter,
    harness::{server::Server, skip},
};

/// axe-core as test.sh fetches it.
fn axe() -> Option<String> {
    let beside = || PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("../axe/axe.min.js");
    let file = std::env::var_os("KEYSTEAD_TEST_AXE").map_or_else(beside, PathBuf::from);
    let text = std::fs::read_to_string(file).ok();
    if text.is_none() {
        skip("accessibility of the console: axe-core is not on this machine");
    }
    text
}

/// A server with something on every page, and the addresses of all pages.
pub fn furnished() -> (Server, Vec<String>) {
    let server = Server::start();
    let api = server.api();
    let key = vcenter::makes_a_key(server.connect(kmip::version::Version::V1_1));
    let _ = Holder::new("nobody").connect(&server);
    let adapters = api.get("/v1/adapters").expect(200);
    let adapter = adapters["items"].as_array().unwrap().iter().find(|one| one["name"] == "demo").unwrap()["id"].clone();
    let adapter = adapter.as_str().unwrap();
    let body = serde_json::json!({"action": "object.destroy", "subject": key, "reason": "the machine is gone"});
    let request = api.post("/v1/approvals", &body).expect(201)["id"].as_str().unwrap().to_owned();
    let identity = api.get("/v1/session").expect(200)["identity"].as_str().unwrap().to_owned();
    let pages = [
        "/",
        "/connect",
        "/adapters",
        "/keys",
        "/root-keys",
        "/certificates",
        "/certificates?tab=authorities",
        "/approvals",
        "/identities",
        "/audit",
        "/server",
    ];
    let mut pages: Vec<_> = pages.map(str::to_owned).into();
    pages.extend(
        ["certificates", "rules", "keys", "activity", "policy"].map(|tab| format!("/adapters/{adapter}?tab={tab}")),
    );
    pages.extend(["vcenter", "ontap", "element", "kmip"].map(|kind| format!("/connect?kind={kind}&adapter={adapter}")));
    pages.extend(["root", "upload", "csr"].map(|way| format!("/connect?kind=vcenter&adapter={adapter}&method={way}")));
    pages.push(format!("/root-keys/{}", api.root_key()));
    pages.push(format!("/keys/{key}"));
    pages.push(format!("/approvals/{request}"));
    pages.push(format!("/identities/{identity}"));
    (server, pages)
}

/// Waits until a page has loaded what it shows.
pub fn settled(browser: &Browser) {
    browser.wait("the page", "return document.querySelector('main h1') && !document.querySelector('main .busy')", &[]);
}

fn serious(browser: &Browser, axe: &str) -> Vec<String> {
    browser.run(axe, &[]);
    let script = "const done = arguments[arguments.length - 1];
        axe.run(document, { resultTypes: ['violations'] }).then(found => done(found.violations.filter(one => ['serious', 'critical'].includes(one.impact))
            .map(one => one.id + ': ' + one.nodes.map(node => node.html + ' ' + node.failureSummary).slice(0, 3).join(' | '))), error => done([String(error)]))";
    let found = browser.run_async(script, &[]);
    found.as_array().unwrap().iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

#[test]
fn axe_finds_no_serious_fault_on_any_page() {
    let Some(axe) = axe() else { return };
    let (server, pages) = furnished();
    let Some(browser) = Browser::open(&server) else { return };
    let mut faults = Vec::new();
    browser.load("/");
    browser.sees("Sign in");
    faults.extend(serious(&browser, &axe));
    browser.sign_in(std::fs::read_to_string(server.dir().join("admin.token")).unwrap().trim());
    for (theme, width) in [("light", 1280), ("dark", 390)] {
        browser.resize(width, 900);
        browser.run("document.documentElement.dataset.theme = arguments[0]", &[theme.into()]);
        for page in &pages {
            browser.go(page);
            settled(&browser);
            faults.extend(serious(&browser, &axe).into_iter().map(|fault| format!("{theme} {page}: {fault}")));
            let wide = browser.run("return document.documentElement.scrollWidth - innerWidth", &[]).as_i64().unwrap();
            if wide > 0 {
                faults.push(format!("{width} {page}: {wide} pixels too wide"));
            }
        }
    }
    // Dialogs.
    for (page, button) in [
        ("/adapters", "New adapter"),
        ("/root-keys", "New root key"),
        ("/identities", "New identity"),
        ("/server", "Renew the certificate…"),
    ] {
        browser.go(page);
        settled(&browser);
        browser.press(button);
        faults.extend(serious(&browser, &axe).into_iter().map(|fault| format!("dialog of {page}: {fault}")));
        browser.key("Escape");
        browser.wait("the dialog's end", "return !document.querySelector('dialog[open]')", &[]);
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[test]
fn the_keyboard_reaches_everything_and_the_focus_follows() {
    let server = Server::start();
    let Some(browser) = Browser::open(&server) else { return };
    browser.sign_in(std::fs::read_to_string(server.dir().join("admin.token")).unwrap().trim());
    let focused =
        "return (document.activeElement.getAttribute('aria-label') || document.activeElement.innerText || '').trim()";
    // The first stop leads past the menu.
    browser.load("/adapters");
    settled(&browser);
    browser.key("Tab");
    assert_eq!(browser.run(focused, &[]), "Skip to the page");
    browser.key("Enter");
    assert_eq!(browser.run("return document.activeElement.id", &[]), "main");
    browser.key("Tab");
    assert_eq!(browser.run(focused, &[]), "New adapter");
    // A dialog takes the focus, and gives it back.
    browser.key("Enter");
    browser.sees("Make it");
    assert_eq!(browser.run("return document.activeElement.closest('dialog') !== null", &[]), true);
    browser.key("Escape");
    browser.misses("Make it");
    assert_eq!(browser.run(focused, &[]), "New adapter");
    // A page that one comes to has the focus on its heading, and its title says where one is.
    browser.press("Root keys");
    browser.wait(
        "the heading",
        "return document.activeElement.tagName === 'H1' && document.activeElement.innerText === 'Root keys'",
        &[],
    );
    assert_eq!(browser.run("return document.title", &[]), "Root keys · Keystead");
}

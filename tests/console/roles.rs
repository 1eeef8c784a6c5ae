//! Viewer, operator, auditor and security officer see and may do what their role says.

use serde_json::json;

use super::Browser;
use crate::harness::server::Server;

/// A page, the buttons on it and those that are not.
type Page<'a> = (&'a str, &'a [&'a str], &'a [&'a str]);

/// A role, the pages in its menu, those that are not, and what is on some pages.
type Role<'a> = (&'a str, &'a [&'a str], &'a [&'a str], &'a [Page<'a>]);

#[test]
fn each_role_finds_its_pages_and_buttons_and_no_others() {
    let server = Server::start();
    let Some(browser) = Browser::open(&server) else { return };
    let api = server.api();
    let adapters = api.get("/v1/adapters").expect(200);
    let adapter = adapters["items"][0]["id"].as_str().unwrap();
    let (adapter, root_key) = (format!("/adapters/{adapter}"), format!("/root-keys/{}", api.root_key()));
    let cases: [Role<'_>; 4] = [
        (
            "viewer",
            &["Adapters", "Keys", "Root keys", "Identities", "Server"],
            &["Audit log", "Connect a client"],
            &[
                (&adapter, &[], &["Delete…", "Connect a client", "Register a certificate"]),
                (&root_key, &[], &["Rotate…", "Destroy…", "Suspend…"]),
                ("/identities", &[], &["New identity"]),
            ],
        ),
        (
            "auditor",
            &["Audit log", "Adapters"],
            &["Connect a client"],
            &[("/audit", &["Verify the audit log"], &[]), (&root_key, &[], &["Rotate…", "Destroy…"])],
        ),
        (
            "operator",
            &["Connect a client", "Keys", "Approvals"],
            &["Audit log", "Identities"],
            &[
                (&adapter, &["Delete…", "Register a certificate"], &[]),
                (&root_key, &["Rotate…"], &["Destroy…", "Suspend…"]),
                ("/server", &[], &["Reload…", "Make a backup"]),
            ],
        ),
        (
            "security-officer",
            &["Audit log", "Identities", "Approvals"],
            &["Connect a client"],
            &[
                (&adapter, &[], &["Delete…", "Register a certificate"]),
                (&root_key, &["Rotate…", "Destroy…", "Suspend…"], &[]),
                ("/server", &["Reload…", "Make a backup"], &[]),
                ("/identities", &["New identity"], &[]),
            ],
        ),
    ];
    for (role, there, missing, pages) in cases {
        let grants = json!([{"role": role, "adapter": null}]);
        let made = api.post("/v1/identities", &json!({"kind": "operator", "name": role, "grants": grants})).expect(201);
        browser.sign_in(&api.new_key(made["id"].as_str().unwrap()));
        for link in there {
            assert!(browser.offers(link), "{role}: {link}");
        }
        for link in missing {
            assert!(!browser.offers(link), "{role}: {link}");
        }
        for (page, may, may_not) in pages {
            browser.go(page);
            browser.wait(
                "the page",
                "return !document.querySelector('main .busy') && document.querySelector('main .page')",
                &[],
            );
            for button in *may {
                browser.wait(button, "return [...document.querySelectorAll('main button, main a')].some(one => (one.getAttribute('aria-label') || one.innerText).trim() === arguments[0])", &[(*button).into()]);
            }
            let offered = browser.run("return [...document.querySelectorAll('main button, main a')].map(one => (one.getAttribute('aria-label') || one.innerText).trim())", &[]);
            for button in *may_not {
                assert!(!offered.as_array().unwrap().iter().any(|one| one == button), "{role} {page}: {button}");
            }
        }
        browser.press("Sign out");
        browser.sees("You are signed out.");
    }
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[test]
fn who_runs_one_adapter_sees_that_one() {
    let server = Server::start();
    let Some(browser) = Browser::open(&server) else { return };
    let api = server.api();
    let adapters = api.get("/v1/adapters").expect(200);
    let own = adapters["items"].as_array().unwrap().iter().find(|one| one["name"] == "demo").unwrap()["id"].clone();
    let body = json!({"kind": "operator", "name": "carol", "grants": [{"role": "operator", "adapter": own}]});
    let made = api.post("/v1/identities", &body).expect(201);
    browser.sign_in(&api.new_key(made["id"].as_str().unwrap()));
    browser.press("Adapters");
    browser.sees("demo");
    assert!(!browser.offers("other") && !browser.offers("New adapter"));
    browser.press("demo");
    browser.press("Register a certificate");
    browser.sees("The client's public certificate");
    for page in ["Root keys", "Identities", "Server", "Audit log"] {
        assert!(!browser.offers(page), "{page}");
    }
}

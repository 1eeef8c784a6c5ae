//! The console's files over real HTTPS.

use crate::admin::server;

#[test]
fn the_page_is_served_without_a_login_and_under_a_strict_policy() {
    let stranger = server().stranger();
    for path in ["/", "/console/main.js", "/console/keystead.css", "/console/vendor/preact.js"] {
        let page = stranger.get(path);
        page.expect_text(200);
        let policy = page.header("content-security-policy");
        assert!(policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self';"), "{policy}");
        assert!(!policy.contains("unsafe") && policy.contains("frame-ancestors 'none'"), "{policy}");
        assert_eq!(page.header("cache-control"), "no-cache");
        assert_eq!(page.header("x-content-type-options"), "nosniff");
        let again = stranger.with("if-none-match", page.header("etag")).get(path);
        assert_eq!((again.status, again.text.as_str()), (304, ""));
    }
    // Answers of the API are kept nowhere, as before.
    assert_eq!(stranger.get("/healthz").header("cache-control"), "no-store");
}

#[test]
fn nothing_else_is_served_below_the_console() {
    for path in ["/console/", "/console/mod.rs", "/console/../Cargo.toml", "/console/%2e%2e/mod.rs", "/console/pages"] {
        server().stranger().get(path).problem(404, "not-found");
    }
    server().stranger().send("POST", "/", Some("{}")).problem(405, "method-not-allowed");
}

//! The admin API over real HTTPS: who may do what, bad input, conflicts, pages; and what attackers try.

mod adapters;
mod approvals;
mod audit;
mod authorities;
mod backups;
mod certificates;
pub mod client;
mod hands;
mod identities;
pub mod issue;
mod killed;
mod limits;
mod login;
mod objects;
mod overview;
mod requests;
mod root_keys;
mod rules;
mod schemathesis;
mod security;
mod server;

use std::sync::OnceLock;

use crate::harness::{api::Api, server::Server};

/// One server for all tests that do not change it as a whole. Each test has adapters and identities of its own.
pub fn server() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap().keep();
        let server = Server::start_in(&folder, &[]);
        server.end_with_this_process(&folder);
        server
    })
}

/// Its administrator.
pub fn administrator() -> Api {
    server().api()
}

/// All items of a list, page by page.
pub fn all(api: &Api, path: &str, limit: usize) -> Vec<serde_json::Value> {
    let mut items = Vec::new();
    let mut page = String::new();
    loop {
        let found = api.get(&format!("{path}?limit={limit}{page}")).expect(200);
        let on_page = found["items"].as_array().unwrap();
        assert!(on_page.len() <= limit);
        items.extend(on_page.iter().cloned());
        match found["next_page"].as_str() {
            Some(next) => page = format!("&page={next}"),
            None => return items,
        }
    }
}

/// A new self-signed certificate and its private key, PEM.
pub fn certificate(name: &str) -> (String, String) {
    let key = rcgen::KeyPair::generate().unwrap();
    let parameters = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
    (parameters.self_signed(&key).unwrap().pem(), key.serialize_pem())
}

//! The limits of an instance, as the API tells them.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::harness::server::Server;

#[test]
fn an_instance_has_at_most_200_adapters() {
    let server = Server::start();
    let api = server.api();
    let root_key = api.root_key();
    let there = api.get("/v1/adapters?limit=1000").expect(200)["items"].as_array().unwrap().len();
    for number in there..200 {
        api.post("/v1/adapters", &json!({"name": format!("adapter {number}"), "root_key": root_key})).expect(201);
    }
    let over = json!({"name": "one more", "root_key": root_key});
    let problem = api.post("/v1/adapters", &over).problem(409, "limit-reached");
    assert_eq!(problem.members["limit"], 200);
    let listed = api.get("/v1/adapters?limit=1000").expect(200);
    let items = listed["items"].as_array().unwrap();
    assert_eq!((items.len(), listed["next_page"].is_null()), (200, true));
    // One goes, one comes: at the latest when the job that erases has been at the deleted one.
    let last = items.iter().find(|item| item["name"] == "adapter 199").unwrap();
    api.delete(&format!("/v1/adapters/{}", last["id"].as_str().unwrap())).expect(204);
    let deadline = Instant::now() + Duration::from_secs(30);
    while api.post("/v1/adapters", &over).status != 201 {
        assert!(Instant::now() < deadline, "the place of a deleted adapter is free again");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn an_adapter_needs_a_root_key_and_a_name_of_two_characters() {
    let server = Server::start();
    let api = server.api();
    let root_key = api.root_key();
    api.post("/v1/adapters", &json!({"name": "no root key"})).problem(422, "invalid");
    api.post("/v1/adapters", &json!({"name": "a", "root_key": root_key})).problem(422, "invalid");
    api.post("/v1/adapters", &json!({"name": "ab", "root_key": root_key})).expect(201);
}

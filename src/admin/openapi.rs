//! The OpenAPI 3.1 document, assembled from the routes, and a page to read it in that needs nothing from elsewhere.
//!
//! Handlers describe what they answer when they succeed. What every route of a kind can answer besides is added here.

use std::sync::Arc;

use axum::{
    Router,
    http::{HeaderName, header},
    response::IntoResponse,
    routing::get,
};
use serde_json::{Map, Value, json};
use utoipa::{OpenApi, openapi};

use super::{
    Admin,
    problem::{self, ProblemDetails},
};

const PAGE: &str = include_str!("docs/page.html");
const SCRIPT: &str = include_str!("docs/page.js");
const STYLE: &str = include_str!("docs/page.css");

/// What stands in the document before any route.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Keystead",
        description = "Administration of a Keystead server: adapters, certificates, root keys, keys, identities. Key material \
                       is in no answer. Errors are problem details (RFC 9457). A change names the revision it was made from in \
                       If-Match; a request that makes something can be sent again with the same Idempotency-Key."
    ),
    components(schemas(ProblemDetails)),
    tags(
        (name = "adapters", description = "Tenants, each under one root key"),
        (name = "approvals", description = "What needs two people: asked for by one, approved by another"),
        (name = "root keys", description = "The keys in the HSM that wrap everything"),
        (name = "audit", description = "Everything that was done or refused"),
        (name = "backups", description = "Copies of the database"),
        (name = "certificates", description = "Client certificates, rules for those of authorities, the authorities"),
        (name = "objects", description = "Keys and other managed objects, without their content"),
        (name = "identities", description = "Who administers: services with API keys, operators with certificates"),
        (name = "session", description = "Who is asking, and sessions of browsers"),
        (name = "server", description = "The server itself")
    )
)]
pub(super) struct Document;

/// `/openapi.json` and `/docs`.
pub(super) fn router(document: openapi::OpenApi) -> Router<Arc<Admin>> {
    let text = Arc::<str>::from(complete(document).to_string());
    let json = [(header::CONTENT_TYPE, "application/json")];
    Router::new()
        .route("/openapi.json", get(move || async move { (json, text.to_string()) }))
        .route("/docs", get(async || page("text/html; charset=utf-8", PAGE)))
        .route("/docs/page.js", get(async || page("text/javascript; charset=utf-8", SCRIPT)))
        .route("/docs/page.css", get(async || page("text/css; charset=utf-8", STYLE)))
}

fn page(kind: &'static str, text: &'static str) -> impl IntoResponse {
    let policy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; \
                  frame-ancestors 'none'";
    ([(header::CONTENT_TYPE, kind), (HeaderName::from_static("content-security-policy"), policy)], text)
}

/// Adds to every operation how one logs in and how it can fail.
fn complete(document: openapi::OpenApi) -> Value {
    let mut document = serde_json::to_value(document).unwrap_or_default();
    if let Some(components) = object(&mut document, "components") {
        components.insert("securitySchemes".to_owned(), security_schemes());
    }
    if let Some(root) = document.as_object_mut() {
        root.insert("security".to_owned(), json!([{"api_key": []}, {"session": []}, {"certificate": []}]));
    }
    let Some(paths) = object(&mut document, "paths") else { return document };
    for (path, item) in paths {
        for (method, operation) in item.as_object_mut().into_iter().flatten() {
            let Some(operation) = operation.as_object_mut() else { continue };
            name(operation);
            if path.starts_with("/v1/") {
                add_problems(path, method, operation);
            }
        }
    }
    document
}

fn object<'a>(value: &'a mut Value, name: &str) -> Option<&'a mut Map<String, Value>> {
    value.as_object_mut()?.entry(name).or_insert_with(|| json!({})).as_object_mut()
}

fn security_schemes() -> Value {
    json!({
        "api_key": {"type": "http", "scheme": "bearer", "description": "An API key, ks_…"},
        "session": {"type": "apiKey", "in": "cookie", "name": super::auth::COOKIE,
                    "description": "The cookie that POST /v1/session sets. Changes need the header X-CSRF-Token as well."},
        "certificate": {"type": "mutualTLS", "description": "The client certificate of an operator"},
    })
}

/// Puts the kind of thing before the handler's name, so that each operation has a name of its own.
fn name(operation: &mut Map<String, Value>) {
    let tag = operation.get("tags").and_then(|tags| tags.get(0)).and_then(Value::as_str).map(str::to_owned);
    if let (Some(tag), Some(id)) = (tag, operation.get_mut("operationId"))
        && let Some(handler) = id.as_str()
    {
        *id = format!("{}_{handler}", tag.replace(|c: char| !c.is_ascii_alphanumeric(), "_")).into();
    }
}

fn add_problems(path: &str, method: &str, operation: &mut Map<String, Value>) {
    let parameters = operation.get("parameters").and_then(Value::as_array).cloned().unwrap_or_default();
    let takes = |place: &str, name: Option<&str>| {
        parameters.iter().any(|parameter| parameter["in"] == place && name.is_none_or(|name| parameter["name"] == name))
    };
    let mut problems = vec![
        (400, "The request cannot be read"),
        (401, "No valid credential"),
        (403, "Not allowed"),
        (429, "Too many failed logins"),
        (500, "The server made a mistake"),
        (
            503,
            "HSM, database or audit log cannot do this now, or it is being done for others; then Retry-After says when to come again",
        ),
    ];
    if path.contains('{') {
        problems.push((404, "There is no such thing, or none that the caller may know of"));
    }
    if operation.contains_key("requestBody") {
        problems.extend([
            (408, "The body came too slowly"),
            (413, "The body is too large"),
            (415, "The body is not JSON"),
        ]);
    }
    if operation.contains_key("requestBody") || takes("query", None) || takes("header", Some("Idempotency-Key")) {
        problems.push((422, "A value is not allowed"));
    }
    if method != "get" {
        problems.push((409, "It is there already, or its state does not allow it"));
    }
    if takes("header", Some("If-Match")) {
        problems.extend([(412, "It was changed by somebody else"), (428, "If-Match is missing")]);
    }
    let responses = operation.entry("responses").or_insert_with(|| json!({}));
    for (status, description) in problems {
        let problem = json!({
            "description": description,
            "content": {problem::MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemDetails"}}},
        });
        if let Some(responses) = responses.as_object_mut() {
            responses.entry(status.to_string()).or_insert(problem);
        }
    }
}

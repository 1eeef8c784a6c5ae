//! The admin API as commands speak to it: one typed call, whether a server answers it over HTTPS or the same routes in this process
//! do, on the files of this machine.

mod error;
mod here;
mod hsm;
mod https;

use axum::{
    body::Bytes,
    http::{HeaderValue, Method, Request, Response, header},
};
use http_body_util::Full;
use serde::Serialize;
use serde_json::{Value, json};
use uuid::Uuid;
use zeroize::Zeroizing;

use self::error::Refused;
pub(super) use self::{
    error::ApiError,
    here::Here,
    https::{BadServer, parse_server},
};
use super::{CliError, context::Context, output::say, view::items};
use crate::{admin::wiped::wiped_json, config::Config};

/// Most items on a page of a list.
const PAGE: u32 = 1000;

/// What answers.
pub(super) struct Api {
    place: Place,
    runtime: tokio::runtime::Runtime,
}

enum Place {
    /// A server.
    There(Box<https::Https>),
    /// This process, on the files of this machine.
    Here(Box<Here>),
}

/// What a request brings along.
#[derive(Default)]
struct Extra {
    /// JSON.
    body: Option<Bytes>,
    /// Makes repeating the request harmless.
    once: bool,
    /// The revision that is changed.
    revision: Option<HeaderValue>,
}

impl Api {
    /// The server of a context.
    pub(super) fn of(name: &str, context: &Context) -> Result<Self, CliError> {
        Self::at(Place::There(Box::new(https::Https::of(name, context)?)))
    }

    /// The files that `config` names.
    pub(super) fn on(config: Config) -> Result<Self, CliError> {
        Self::at(Place::Here(Box::new(Here::open(config)?)))
    }

    fn at(place: Place) -> Result<Self, CliError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(ApiError::System)?;
        Ok(Self { place, runtime })
    }

    /// The files of this machine, where it is they: for what is done on the machine itself alone.
    pub(super) fn here(&self) -> Option<&Here> {
        match &self.place {
            Place::Here(here) => Some(here),
            Place::There(_) => None,
        }
    }

    /// Reads one thing.
    pub(super) fn get(&self, path: &str) -> Result<Value, CliError> {
        self.value(self.send(&Method::GET, path, Extra::default())?)
    }

    /// Reads all of a list, page after page, or at most `limit` items of it. `path` may have a query.
    pub(super) fn list(&self, path: &str, limit: Option<usize>) -> Result<Vec<Value>, CliError> {
        let mut items = Vec::new();
        let mut page: Option<String> = None;
        loop {
            let left = limit.map_or(PAGE, |limit| u32::try_from(limit.saturating_sub(items.len())).unwrap_or(PAGE));
            let joint = if path.contains('?') { '&' } else { '?' };
            let mut here = format!("{path}{joint}limit={}", left.clamp(1, PAGE));
            if let Some(page) = &page {
                here.push_str("&page=");
                here.push_str(&escaped(page));
            }
            let mut answer = self.get(&here)?;
            match answer.get_mut("items").map(Value::take) {
                Some(Value::Array(more)) => items.extend(more),
                _ => return Err(ApiError::Incomplete { path: path.to_owned(), member: "items" }.into()),
            }
            page = answer.get("next_page").and_then(Value::as_str).map(str::to_owned);
            if page.is_none() || limit.is_some_and(|limit| items.len() >= limit) {
                return Ok(items);
            }
        }
    }

    /// Makes something.
    pub(super) fn create(&self, path: &str, body: &impl Serialize) -> Result<Value, CliError> {
        self.value(self.send(&Method::POST, path, Extra { body: Some(json_of(body)?), once: true, revision: None })?)
    }

    /// Asks for something to be done that needs no saying how.
    pub(super) fn act(&self, path: &str) -> Result<Value, CliError> {
        self.value(self.send(&Method::POST, path, Extra::default())?)
    }

    /// Asks for something to be done, and says how.
    pub(super) fn act_with(&self, path: &str, body: &impl Serialize) -> Result<Value, CliError> {
        let extra = Extra { body: Some(json_of(body)?), ..Extra::default() };
        self.value(self.send(&Method::POST, path, extra)?)
    }

    /// Asks for `verb` to be done to what is at `path`, as it is now.
    pub(super) fn act_on(&self, path: &str, verb: &str) -> Result<Value, CliError> {
        let extra = Extra { revision: self.revision(path)?, ..Extra::default() };
        self.value(self.send(&Method::POST, &format!("{path}/{verb}"), extra)?)
    }

    /// Puts something in the place of what is below the thing at `of`, which changes with it.
    pub(super) fn put(&self, of: &str, below: &str, body: &impl Serialize) -> Result<Value, CliError> {
        let extra = Extra { body: Some(json_of(body)?), once: false, revision: self.revision(of)? };
        self.value(self.send(&Method::PUT, &format!("{of}/{below}"), extra)?)
    }

    /// Removes what is below the thing at `of`, which changes with it.
    pub(super) fn delete_below(&self, of: &str, below: &str) -> Result<Value, CliError> {
        let extra = Extra { body: None, once: false, revision: self.revision(of)? };
        self.value(self.send(&Method::DELETE, &format!("{of}/{below}"), extra)?)
    }

    /// Changes what is at `path`, unless somebody else changes it at this moment.
    pub(super) fn change(&self, path: &str, body: &Value) -> Result<Value, CliError> {
        let revision = self.revision(path)?;
        self.value(self.send(&Method::PATCH, path, Extra { body: Some(json_of(body)?), once: false, revision })?)
    }

    /// Removes what is at `path`, as it is now.
    pub(super) fn delete(&self, path: &str) -> Result<Value, CliError> {
        let revision = self.revision(path)?;
        self.value(self.send(&Method::DELETE, path, Extra { body: None, once: false, revision })?)
    }

    /// The one thing of the list at `path` whose member `member`, or whose id, is `text`.
    pub(super) fn find(&self, what: &'static str, path: &str, member: &str, text: &str) -> Result<Value, CliError> {
        let mut all = self.list(path, None)?;
        let has = |item: &Value, member: &str| item.get(member).and_then(Value::as_str) == Some(text);
        let found =
            all.iter().position(|item| has(item, member)).or_else(|| all.iter().position(|item| has(item, "id")));
        match found {
            Some(place) => Ok(all.swap_remove(place)),
            None => {
                let others = all.iter().filter_map(|item| Some(item.get(member)?.as_str()?.to_owned())).collect();
                Err(CliError::NoSuch { what, name: text.to_owned(), others })
            }
        }
    }

    /// The identifier of the thing that [`Api::find`] finds.
    pub(super) fn id(&self, what: &'static str, path: &str, member: &str, text: &str) -> Result<String, CliError> {
        if text.parse::<Uuid>().is_ok() {
            return Ok(text.to_owned());
        }
        let found = self.find(what, path, member, text)?;
        let id = found.get("id").and_then(Value::as_str).map(str::to_owned);
        Ok(id.ok_or_else(|| ApiError::Incomplete { path: path.to_owned(), member: "id" })?)
    }

    /// Connects, and says who the server is and whom it takes the caller for.
    pub(super) fn test(&self) -> Result<(), CliError> {
        let session = self.get("/v1/session")?;
        let text = |member: &str| session.get(member).and_then(Value::as_str).unwrap_or_default().to_owned();
        let roles: Vec<_> = items(&session, "grants")
            .iter()
            .map(|grant| {
                let role = grant.get("role").and_then(Value::as_str).unwrap_or_default();
                let only = grant.get("adapter").and_then(Value::as_str);
                only.map_or_else(|| role.to_owned(), |adapter| format!("{role} of adapter {adapter}"))
            })
            .collect();
        say(format_args!("server  {}", self.name()));
        say(format_args!("you     {} ({})", super::output::visible(&text("name")), text("identity")));
        say(format_args!("roles   {}", if roles.is_empty() { "none".to_owned() } else { roles.join(", ") }));
        Ok(())
    }

    /// The ETag of what is at `path`; `None` for what has none, such as what cannot change.
    fn revision(&self, path: &str) -> Result<Option<HeaderValue>, CliError> {
        match self.send(&Method::GET, path, Extra::default()) {
            Ok(answer) => Ok(answer.headers().get(header::ETAG).cloned()),
            // Some things can be changed and not read by themselves.
            Err(CliError::Api(ApiError::Refused(refused))) if refused.status == 405 => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn send(&self, method: &Method, path: &str, extra: Extra) -> Result<Response<Bytes>, CliError> {
        match &self.place {
            // Nothing is lost on the way, so nothing has to be repeated.
            Place::Here(here) => self.accept(self.runtime.block_on(here.send(request(method, path, &extra, None)))?),
            Place::There(server) => {
                let once = extra.once.then(|| Uuid::new_v4().to_string());
                let send = || self.runtime.block_on(server.send(request(method, path, &extra, once.as_deref())));
                let answer = match send() {
                    // The answer may be lost while the thing was made: with the same key it is not made twice.
                    Err(ApiError::Unreachable { .. }) if once.is_some() => send(),
                    answer => answer,
                };
                self.accept(answer?)
            }
        }
    }

    fn accept(&self, answer: Response<Bytes>) -> Result<Response<Bytes>, CliError> {
        let status = answer.status();
        if status.is_success() {
            return Ok(answer);
        }
        let refused = serde_json::from_slice::<Refused>(answer.body());
        let refused = refused.map_err(|_| ApiError::OtherServer { server: self.name(), status: status.as_u16() })?;
        Err(ApiError::Refused(Box::new(match &self.place {
            Place::There(_) => refused,
            Place::Here(here) => refused.on_these_files(here.hsm_said().filter(|_| status.is_server_error())),
        }))
        .into())
    }

    fn value(&self, answer: Response<Bytes>) -> Result<Value, CliError> {
        let status = answer.status().as_u16();
        if answer.body().is_empty() {
            return Ok(json!({}));
        }
        let value = serde_json::from_slice(answer.body());
        Ok(value.map_err(|_| ApiError::OtherServer { server: self.name(), status })?)
    }

    /// What people call it.
    fn name(&self) -> String {
        match &self.place {
            Place::There(server) => server.server(),
            Place::Here(here) => here.admin.config.store.path.display().to_string(),
        }
    }
}

/// A request's body. It may hold a password.
fn json_of(body: &impl Serialize) -> Result<Bytes, CliError> {
    wiped_json(body).map(Bytes::from_owner).map_err(CliError::Json)
}

fn request(method: &Method, path: &str, extra: &Extra, once: Option<&str>) -> Request<Full<Bytes>> {
    let mut request = Request::new(Full::new(extra.body.clone().unwrap_or_default()));
    *request.method_mut() = method.clone();
    if let Ok(uri) = path.parse() {
        *request.uri_mut() = uri;
    }
    let headers = request.headers_mut();
    headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
    if extra.body.is_some() {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    if let Some(revision) = &extra.revision {
        headers.insert(header::IF_MATCH, revision.clone());
    }
    if let Some(once) = once.and_then(|once| HeaderValue::from_str(once).ok()) {
        headers.insert("idempotency-key", once);
    }
    request
}

/// `text` as it stands in a path or a query.
pub(super) fn escaped(text: &str) -> String {
    let escape = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        other => format!("%{other:02X}"),
    };
    text.bytes().map(escape).collect()
}

/// Takes the text of a member out that is a secret.
pub(super) fn take_secret(answer: &mut Value, member: &str) -> Option<Zeroizing<String>> {
    match answer.get_mut(member).map(Value::take) {
        Some(Value::String(secret)) => Some(Zeroizing::new(secret)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_means_something_in_a_url_is_escaped() {
        assert_eq!(escaped("a b/ü?&=%-._~"), "a%20b%2F%C3%BC%3F%26%3D%25-._~");
    }

    #[test]
    fn a_request_says_what_it_changes_and_that_it_may_be_repeated() {
        let body = json_of(&json!({"name": "a"})).ok();
        let extra = Extra { body, once: true, revision: Some(HeaderValue::from_static("\"3\"")) };
        let request = request(&Method::POST, "/v1/adapters?limit=1", &extra, Some("key"));
        assert_eq!(request.uri(), "/v1/adapters?limit=1");
        assert_eq!(request.headers()[header::IF_MATCH], "\"3\"");
        assert_eq!(request.headers()["idempotency-key"], "key");
        assert_eq!(request.headers()[header::CONTENT_TYPE], "application/json");
    }
}

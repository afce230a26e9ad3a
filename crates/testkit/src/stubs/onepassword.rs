//! A 1Password Connect server: vaults and items by list, filter and id.
//!
//! After 1Password's Connect API reference and specification (1.8): `GET /v1/vaults`, `GET
//! /v1/vaults/{id}/items` with SCIM filters, `GET /v1/vaults/{id}/items/{id}`, `ErrorResponse`. Filters
//! compare without regard to case, to be sure that the store does. Not played: files, activity, writes.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::http::{Heard, Listening, Reply, listen};
use super::{CloudStub, Tokens, hold};
use crate::gate::Gate;

const API: &str = "connect";

#[derive(Debug)]
struct State {
    tokens: Tokens,
    /// Items by their ids.
    items: Mutex<BTreeMap<String, Value>>,
    hidden: Mutex<HashSet<String>>,
}

/// The server, on a loopback port.
#[derive(Debug)]
pub struct OnePasswordStub {
    state: Arc<State>,
    gate: Gate,
    _listening: Listening,
}

impl OnePasswordStub {
    /// The title of the vault.
    pub const VAULT: &str = "Tool Credentials";
    /// Its id.
    pub const VAULT_ID: &str = "vaultaaaaaaaaaaaaaaaaaaaa1";

    /// Starts it. The file of a good token is there.
    ///
    /// # Panics
    /// Where no port is free.
    pub async fn start() -> Self {
        let tokens = Tokens::new("connect");
        let state = Arc::new(State { tokens, items: Mutex::default(), hidden: Mutex::default() });
        let token = state.tokens.make(API).unwrap_or_default();
        state.tokens.write(&token);
        let one = state.clone();
        let service = listen(move |heard| one.answer(heard)).await;
        let gate = Gate::open(&service.host).await;
        Self { state, gate, _listening: service }
    }

    /// The file of the access token.
    pub fn token_file(&self) -> std::path::PathBuf {
        self.state.tokens.file()
    }

    /// Adds an item as it is kept; returns its id.
    pub fn add(&self, title: &str, change: impl FnOnce(&mut Value)) -> String {
        let mut items = hold(&self.state.items);
        let id = format!("item{:0>22}", items.len() + 1);
        let mut item = json!({ "id": id, "title": title, "vault": { "id": Self::VAULT_ID }, "category": "API_CREDENTIAL",
            "version": 1, "createdAt": "2026-11-26T09:00:00Z", "updatedAt": "2026-11-26T10:00:00Z",
            "sections": [], "fields": [] });
        change(&mut item);
        items.insert(id.clone(), item);
        id
    }

    /// Changes an item as it is kept.
    pub fn change(&self, id: &str, change: impl FnOnce(&mut Value)) {
        if let Some(item) = hold(&self.state.items).get_mut(id) {
            change(item);
        }
    }
}

fn error(status: u16) -> Value {
    json!({ "status": status, "message": "canary: the server's own words" })
}

fn refused(status: u16) -> Reply {
    Reply::json(status, &error(status))
}

/// The text between the quotes of a filter of this attribute.
fn filter<'a>(heard: &'a Heard, attribute: &str) -> Option<&'a str> {
    let text = heard.parameter("filter")?.strip_prefix(attribute)?.strip_prefix(" eq \"")?;
    text.strip_suffix('"')
}

impl State {
    fn answer(&self, heard: &Heard) -> Reply {
        if !self.tokens.takes(heard, API) {
            return refused(401);
        }
        let (method, place) = heard.place();
        match (method, place.as_slice()) {
            ("GET", ["v1", "vaults"]) => {
                let asked = filter(heard, "name");
                let found = asked.is_none_or(|name| name.eq_ignore_ascii_case(OnePasswordStub::VAULT));
                let vault = json!({ "id": OnePasswordStub::VAULT_ID, "name": OnePasswordStub::VAULT });
                Reply::json(200, &if found { json!([vault]) } else { json!([]) })
            }
            ("GET", ["v1", "vaults", OnePasswordStub::VAULT_ID, "items"]) => self.list(heard),
            ("GET", ["v1", "vaults", OnePasswordStub::VAULT_ID, "items", id]) => self.get(id),
            ("GET", ["v1", "vaults", _, "items", ..]) => refused(403),
            _ => refused(404),
        }
    }

    fn list(&self, heard: &Heard) -> Reply {
        let asked = filter(heard, "title");
        let items = hold(&self.items);
        let title = |item: &Value| item.get("title").and_then(Value::as_str).unwrap_or_default().to_owned();
        let found =
            items.values().filter(|item| asked.is_none_or(|asked| title(item).eq_ignore_ascii_case(asked)));
        // An overview has no fields.
        let overviews = found.map(|item| {
            let mut item = item.clone();
            if let Some(item) = item.as_object_mut() {
                item.remove("fields");
                item.remove("sections");
            }
            item
        });
        Reply::json(200, &overviews.collect())
    }

    fn get(&self, id: &str) -> Reply {
        if hold(&self.hidden).contains(id) {
            return refused(403);
        }
        hold(&self.items).get(id).map_or_else(|| refused(404), |item| Reply::json(200, item))
    }

    fn id_of(&self, path: &str) -> Option<String> {
        let title = path.split('/').nth(1)?;
        let items = hold(&self.items);
        let titled = |item: &Value| item.get("title").and_then(Value::as_str) == Some(title);
        items.iter().find(|(_, item)| titled(item)).map(|(id, _)| id.clone())
    }
}

impl CloudStub for OnePasswordStub {
    fn gate(&self) -> &Gate {
        &self.gate
    }

    fn logins(&self) -> u32 {
        0
    }

    fn put(&self, path: &str, field: Option<&str>, value: &[u8]) -> Option<String> {
        let (label, text) = (field?, std::str::from_utf8(value).ok()?);
        let id = self.state.id_of(path).unwrap_or_else(|| {
            self.add(path.split('/').nth(1).unwrap_or_default(), |item| {
                if let Some(item) = item.as_object_mut() {
                    item.insert("version".to_owned(), 0.into());
                }
            })
        });
        let mut version = 0;
        self.change(&id, |item| {
            version = item.get("version").and_then(Value::as_u64).unwrap_or(0) + 1;
            if let Some(item) = item.as_object_mut() {
                item.insert("version".to_owned(), version.into());
                let field = json!({ "id": "credential", "type": "CONCEALED", "label": label, "value": text });
                item.insert(
                    "fields".to_owned(),
                    json!([{ "id": "username", "label": "username", "value": "x" }, field]),
                );
            }
        });
        Some(version.to_string())
    }

    fn delete(&self, path: &str) {
        if let Some(id) = self.state.id_of(path) {
            hold(&self.state.items).remove(&id);
        }
    }

    fn hide(&self, path: &str) {
        if let Some(id) = self.state.id_of(path) {
            hold(&self.state.hidden).insert(id);
        }
    }

    fn error(&self, status: u16) -> String {
        error(status).to_string()
    }

    /// The token was replaced by another one.
    fn end_sessions(&self) {
        self.state.tokens.end();
        if let Some(token) = self.state.tokens.make(API) {
            self.state.tokens.write(&token);
        }
    }

    fn refuse_logins(&self, refuse: bool) {
        self.state.tokens.refuse(refuse);
        if let Some(token) = self.state.tokens.make(API) {
            self.state.tokens.write(&token);
        }
    }
}

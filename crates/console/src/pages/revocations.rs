//! What was revoked, and the signed documents about it.

use axum::extract::Path;
use axum::response::{IntoResponse as _, Response};
use gateway_login::page::Html;
use http::{HeaderValue, header};
use serde_json::Value;

use crate::frame::Sheet;
use crate::pages::object::is_plain;
use crate::parts::{Facts, Table, badge, choice, code, link, text, time, words};
use crate::shapes::Items;
use crate::told::Revocation;
use crate::trouble::Trouble;
use crate::visit::Visit;

pub(crate) async fn page(visit: Visit) -> Response {
    let made = list(&visit).await;
    visit.answer(made)
}

async fn list(visit: &Visit) -> Result<Sheet, Trouble> {
    let only = visit.query.text("outstanding");
    let query = [("outstanding", only), ("cursor", visit.query.text("cursor"))];
    let found: Items<Revocation> = visit.read("/v1/revocations", &query).await?;
    let columns = &["Revocation", "What", "By", "When", "State", "Still open outside"];
    let rows = found.items.iter().fold(Table::new(columns), |table, one| {
        table.row(&[
            link(&format!("/console/revocations/{}", one.id), &one.id),
            text(&one.subject),
            text(&one.requested_by),
            time(&one.requested_at),
            badge(&one.status),
            text(&one.outstanding.to_string()),
        ])
    });
    let options = [("", "all"), ("true", "still open outside")];
    let content = Html::new()
        .raw("<form class=\"bar\" method=\"get\" action=\"/console/revocations\">")
        .html(&choice("outstanding", "Show", only.unwrap_or_default(), &options))
        .raw("<button>Show</button></form>")
        .html(&rows.finish("By their newest document, the latest first", "Nothing was revoked."))
        .html(&visit.further("/console/revocations", &["outstanding"], found.next.as_deref()));
    Ok(Sheet::new("Revocations", content))
}

async fn read(visit: &Visit, id: &str) -> Result<Revocation, Trouble> {
    if !is_plain(id) {
        return Err(Trouble::NotThere);
    }
    visit.read(&format!("/v1/revocations/{id}"), &[]).await
}

pub(crate) async fn one(visit: Visit, Path(id): Path<String>) -> Response {
    let made = show(&visit, &id).await;
    visit.answer(made)
}

async fn show(visit: &Visit, id: &str) -> Result<Sheet, Trouble> {
    let revocation = read(visit, id).await?;
    let facts = Facts::default()
        .fact("What", &text(&revocation.subject))
        .fact("State", &badge(&revocation.status))
        .fact("Asked for by", &text(&revocation.requested_by))
        .fact("Asked for", &time(&revocation.requested_at))
        .fact("Ended here", &time(claimed(&revocation, "ended_at")))
        .fact("Signed", &time(&revocation.signed_at))
        .fact("Still open outside", &text(&revocation.outstanding.to_string()))
        .fact("Ended", &text(&words(revocation.claims.get("ended").unwrap_or(&Value::Null))))
        .fact("Confirmed by", &text(&words(revocation.claims.get("replicas").unwrap_or(&Value::Null))))
        .fact("In the evidence", &text(&words(revocation.claims.get("audit").unwrap_or(&Value::Null))))
        .finish();
    let content = facts.html(&things(&revocation)).html(&outside(&revocation)).html(&documents(&revocation));
    Ok(Sheet::new(format!("Revocation {}", revocation.id), content))
}

fn claimed<'a>(revocation: &'a Revocation, name: &str) -> &'a str {
    revocation.claims.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn list_of<'a>(revocation: &'a Revocation, name: &str) -> &'a [Value] {
    revocation.claims.get(name).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

fn told(value: &Value, name: &str) -> String {
    value.get(name).map(words).unwrap_or_default()
}

fn things(revocation: &Revocation) -> Html {
    let columns = &["Kind", "Where", "Name", "Ended with it", "Its stored secret"];
    let rows = list_of(revocation, "things").iter().fold(Table::new(columns), |table, one| {
        let [kind, environment, name, ended] =
            ["kind", "environment", "name", "ended"].map(|field| told(one, field));
        table.row(&[
            text(&kind),
            text(&environment),
            text(&name),
            text(&ended),
            code(&told(one, "stored_secret")),
        ])
    });
    let start = Html::new().raw("<h2>What ended here</h2>");
    start.html(&rows.finish("A stored secret is its owner's to withdraw", "Nothing hung on it."))
}

fn outside(revocation: &Revocation) -> Html {
    let columns = &["What", "Who was asked", "How many", "State", "Answer", "Tries"];
    let rows = list_of(revocation, "outside").iter().fold(Table::new(columns), |table, one| {
        let [kind, party, count, state, answer, tries] =
            ["kind", "party", "count", "state", "answer", "tries"].map(|field| told(one, field));
        table.row(&[text(&kind), text(&party), text(&count), badge(&state), code(&answer), text(&tries)])
    });
    let start = Html::new().raw("<h2>What was given back outside</h2>");
    start.html(&rows.finish("As far as the outside has answered", "Nothing was issued outside."))
}

fn documents(revocation: &Revocation) -> Html {
    let start = Html::new().raw("<h2>Signed documents</h2>");
    let Some(documents) = &revocation.documents else {
        return start.raw(
            "<p class=\"nothing\">What is signed cannot be masked: the documents are for roles that see the paths of secrets.</p>",
        );
    };
    let list = (1_u64..).zip(documents).fold(start.raw("<ol>"), |html, (serial, _)| {
        let address = format!("/console/revocations/{}/{serial}", revocation.id);
        html.raw("<li>").html(&link(&address, &format!("Document {serial}"))).raw("</li>")
    });
    list.raw("</ol><p class=\"fine\">Each is a compact JWS: <code>mcp-gateway revocation verify</code> checks it without the \
              gateway.</p>")
}

pub(crate) async fn document(visit: Visit, Path((id, serial)): Path<(String, String)>) -> Response {
    match signed(&visit, &id, &serial).await {
        Ok(jws) => {
            let kind = (header::CONTENT_TYPE, HeaderValue::from_static("application/jose"));
            let name = format!("attachment; filename=\"revocation-{id}-{serial}.jws\"");
            let mut response = ([kind], jws).into_response();
            // The id is plain: nothing in it could be another header.
            if let Ok(name) = HeaderValue::from_str(&name) {
                response.headers_mut().insert(header::CONTENT_DISPOSITION, name);
            }
            response
        }
        Err(trouble) => visit.answer(Err(trouble)),
    }
}

async fn signed(visit: &Visit, id: &str, serial: &str) -> Result<String, Trouble> {
    let serial: usize = serial.parse().map_err(|_| Trouble::NotThere)?;
    let documents = read(visit, id).await?.documents.unwrap_or_default();
    serial.checked_sub(1).and_then(|place| documents.into_iter().nth(place)).ok_or(Trouble::NotThere)
}

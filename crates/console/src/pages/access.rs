//! Three questions: who can reach a tool, what can somebody reach, and why would one call be refused or let through. By
//! what decides now, and only as far as one's roles cover it.

use axum::response::Response;
use gateway_login::page::Html;
use serde_json::{Map, Value, json};

use crate::frame::Sheet;
use crate::parts::{Facts, Table, badge, card_address, choice, code, field_of, link, text, words};
use crate::trouble::Trouble;
use crate::visit::Visit;

/// Who can be asked after, as the API and as people call them.
const SUBJECTS: [(&str, &str); 4] =
    [("agent", "agent"), ("workload", "workload"), ("group", "persons of a group"), ("user", "user")];

pub(crate) async fn page(visit: Visit) -> Response {
    let made = match visit.query.text("question") {
        None => Ok(Html::new()),
        Some("who") => who(&visit).await,
        Some("what") => what(&visit).await,
        Some("why") => why(&visit).await,
        Some(_) => Err(Trouble::NotThere),
    };
    match made {
        Ok(answer) => visit.answer(Ok(Sheet::new("Access", answer.html(&questions(&visit))))),
        // What was asked stays to be mended.
        Err(trouble) => visit.failed(&trouble, &questions(&visit)),
    }
}

fn questions(visit: &Visit) -> Html {
    Html::new()
        .html(&question(visit, "why", "Why would this call be refused, or let through?", "Explain", |said| {
            Html::new()
                .html(&field_of("why-", "environment", "Environment", said("environment"), ""))
                .html(&field_of("why-", "server", "Server", said("server"), ""))
                .html(&field_of("why-", "tool", "Tool", said("tool"), ""))
                .html(&field_of("why-", "agent", "Agent", said("agent"), ""))
                .html(&field_of("why-", "workload", "Workload", said("workload"), ""))
                .html(&field_of("why-", "user", "User", said("user"), "issuer|subject"))
                .html(&field_of("why-", "groups", "The user's groups", said("groups"), "one, another"))
                .html(&field_of("why-", "surface", "Client application", said("surface"), ""))
        }))
        .html(&question(visit, "who", "Who can reach this tool?", "Ask", |said| {
            Html::new()
                .html(&field_of("who-", "environment", "Environment", said("environment"), ""))
                .html(&field_of("who-", "server", "Server", said("server"), ""))
                .html(&field_of("who-", "tool", "Tool", said("tool"), ""))
        }))
        .html(&question(visit, "what", "What can somebody reach?", "Ask", |said| {
            Html::new()
                .html(&choice("subject", "Who", said("subject"), &SUBJECTS))
                .html(&field_of("what-", "name", "Name", said("name"), "a user as issuer|subject"))
                .html(&field_of("what-", "environment", "Only in", said("environment"), "every environment"))
        }))
}

/// A form that shows what was asked, where it was this question.
fn question<'a>(
    visit: &'a Visit,
    name: &'static str,
    heading: &'static str,
    button: &'static str,
    fields: impl Fn(&dyn Fn(&str) -> &'a str) -> Html,
) -> Html {
    let asked = visit.query.text("question") == Some(name);
    let said = |field: &str| if asked { visit.query.text(field).unwrap_or_default() } else { "" };
    Html::new()
        .raw("<section><h2>")
        .raw(heading)
        .raw("</h2><form class=\"bar\" method=\"get\" action=\"/console/access\">")
        .hidden("question", name)
        // Ids are told apart by the question: each is on the page once.
        .html(&fields(&said))
        .raw("<button class=\"main\">")
        .raw(button)
        .raw("</button></form></section>")
}

async fn who(visit: &Visit) -> Result<Html, Trouble> {
    let told: Value = visit.read("/v1/access/who", &visit.said(&["environment", "server", "tool"])).await?;
    let place = ["environment", "server", "tool"].map(|part| said(&told, part)).join("/");
    let risk = match told.get("named").and_then(Value::as_bool) {
        Some(true) => badge(&said(&told, "risk")),
        _ => badge(&said(&told, "risk")).raw(" the server's default: no manifest names the tool"),
    };
    let environment = said(&told, "environment");
    let reaches = ways(list(&told, "reaches"), |one| binding(&environment, one));
    let start =
        Html::new().raw("<section class=\"notice good\"><h2>Who can reach ").text(&place).raw("</h2>");
    Ok(start
        .html(&Facts::default().fact("Risk", &risk).finish())
        .html(&reaches.finish("They get through", "Nobody that is declared gets through."))
        .html(&barred(list(&told, "nearly"), None))
        .html(&nobody(list(&told, "nobody")))
        .html(&ending(&told))
        .raw("</section>"))
}

async fn what(visit: &Visit) -> Result<Html, Trouble> {
    let subject = visit.query.text("subject").unwrap_or("agent");
    let Some((kind, called)) = SUBJECTS.iter().find(|(kind, _)| *kind == subject) else {
        return Err(Trouble::NotThere);
    };
    let name = visit.query.text("name");
    let query = [(*kind, name), ("environment", visit.query.text("environment"))];
    let told: Value = visit.read("/v1/access/what", &query).await?;
    let columns = &["Tools", "As", "Binding", "Mode", "Credential", "Permitted by", "If"];
    let rows = list(&told, "reaches").iter().fold(Table::new(columns), |table, one| {
        let [who, mode, credential, policies, conditions] = way(one);
        let bound = binding(&said(one, "environment"), one);
        table.row(&[text(&tools(one)), who, bound, mode, credential, policies, conditions])
    });
    let start = Html::new().raw("<section class=\"notice good\"><h2>What ").text(called).raw(" ");
    Ok(start
        .text(name.unwrap_or_default())
        .raw(" can reach</h2>")
        .html(&rows.finish("Calls of these get through", "Nothing."))
        .html(&barred(list(&told, "nearly"), Some("Tools")))
        .html(&ending(&told))
        .raw("</section>"))
}

async fn why(visit: &Visit) -> Result<Html, Trouble> {
    let asked = |field: &str| visit.query.text(field).map(str::trim).filter(|text| !text.is_empty());
    let named = |fields: &[&str]| -> Map<String, Value> {
        fields.iter().filter_map(|field| Some(((*field).to_owned(), json!(asked(field)?)))).collect()
    };
    let mut actor = named(&["agent", "workload", "user", "surface"]);
    if let Some(groups) = asked("groups") {
        let groups: Vec<&str> = groups.split(',').map(str::trim).filter(|one| !one.is_empty()).collect();
        actor.insert("groups".to_owned(), json!(groups));
    }
    let mut call = named(&["environment", "server", "tool"]);
    call.insert("actor".to_owned(), Value::Object(actor));
    let told: Value = visit.send("/v1/policies/explain", &Value::Object(call), None).await?;
    let allowed = told.get("allowed").and_then(Value::as_bool) == Some(true);
    let environment = asked("environment").unwrap_or_default();
    let start = if allowed {
        Html::new().raw("<section class=\"notice good\"><h2>It would be let through: ")
    } else {
        Html::new().raw("<section class=\"notice bad\"><h2>It would be refused: ")
    };
    let winner = said(&told, "winner");
    let verdict = told.get("verdict").cloned().unwrap_or_default();
    let facts = Facts::default()
        .fact("Code", &code(&said(&told, "refusal")))
        .fact("Lock", &text(&said(&told, "lock")))
        .fact("To change it", &text(&said(&told, "change")))
        .fact("Binding", &binding_link(environment, &winner))
        .fact("Mode", &code(&said(&told, "mode")))
        .fact("Risk", &text(&said(&told, "risk")))
        .fact("Policies", &text(&said(&verdict, "policies")))
        .fact("They say", &text(&said(&verdict, "reasons")))
        .fact("Policy version", &code(&said(&verdict, "version")))
        .finish();
    let columns = &["Binding", "", "Mode", "Because", "To change it"];
    let rows = list(&told, "candidates").iter().fold(Table::new(columns), |table, one| {
        let is = |field: &str| one.get(field).and_then(Value::as_bool) == Some(true);
        let word = if is("wins") {
            "decides"
        } else if is("matches") {
            "matches"
        } else {
            "no match"
        };
        table.row(&[
            binding(environment, one),
            badge(word),
            code(&said(one, "mode")),
            text(&said(one, "because")),
            text(&said(one, "change")),
        ])
    });
    Ok(start
        .text(&said(&told, "because"))
        .raw("</h2>")
        .html(&facts)
        .html(&rows.finish("The bindings of the server", "The server has no binding."))
        .raw("</section>"))
}

/// Everybody in a list who gets through.
fn ways(list: &[Value], binding: impl Fn(&Value) -> Html) -> Table {
    let columns = &["Who", "Binding", "Mode", "Credential", "Permitted by", "If"];
    list.iter().fold(Table::new(columns), |table, one| {
        let [who, mode, credential, policies, conditions] = way(one);
        table.row(&[who, binding(one), mode, credential, policies, conditions])
    })
}

fn way(one: &Value) -> [Html; 5] {
    let mode = match said(one, "source") {
        none if none.is_empty() => code(&said(one, "mode")),
        source => code(&said(one, "mode")).raw(" by ").text(&source),
    };
    let (reference, provider) = (said(one, "reference"), said(one, "provider"));
    let credential = if reference.is_empty() && !provider.is_empty() {
        text(&format!("from {provider}"))
    } else {
        code(&reference)
    };
    [text(&said(one, "who")), mode, credential, text(&said(one, "policies")), text(&said(one, "conditions"))]
}

/// Who nearly gets through, and what is missing.
fn barred(list: &[Value], first: Option<&'static str>) -> Html {
    let start = Html::new().raw("<h3>Nearly</h3>");
    if first.is_none() {
        let rows =
            list.iter().fold(Table::new(&["Who", "Refusal", "Because", "To change it"]), |table, one| {
                let because = text(&said(one, "because"));
                table.row(&[
                    text(&said(one, "who")),
                    code(&said(one, "refusal")),
                    because,
                    text(&said(one, "change")),
                ])
            });
        return start.html(&rows.finish("A binding serves them, and something else refuses", "Nobody."));
    }
    let columns = &["Tools", "As", "Refusal", "Because", "To change it"];
    let rows = list.iter().fold(Table::new(columns), |table, one| {
        table.row(&[
            text(&tools(one)),
            text(&said(one, "who")),
            code(&said(one, "refusal")),
            text(&said(one, "because")),
            text(&said(one, "change")),
        ])
    });
    start.html(&rows.finish("A binding serves these, and something else refuses", "Nothing."))
}

fn nobody(list: &[Value]) -> Html {
    let rows = list.iter().fold(Table::new(&["Who"]), |table, one| table.row(&[text(&said(one, "who"))]));
    let start = Html::new().raw("<details><summary>No binding of the server serves ");
    let start = start.text(&list.len().to_string()).raw(" declared callers</summary>");
    start.html(&rows.finish("They have no way at all", "None.")).raw("</details>")
}

/// What the answer says of itself.
fn ending(told: &Value) -> Html {
    let mut lines: Vec<String> = list(told, "words").iter().map(words).collect();
    if told.get("more").and_then(Value::as_bool) == Some(true) {
        lines.push("there are more declared callers than were looked at".to_owned());
    }
    lines.extend(Some(said(told, "limited")).filter(|limited| !limited.is_empty()));
    lines.iter().fold(Html::new(), |html, line| html.raw("<p class=\"fine\">").text(line).raw("</p>"))
}

/// `environment/server: tools`.
fn tools(one: &Value) -> String {
    let named = said(one, "tools");
    let every = one.get("every_other").and_then(Value::as_bool) == Some(true);
    let tools = match (named.is_empty(), every) {
        (true, true) => "every tool that no manifest names".to_owned(),
        (false, true) => format!("{named} and every tool that no manifest names"),
        _ => named,
    };
    format!("{}/{}: {tools}", said(one, "environment"), said(one, "server"))
}

fn binding(environment: &str, one: &Value) -> Html {
    binding_link(environment, &said(one, "binding"))
}

/// `name@revision`, and the way to its card.
fn binding_link(environment: &str, revision: &str) -> Html {
    match revision.split_once('@') {
        Some((name, _)) => link(&card_address(environment, name), revision),
        None => text(revision),
    }
}

fn said(value: &Value, field: &str) -> String {
    value.get(field).map(words).unwrap_or_default()
}

fn list<'a>(value: &'a Value, field: &str) -> &'a [Value] {
    value.get(field).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

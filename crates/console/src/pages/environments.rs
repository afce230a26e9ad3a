//! Environments: the rule of each, how often its bindings are looked at again, which stores serve it, and how much is in
//! it.

use axum::extract::Path;
use axum::response::Response;
use gateway_login::page::Html;
use serde_json::Value;

use crate::frame::Sheet;
use crate::pages::{object, stores};
use crate::parts::{Table, badge, code, link, text, words};
use crate::shapes::{Items, Object};
use crate::told::{Counts, Store, Summary};
use crate::trouble::Trouble;
use crate::visit::{Visit, address};

pub(crate) async fn page(visit: Visit) -> Response {
    let made = list(&visit).await;
    visit.answer(made)
}

async fn list(visit: &Visit) -> Result<Sheet, Trouble> {
    let query = [("cursor", visit.query.text("cursor")), ("limit", Some("100"))];
    let found: Items<Object> = visit.read("/v1/environments", &query).await?;
    let columns = &[
        "Environment",
        "Tier",
        "Signatures",
        "Reviews",
        "Agent tokens",
        "Promoted from",
        "Status",
        "Bindings",
    ];
    let rows = found.items.iter().fold(Table::new(columns), |table, one| {
        let mut status = badge(&one.status).raw(" revision ").text(&one.revision.to_string());
        if one.pending.is_some() && one.status != "pending" {
            status = status.raw(" ").html(&badge("pending"));
        }
        table.row(&[
            link(&object::address("Environment", None, &one.name), &one.name),
            code(&tier(&one.spec)),
            text(&approvals(&one.spec)),
            text(&reviews(&one.spec)),
            text(agent_tokens(&one.spec)),
            text(&promoted(&one.spec)),
            status,
            link(
                &address("/console/bindings", &[("environment", Some(one.name.as_str()))]),
                "what is bound in it",
            ),
        ])
    });
    let nothing = "There is no environment that your roles cover; write one and apply it: mcp-gateway apply.";
    let further = visit.further("/console/environments", &[], found.next.as_deref());
    Ok(Sheet::new("Environments", rows.finish("What your roles cover", nothing).html(&further)))
}

pub(crate) async fn one(visit: Visit, Path(name): Path<String>) -> Response {
    let made = environment(&visit, &name).await;
    visit.answer(made)
}

async fn environment(visit: &Visit, name: &str) -> Result<Sheet, Trouble> {
    let whole = object::read(visit, "environment", None, name).await?;
    let summary: Summary = visit.read("/v1/summary", &[("environment", Some(name))]).await?;
    let stores: Items<Store> = visit.every("/v1/stores", &[]).await?;
    let facts = object::standing(&whole)
        .fact("Tier", &code(&tier(&whole.spec)))
        .fact("What loosens needs", &text(&approvals(&whole.spec)))
        .fact("Reviews of bindings", &text(&reviews(&whole.spec)))
        .fact("Agents' tokens of the gateway", &text(agent_tokens(&whole.spec)))
        .fact("Promoted from", &text(&promoted(&whole.spec)))
        .finish();
    let here = stores.items.iter().filter(|store| store.environments.iter().any(|one| one == name));
    let start = Html::new().raw("<h2>Stores that serve it</h2>");
    let stores = start
        .html(&stores::table(visit, here).finish("As this replica has found them", "No store serves it."));
    let evidence = address("/console/audit", &[("environment", Some(name))]);
    let content = object::waits(&whole, "Environment")
        .html(&facts)
        .html(&counts(&summary, name))
        .html(&stores)
        .raw("<p>")
        .html(&link(&evidence, "All its evidence"))
        .raw("</p><p class=\"fine\">Its end is an act of the command line: <code>mcp-gateway environment revoke</code> ends \
              everything in it, and <code>--dry-run</code> says what that would be.</p>")
        .html(&object::history(&whole.history));
    Ok(Sheet::new(format!("Environment {name}"), content))
}

/// How many of what there is; what is registered for several environments counts in each.
fn counts(summary: &Summary, name: &str) -> Html {
    let columns = &["Kind", "Active", "Disabled", "Pending", "List"];
    let kinds = [
        ("Bindings", "bindings", summary.bindings),
        ("Servers", "servers", summary.servers),
        ("Agents", "agents", summary.agents),
        ("Workloads", "workloads", summary.workloads),
        ("Providers", "providers", summary.providers),
        ("Policies", "policies", summary.policies),
    ];
    let rows = kinds.iter().fold(Table::new(columns), |table, (kind, place, counts)| {
        let Counts { active, disabled, pending } = counts;
        let list = address(&format!("/console/{place}"), &[("environment", Some(name))]);
        table.row(&[
            text(kind),
            text(&active.to_string()),
            text(&disabled.to_string()),
            text(&pending.to_string()),
            link(&list, "all of them"),
        ])
    });
    let start = Html::new().raw("<h2>What is in it</h2>");
    start.html(&rows.finish(
        "Of what your roles cover; something that stands and has a change waiting counts as both",
        "",
    ))
}

fn tier(spec: &Value) -> String {
    spec.get("tier").map(words).unwrap_or_default()
}

/// How many have to sign; production never takes none.
fn approvals(spec: &Value) -> String {
    let declared = spec.get("approvals").and_then(Value::as_u64).unwrap_or_default();
    let least = u64::from(tier(spec) == "production");
    match declared.max(least) {
        0 => "no signature".to_owned(),
        1 => "one signature of somebody else".to_owned(),
        more => format!("{more} signatures of others"),
    }
}

/// When bindings are looked at again, and what follows where nobody does.
fn reviews(spec: &Value) -> String {
    let Some(rule) = spec.get("reviews").filter(|rule| rule.is_object()) else {
        return "only where a binding says so; nothing is switched off".to_owned();
    };
    let number = |field: &str| rule.get(field).and_then(Value::as_u64);
    let often = number("every_days")
        .map_or_else(|| "where a binding says so".to_owned(), |days| format!("every {days} days"));
    let remind =
        number("remind_days_before").map(|days| format!(", told {days} days before")).unwrap_or_default();
    let after = match rule.get("on_expiry").and_then(Value::as_str) {
        Some("disable") => "; switched off where nobody looks",
        _ => "; nothing is switched off",
    };
    format!("{often}{remind}{after}")
}

fn agent_tokens(spec: &Value) -> &'static str {
    let may = spec.get("agent_tokens").and_then(Value::as_bool);
    if may.unwrap_or(tier(spec) != "production") { "may enter" } else { "may not enter" }
}

fn promoted(spec: &Value) -> String {
    match spec.get("promotes_from").and_then(Value::as_str) {
        Some(from) => from.to_owned(),
        None if tier(spec) == "dev" => "nothing".to_owned(),
        None => "the tier below".to_owned(),
    }
}

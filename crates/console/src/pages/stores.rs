//! The health of the stores, as this replica finds them.

use axum::response::Response;
use gateway_login::page::Html;

use crate::frame::Sheet;
use crate::parts::{Table, Weight, act, badge, code, text, time};
use crate::shapes::Items;
use crate::told::{Store, StoreHealth};
use crate::trouble::Trouble;
use crate::visit::Visit;

pub(crate) async fn page(visit: Visit) -> Response {
    let made = list(&visit).await;
    visit.answer(made)
}

async fn list(visit: &Visit) -> Result<Sheet, Trouble> {
    let stores: Items<Store> = visit.every("/v1/stores", &[]).await?;
    let content = Html::new()
        .raw("<p>What this replica has seen since it began. Asking a store reads no secret.</p>")
        .html(&table(visit, &stores.items).finish(
            "Stores that serve an environment in which you have a role",
            "No store serves an environment in which you have a role.",
        ));
    Ok(Sheet::living("Stores", content))
}

/// Stores, with what each has been asked and how that went.
pub(crate) fn table<'a>(visit: &Visit, stores: impl IntoIterator<Item = &'a Store>) -> Table {
    let columns = &["Store", "Environments", "State", "Last refusal", "References", "Asked", "Ask it"];
    stores.into_iter().fold(Table::new(columns), |table, store| {
        let probe =
            act(visit, "probe-store", &[("name", &store.name)], &Html::new(), ("Ask now", Weight::Plain));
        let health = &store.health;
        let asked = format!(
            "{} times, {} failed; {} from memory",
            health.fetches, health.failures, health.served_from_memory
        );
        let kind = code(store.kind.as_deref().unwrap_or_default());
        table.row(&[
            text(&store.name).raw(" ").html(&kind).raw(" ").html(&badge(&store.class)),
            text(&store.environments.join(", ")),
            state(store),
            refusal(health),
            text(&store.references.to_string()),
            text(&asked),
            probe,
        ])
    })
}

fn state(store: &Store) -> Html {
    let health = &store.health;
    let word = match health.reachable {
        _ if health.resting => "left alone",
        Some(true) => "answers",
        Some(false) => "unreachable",
        None if store.per_caller => "asked by each caller",
        None => "not asked yet",
    };
    let mut html = badge(word);
    if let Some(at) = &health.answered_at {
        html = html.raw(" last answer ").html(&time(at));
    }
    if store.takes_values {
        html = html.raw(" takes values");
    }
    html
}

/// What it refused last, or how it failed.
pub(crate) fn refusal(health: &StoreHealth) -> Html {
    health
        .last_refusal
        .as_ref()
        .map(|last| code(&last.code).raw(" ").html(&time(&last.at)))
        .unwrap_or_default()
}

//! The card of one binding: what a reviewer has to know, and what can be done about it.

use axum::extract::Path;
use axum::response::Response;
use gateway_core::id::{BindingName, EnvironmentName};
use gateway_login::page::Html;

use crate::effects::effect;
use crate::frame::Sheet;
use crate::pages::approvals::{changes, missing, not_yours, signatures};
use crate::pages::object;
use crate::pages::stores::refusal;
use crate::parts::{Facts, SEEN, Table, Weight, act, badge, code, field, link, text, time, words};
use crate::shapes::{Card, Pending};
use crate::told::BindingHealth;
use crate::trouble::Trouble;
use crate::visit::Visit;

pub(crate) async fn page(visit: Visit, Path((environment, name)): Path<(String, String)>) -> Response {
    let made = card(&visit, &environment, &name).await;
    visit.answer(made)
}

async fn card(visit: &Visit, environment: &str, name: &str) -> Result<Sheet, Trouble> {
    // Parsed, so that they are what they seem to be in the API's address.
    let environment = EnvironmentName::parse(environment).map_err(|_| Trouble::NotThere)?;
    let name = BindingName::parse(name).map_err(|_| Trouble::NotThere)?;
    let card: Card = visit.read(&format!("/v1/bindings/{environment}/{name}"), &[]).await?;
    let of_late: BindingHealth =
        visit.read(&format!("/v1/bindings/{environment}/{name}/health"), &[]).await?;
    let whole = object::read(visit, "binding", Some(environment.as_str()), name.as_str()).await?;
    let mut content = locks(&card);
    if let Some(pending) = &card.pending {
        let path = format!("/v1/bindings/{environment}/{name}/effect");
        let effect = effect(visit, &path, pending.revision).await?;
        content = content.html(&waits(visit, &card, pending, &effect));
    }
    let evidence = format!("/console/audit?environment={environment}&binding={name}");
    let content = content
        .html(&what(&card))
        .html(&health(&of_late))
        .html(&versions(&card))
        .html(&acts(visit, &card))
        .raw("<p>")
        .html(&link(&evidence, "Every use and act in the evidence"))
        .raw("</p>")
        .html(&object::history(&whole.history));
    Ok(Sheet::new(format!("{environment}/{name}"), content))
}

fn what(card: &Card) -> Html {
    let list = |items: &[String], all: &'static str| {
        if items.is_empty() { Html::new().raw(all) } else { text(&items.join(", ")) }
    };
    let status = badge(&card.status).raw(" revision ").text(&card.revision.to_string());
    let tools = list(&card.tools, "every tool of the server");
    Facts::default()
        .fact("Status", &status)
        .fact("Who", &text(&card.who))
        .fact(
            "Server",
            &link(&object::address("Server", Some(&card.environment), &card.server), &card.server),
        )
        .fact("Goes to", &code(card.destination.as_deref().unwrap_or_default()))
        .fact("Tools", &tools)
        .fact("Further methods", &list(&card.methods, ""))
        .fact("Highest risk", &badge(&card.risk))
        .fact("Mode", &code(&card.mode))
        .fact("Reference", &code(card.reference.as_deref().unwrap_or_default()))
        .fact("Source", &text(&words(&card.source)))
        .fact("Store", &text(card.store.as_deref().unwrap_or_default()))
        .fact("Path owners", &list(&card.path_owners, ""))
        .fact("Injected", &text(card.how.as_deref().unwrap_or_default()))
        .fact("Policy", &policy(card))
        .fact("Owner", &text(&card.owner))
        .fact("Limits", &text(&words(&card.limits)))
        .fact("Review by", &text(card.review_by.as_deref().unwrap_or_default()))
        .fact("Next review", &review(card))
        .fact("Ends", &time(card.expires_at.as_deref().unwrap_or_default()))
        .fact("Exceptions", &text(&words(&card.exceptions)))
        .fact("Takes over from", &text(&card.shadows.join(", ")))
        .fact("Written", &text(&card.author).raw(", ").html(&time(&card.created_at)))
        .fact("Signed", &signatures(&card.approvals))
        .finish()
}

/// When somebody has to look again, and what follows if nobody does.
fn review(card: &Card) -> Html {
    let Some(review) = &card.review else { return Html::new() };
    let mut shown = time(&review.due_at);
    if let Some(stage) = review.stage.as_deref().filter(|stage| *stage != "current") {
        shown = shown.raw(" ").html(&badge(stage));
    }
    shown = shown.raw("; last looked at ").html(&time(&review.last_at));
    if !review.by.is_empty() {
        shown = shown.raw(", reviewed by ").text(&review.by.join(", "));
    }
    if !review.signed_by.is_empty() {
        shown = shown.raw("; the next review is signed by ").text(&review.signed_by.join(", "));
    }
    match (&review.disabled_at, &review.disables_at) {
        (Some(at), _) => shown.raw("; switched off because nobody had reviewed it, ").html(&time(at)),
        (None, Some(at)) => shown.raw("; switched off if nobody reviews it, ").html(&time(at)),
        (None, None) => shown,
    }
}

/// What stops calls under it now.
fn locks(card: &Card) -> Html {
    card.locks.iter().fold(Html::new(), |html, lock| {
        html.raw("<p class=\"notice bad\" role=\"status\">Locked: ")
            .text(&lock.stops)
            .raw(", until ")
            .html(&time(&lock.until))
            .raw(". ")
            .html(&link("/console/locks", "Locks"))
            .raw("</p>")
    })
}

/// The versions of its secret that are alive.
fn versions(card: &Card) -> Html {
    let Some(rotation) = &card.rotation else { return Html::new() };
    let mut due = time(rotation.next_due.as_deref().unwrap_or_default());
    if rotation.overdue == Some(true) {
        due = due.raw(" ").html(&badge("overdue"));
    }
    let mut version = text(rotation.version.as_deref().unwrap_or_default());
    if rotation.held {
        version = version.raw(" (the server refused a newer one)");
    }
    let facts = Facts::default()
        .fact("Active version", &version)
        .fact("Active since", &time(rotation.active_since.as_deref().unwrap_or_default()))
        .fact("Next rotation due", &due)
        .finish();
    let columns = &["Version", "State", "Since", "Reason"];
    let rows = rotation.versions.iter().rev().fold(Table::new(columns), |table, one| {
        let reason = code(one.reason.as_deref().unwrap_or_default());
        table.row(&[text(&one.version), badge(&one.state), time(&one.since), reason])
    });
    let start = Html::new().raw("<h2>Versions of the secret</h2>").html(&facts);
    start.html(&rows.finish("The newest first; never a value", "No version has been looked at yet."))
}

fn policy(card: &Card) -> Html {
    let policy = text(&card.policy.name);
    match (card.policy.revision, card.policy.current) {
        (Some(pinned), Some(current)) if pinned != current => policy
            .raw(", approved at revision ")
            .text(&pinned.to_string())
            .raw("; revision ")
            .text(&current.to_string())
            .raw(" must permit as well"),
        (Some(pinned), _) => policy.raw(", revision ").text(&pinned.to_string()),
        (None, _) => policy,
    }
}

fn waits(visit: &Visit, card: &Card, pending: &Pending, effect: &Html) -> Html {
    let revision = pending.revision.to_string();
    let hidden: [(&'static str, &str); 4] = [
        ("environment", &card.environment),
        ("name", &card.name),
        ("revision", &revision),
        (SEEN, &card.etag),
    ];
    let words = format!("Approve revision {revision}");
    let sign = match pending.yours {
        true => act(visit, "approve", &hidden, &Html::new(), (&words, Weight::Main)),
        false => not_yours(),
    };
    Html::new()
        .raw("<section class=\"notice wait\"><h2>Revision ")
        .text(&revision)
        .raw(" waits for signatures</h2><p>Written by ")
        .text(&pending.author)
        .raw(", ")
        .html(&time(&pending.created_at))
        .raw(". Missing: ")
        .text(&missing(&pending.missing))
        .raw(".</p>")
        .html(&Facts::default().fact("Signed so far", &signatures(&pending.approvals)).finish())
        .html(&changes(&pending.changes))
        .html(effect)
        .html(&sign)
        .raw("</section>")
}

fn acts(visit: &Visit, card: &Card) -> Html {
    let here: [(&'static str, &str); 3] =
        [("environment", &card.environment), ("name", &card.name), (SEEN, &card.etag)];
    let nothing = Html::new();
    let mut bar = Html::new().raw("<h2>Acts</h2><div class=\"acts\">");
    match card.status.as_str() {
        "active" => {
            if card.reference.is_some() {
                let to = field(
                    "reference",
                    "To the reference (empty: the newest value behind the present one)",
                    "",
                    "",
                );
                bar = bar.html(&act(visit, "rotate", &here, &to, ("Rotate", Weight::Plain)));
            }
            bar = bar.html(&act(visit, "disable", &here, &nothing, ("Disable", Weight::Plain)));
        }
        "disabled" => bar = bar.html(&act(visit, "enable", &here, &nothing, ("Enable", Weight::Plain))),
        _ => {}
    }
    if matches!(card.status.as_str(), "active" | "disabled") {
        let revision = card.revision.to_string();
        let about = [here.as_slice(), &[("revision", revision.as_str())]].concat();
        let until =
            field("until", "Holds until (empty: as long as the environment's rule allows)", "", "2027-12-31");
        let words = format!("Reviewed, revision {revision}");
        bar = bar.html(&act(visit, "review", &about, &until, (&words, Weight::Plain)));
    }
    if card.status == "revoked" {
        return Html::new()
            .raw("<p class=\"notice bad\">This binding was revoked. Its name stays refused.</p>");
    }
    let confirm = field("confirm", "Type the binding's name to revoke it for ever", "", "");
    bar.html(&act(visit, "revoke", &here, &confirm, ("Revoke", Weight::Final))).raw("</div>")
}

/// How it has been of late.
fn health(health: &BindingHealth) -> Html {
    let store = health.store.as_ref().map(|store| {
        let word = match store.health.reachable {
            _ if store.health.is_ill() => "unreachable",
            Some(_) => "answers",
            None => "not asked yet",
        };
        text(&store.name).raw(" ").html(&badge(word)).raw(" ").html(&refusal(&store.health))
    });
    let last = |at: &Option<String>| at.as_deref().map(time).unwrap_or_else(|| text("not in the evidence"));
    let refused = health.last_refusal.as_ref().map(|last| code(&last.code).raw(" ").html(&time(&last.at)));
    let facts = Facts::default()
        .fact("Its store", &store.unwrap_or_default())
        .fact("Last used", &last(&health.last_used))
        .fact("Last refusal", &refused.unwrap_or_else(|| text("none")))
        .fact("Last rotated by hand", &last(&health.last_rotated));
    Html::new().raw("<h2>Health</h2>").html(&facts.finish())
}

//! Time-limited emergency stops.

use axum::response::Response;
use gateway_login::page::Html;

use crate::frame::Sheet;
use crate::parts::{Table, Weight, act, badge, field, text, time};
use crate::shapes::{Items, Lock};
use crate::trouble::Trouble;
use crate::visit::Visit;

pub(crate) async fn page(visit: Visit) -> Response {
    let made = list(&visit).await;
    visit.answer(made)
}

async fn list(visit: &Visit) -> Result<Sheet, Trouble> {
    let locks: Items<Lock> = visit.read("/v1/locks", &[("ended", Some("true"))]).await?;
    let columns = &["Stops", "Why", "Made by", "Until", "Status", "Lift it"];
    let rows = locks.items.iter().rev().fold(Table::new(columns), |table, lock| {
        let (status, lift) = if lock.stands {
            let lift = act(visit, "lift-lock", &[("id", &lock.id)], &Html::new(), ("Lift", Weight::Plain));
            (badge("active"), lift)
        } else {
            (badge("ended"), Html::new())
        };
        table.row(&[
            text(&lock.stops),
            text(&lock.reason),
            text(&lock.author),
            time(&lock.until),
            status,
            lift,
        ])
    });
    let caption = "Locks that stand, and those that ended within 30 days, the newest first";
    let content = Html::new()
        .raw("<p>A lock stops every call that it matches, on every replica, and ends what runs, before it is answered.</p>")
        .html(&rows.finish(caption, "Nothing is locked."));
    let still = Html::new().raw("<h2>Lock something</h2>").html(&form(visit));
    Ok(Sheet::living("Locks", content).with(still))
}

/// All that is filled in must hold for a call to be stopped. Shows what was filled in already.
pub(crate) fn form(visit: &Visit) -> Html {
    let said = |name: &str| visit.query.text(name).unwrap_or_default();
    let fields = Html::new()
        .raw("<div class=\"bar\">")
        .html(&field("environment", "Environment", said("environment"), ""))
        .html(&field("server", "Server", said("server"), ""))
        .html(&field("tool", "Tool", said("tool"), "delete_*"))
        .html(&field("binding", "Binding", said("binding"), ""))
        .html(&field("agent", "Agent", said("agent"), ""))
        .html(&field("user", "User", said("user"), "issuer|subject"))
        .raw("</div><div class=\"bar\">")
        .html(&field("minutes", "For how many minutes", visit.query.text("minutes").unwrap_or("60"), ""))
        .html(&field("reason", "Why (for operators)", said("reason"), ""))
        .raw("</div>");
    Html::new()
        .raw("<div class=\"acts\">")
        .html(&act(visit, "lock", &[], &fields, ("Lock", Weight::Final)))
        .raw("</div>")
}

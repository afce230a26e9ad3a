//! What a pending revision would do to the calls of late.

use gateway_login::page::Html;

use crate::parts::{Table, text, time};
use crate::shapes::Effect;
use crate::trouble::Trouble;
use crate::visit::Visit;

/// What the API tells about it, for those who may know. `path` names the object, `revision` what waits.
pub(crate) async fn effect(visit: &Visit, path: &str, revision: u64) -> Result<Html, Trouble> {
    let revision = revision.to_string();
    match visit.read::<Effect>(path, &[("revision", Some(&revision))]).await {
        Ok(effect) => Ok(effects(&effect)),
        Err(trouble @ Trouble::Problem(..)) => {
            Ok(Html::new().raw("<h3>Effect on the calls of late</h3>").html(&trouble.content()))
        }
        // It waits no more: somebody was faster.
        Err(Trouble::NotThere) => Ok(Html::new()),
        Err(Trouble::Senseless) => Err(Trouble::Senseless),
    }
}

fn effects(effect: &Effect) -> Html {
    if effect.calls == 0 {
        return Html::new().raw(
            "<h3>Effect on the calls of late</h3><p class=\"nothing\">0 calls looked at: none is in the evidence, so \
             nothing can be told of what it would do to them.</p>",
        );
    }
    let columns = &["These calls", "Who", "What", "Calls", "Last", "Before", "After"];
    let lists = [
        (&effect.gains, "let through from now on"),
        (&effect.losses, "refused from now on"),
        (&effect.moves, "under another credential"),
    ];
    let lines = lists.iter().flat_map(|(list, becomes)| list.iter().map(move |one| (one, *becomes)));
    let rows = lines.fold(Table::new(columns), |table, (one, becomes)| {
        let who = [&one.user, &one.agent, &one.workload].into_iter().flatten();
        let what = one.tool.as_ref().unwrap_or(&one.method);
        table.row(&[
            text(becomes),
            text(&who.map(String::as_str).collect::<Vec<_>>().join(", ")),
            text(&format!("{}/{what}", one.server)),
            text(&one.calls.to_string()),
            time(&one.last),
            text(one.before.as_deref().unwrap_or_default()),
            text(one.after.as_deref().unwrap_or_default()),
        ])
    });
    Html::new()
        .raw("<h3>Effect on the calls of late</h3><p class=\"fine\">")
        .text(&effect.calls.to_string())
        .raw(" calls looked at; ")
        .text(&effect.unchanged.to_string())
        .raw(" decided as before; of ")
        .text(&effect.untold.to_string())
        .raw(" nothing can be told.</p>")
        .html(&rows.finish("What would be decided otherwise", "No call of late would be decided otherwise."))
}

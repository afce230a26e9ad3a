//! The acts, one file each, in the order in which they are played.

mod audit;
mod card;
mod loose;
mod production;
mod refused;
mod revoke;
mod rotate;
mod served;
mod sweep;

use std::time::Duration;

use super::failure::Failure;
use super::stage::Stage;
use super::story::Story;

/// How long an act may take.
const LONGEST_ACT: Duration = Duration::from_secs(300);

macro_rules! acts {
    ($stage:ident, $story:ident: $($module:ident $name:literal $title:literal;)+) => {
        $({
            let mut act = $story.act($name, $title);
            let outcome = bounded(Box::pin($module::play($stage, &mut act))).await;
            act.end(outcome);
        })+
    };
}

/// Plays them all. An act that breaks off does not stop the ones after it: each has its own verdict.
pub(super) async fn play(stage: &mut Stage, story: &mut Story) {
    acts! { stage, story:
        loose "loose_key" "A loose key, found and moved behind a reference";
        card "binding_card" "The binding card: who gets what, where and why";
        served "allowed_call" "Allowed calls, in both generations of the protocol";
        refused "unbound_agent" "An agent without a binding, and a tool without a permission";
        production "production" "Production: four eyes, and no way in from development";
        rotate "rotation" "Rotation under continuous traffic";
        revoke "revocation" "Revocation, complete when it answers";
        audit "audit" "The evidence: searched, verified, and a forgery found";
        sweep "canary_sweep" "The sweep: where did the keys get to?";
    }
}

async fn bounded(act: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    tokio::time::timeout(LONGEST_ACT, act).await.unwrap_or_else(|_| {
        Err(Failure::new(format!("it took longer than {} seconds", LONGEST_ACT.as_secs())))
    })
}

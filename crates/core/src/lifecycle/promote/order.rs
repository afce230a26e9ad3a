//! Which environment may be promoted to which.

use super::PromotionWish;
use crate::id::EnvironmentName;
use crate::lifecycle::rule::{self, Finding};
use crate::manifest::{EnvironmentSpec, Kind, ObjectKey, Spec, Tier};
use crate::state::State;

/// Refuses a way that the order of environments does not have: what the target's `promotes_from` names or, without it,
/// one tier up.
pub(super) fn refuse(state: &State, wish: &PromotionWish<'_>) -> Option<Finding> {
    let (from, to) = (wish.from, wish.to);
    let key = key(to);
    let refuse = |message: String| Some(Finding::of(&rule::PROMOTION_ORDER, &key, message));
    if from == to {
        return refuse("an environment is not promoted to itself".to_owned());
    }
    let Some(target) = standing(state, to) else {
        return Some(Finding::of(
            &rule::ENVIRONMENT_UNKNOWN,
            &key,
            format!("environment `{to}` does not stand here"),
        ));
    };
    match &target.promotes_from {
        Some(before) if before == from => return None,
        Some(before) => return refuse(format!("`{to}` is promoted from `{before}`, not from `{from}`")),
        None => {}
    }
    let told = wish.source.iter().find_map(|spec| match spec {
        Spec::Environment(spec) if spec.name == *from => Some(spec.tier),
        _ => None,
    });
    let tier = standing(state, from).map(|spec| spec.tier).or(told);
    match (tier, target.tier) {
        (Some(Tier::Dev), Tier::Staging) | (Some(Tier::Staging), Tier::Production) => None,
        (None, _) => {
            refuse(format!("the tier of `{from}` is not known here: name it under `promotes_from` of `{to}`"))
        }
        (Some(before), after) => {
            let words = [before, after].map(word);
            let [before, after] = words;
            refuse(format!(
                "`{from}` is {before} and `{to}` is {after}: that is not one step up, and `{to}` does not say `promotes_from: {from}`"
            ))
        }
    }
}

const fn word(tier: Tier) -> &'static str {
    match tier {
        Tier::Dev => "dev",
        Tier::Staging => "staging",
        Tier::Production => "production",
    }
}

fn key(name: &EnvironmentName) -> ObjectKey {
    ObjectKey { kind: Kind::Environment, environment: None, name: name.to_string() }
}

fn standing<'a>(state: &'a State, name: &EnvironmentName) -> Option<&'a EnvironmentSpec> {
    match state.standing(&key(name)).map(|record| &record.spec) {
        Some(Spec::Environment(spec)) => Some(spec),
        _ => None,
    }
}

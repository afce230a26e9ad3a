//! When people look at a binding again, and what happens if nobody does.
//!
//! A review is what a signature is: somebody has looked at the binding as it stands. Its end is the earlier of the
//! binding's own date and of the environment's rule, counted from the last time that anybody looked.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::id::{BindingName, EnvironmentName, OperatorName, Revision};
use crate::manifest::{BindingSpec, Kind, ObjectKey, ReviewRule, Spec};
use crate::state::{Lifecycle, RevisionRecord, State};
use crate::time::Timestamp;

/// How long after people were told that a review is late a binding is switched off, where its environment says so.
/// Counted from the telling, which is written down: nobody is switched off who was not told the day before.
pub const GRACE: Duration = Duration::from_secs(86_400);
/// How long a signature of a review counts that needs more than one.
pub const SIGNATURE_HOLDS: Duration = Duration::from_secs(7 * 86_400);
/// How far a clock may stray from the time that has passed before it counts as set.
const STRAYS: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(86_400);

/// Where a review stands.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReviewStage {
    /// Nobody has to look yet.
    Current,
    /// The end is near.
    Due,
    /// The end has passed.
    Overdue,
}

impl ReviewStage {
    /// The word in the API, the state and evidence.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Current => "current",
            Self::Due => "due",
            Self::Overdue => "overdue",
        }
    }
}

impl fmt::Display for ReviewStage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// What the state knows of the reviews of one binding.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReviewRecord {
    /// The binding's environment.
    pub environment: EnvironmentName,
    /// The binding.
    pub binding: BindingName,
    /// The last one that was complete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<Reviewed>,
    /// Signatures of one that is not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub signatures: Vec<ReviewSignature>,
    /// What people were told last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub told: Option<ReviewTold>,
    /// When the binding was last switched off because its review was late.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disabled_at: Option<Timestamp>,
}

/// A review that is complete.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reviewed {
    /// When the last signature came.
    pub at: Timestamp,
    /// The revision that was looked at.
    pub revision: Revision,
    /// Who signed.
    pub by: Vec<OperatorName>,
    /// Until which day it holds, where that was said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// The binding's own `review_by` at that time, in whose place `until` stands as long as the binding says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answers: Option<String>,
}

/// One signature of a review that needs more.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReviewSignature {
    /// Who.
    pub by: OperatorName,
    /// When.
    pub at: Timestamp,
    /// The revision that was looked at.
    pub revision: Revision,
    /// Until which day it is to hold, where that was said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
}

/// What people were told, so that it is told once.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReviewTold {
    /// Of which end.
    pub end: Timestamp,
    /// That it was near, or had passed.
    pub stage: ReviewStage,
    /// When.
    pub at: Timestamp,
    /// Whether the binding was to be switched off for it.
    pub disables: bool,
}

impl ReviewRecord {
    /// Nothing is known yet.
    pub const fn new(environment: EnvironmentName, binding: BindingName) -> Self {
        Self { environment, binding, last: None, signatures: Vec::new(), told: None, disabled_at: None }
    }
}

/// The next review of one binding that decides, or would if it were not switched off.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Appointment {
    /// The binding's environment.
    pub environment: EnvironmentName,
    /// The binding.
    pub binding: BindingName,
    /// The revision that stands.
    pub revision: Revision,
    /// Whether it decides.
    pub active: bool,
    /// The last time that anybody looked.
    pub last: Timestamp,
    /// When the review is late.
    pub end: Timestamp,
    /// The environment's rule.
    pub rule: ReviewRule,
    /// What people were told last.
    pub told: Option<ReviewTold>,
}

/// What is to be done about an appointment.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Wanted {
    /// What people are to be told.
    pub tell: Option<ReviewStage>,
    /// Whether the binding is to be switched off.
    pub disable: bool,
}

impl Wanted {
    /// Whether there is anything.
    pub const fn is_something(self) -> bool {
        self.tell.is_some() || self.disable
    }
}

impl Appointment {
    /// The binding's key.
    pub fn key(&self) -> ObjectKey {
        let (environment, name) = (Some(self.environment.clone()), self.binding.to_string());
        ObjectKey { kind: Kind::Binding, environment, name }
    }

    /// Where the review stands.
    pub fn stage(&self, now: Timestamp) -> ReviewStage {
        if self.end <= now {
            ReviewStage::Overdue
        } else if self.end <= now.plus(self.rule.lead()) {
            ReviewStage::Due
        } else {
            ReviewStage::Current
        }
    }

    /// What people have been told of this end. A word from a time that has not come yet was said by a clock that was
    /// wrong, and counts for nothing; nor does one that did not say that the binding would be switched off.
    fn known(&self, now: Timestamp) -> Option<ReviewTold> {
        let holds = |told: &ReviewTold| {
            told.end == self.end && told.at <= now && (told.disables || !self.rule.disables())
        };
        self.told.filter(holds)
    }

    /// When it is switched off, as far as that can be said now.
    pub fn disabled_from(&self, now: Timestamp) -> Option<Timestamp> {
        if !self.rule.disables() || !self.active {
            return None;
        }
        let overdue = self.known(now).filter(|told| told.stage == ReviewStage::Overdue);
        Some(overdue.map_or(self.end.max(now), |told| told.at).plus(GRACE))
    }

    /// What is to be done now. Nothing is switched off by a clock that is not `steady`.
    pub fn wanted(&self, now: Timestamp, steady: bool) -> Wanted {
        let stage = self.stage(now);
        let known = self.known(now);
        let tell =
            (self.active && known.map_or(ReviewStage::Current, |told| told.stage) < stage).then_some(stage);
        let told = known.filter(|told| told.stage == ReviewStage::Overdue);
        let late = told.is_some_and(|told| told.at.plus(GRACE) <= now);
        let disable = self.active && self.rule.disables() && stage == ReviewStage::Overdue && late && steady;
        Wanted { tell, disable }
    }
}

/// The next review of every binding that has one, in the order of the state.
pub fn calendar(state: &State) -> Vec<Appointment> {
    let rules: HashMap<&EnvironmentName, ReviewRule> = state
        .all_active(Kind::Environment)
        .filter_map(|record| match &record.spec {
            Spec::Environment(spec) => Some((&spec.name, spec.reviews.unwrap_or_default())),
            _ => None,
        })
        .collect();
    let objects = state.of_kind(Kind::Binding).chunk_by(|one, other| one.key == other.key);
    objects
        .filter_map(|history| {
            let key = history.first().map(|record| &record.key)?;
            let rule = key.environment.as_ref().and_then(|name| rules.get(name)).copied().unwrap_or_default();
            let known = key.environment.as_ref().and_then(|name| state.review_of(name, &key.name));
            appoint(history.iter(), known, rule)
        })
        .collect()
}

/// The next review of one binding; absent where none is due ever.
pub fn appointment(state: &State, key: &ObjectKey) -> Option<Appointment> {
    let environment = key.environment.as_ref()?;
    let known = state.review_of(environment, &key.name);
    appoint(state.history(key), known, rule_of(state, environment))
}

/// The rule in force in an environment.
pub fn rule_of(state: &State, environment: &EnvironmentName) -> ReviewRule {
    let key = ObjectKey { kind: Kind::Environment, environment: None, name: environment.to_string() };
    match state.active(&key).map(|record| &record.spec) {
        Some(Spec::Environment(spec)) => spec.reviews.unwrap_or_default(),
        _ => ReviewRule::default(),
    }
}

fn appoint<'a>(
    history: impl Iterator<Item = &'a RevisionRecord>,
    known: Option<&ReviewRecord>,
    rule: ReviewRule,
) -> Option<Appointment> {
    let (mut born, mut signed, mut standing) = (None, None, None);
    for record in history {
        born = born.or(Some(record.created_at));
        // A signature under what never came to decide was about something else.
        if !matches!(record.status, Lifecycle::Draft | Lifecycle::Pending | Lifecycle::Withdrawn) {
            signed = signed.max(record.approvals.iter().map(|approval| approval.at).max());
        }
        if matches!(record.status, Lifecycle::Active | Lifecycle::Disabled) {
            standing = Some(record);
        }
    }
    let record = standing?;
    let Spec::Binding(spec) = &record.spec else { return None };
    let reviewed = known.and_then(|known| known.last.as_ref());
    let last = [born, signed, reviewed.map(|review| review.at)].into_iter().flatten().max()?;
    let by_rule = rule.every().map(|every| last.plus(every));
    let end = [by_rule, own_end(spec, known)].into_iter().flatten().min()?;
    Some(Appointment {
        environment: spec.environment.clone(),
        binding: spec.name.clone(),
        revision: record.revision,
        active: record.status == Lifecycle::Active,
        last,
        end,
        rule,
        told: known.and_then(|known| known.told),
    })
}

/// The end that was said of this very binding: by its manifest, or by the review that answered it.
fn own_end(spec: &BindingSpec, known: Option<&ReviewRecord>) -> Option<Timestamp> {
    let day = match known.and_then(|known| known.last.as_ref()) {
        Some(review) if review.answers == spec.review_by => review.until.as_deref(),
        _ => spec.review_by.as_deref(),
    };
    day.and_then(end_of_day)
}

/// When the day is over, by UTC; absent where the text is no day.
pub fn end_of_day(day: &str) -> Option<Timestamp> {
    let plain = day.len() == 10;
    let start = Timestamp::parse(&format!("{day}T00:00:00Z")).ok().filter(|_| plain)?;
    Some(start.plus(DAY))
}

/// Whether a clock goes as time does: judged by a second one that nobody can set.
#[derive(Clone, Copy, Debug, Default)]
pub struct Steadiness {
    /// The last look: the clock, and how long the process had run.
    last: Option<(Timestamp, Duration)>,
    /// How long it had run when the clock last began to go well.
    since: Duration,
}

impl Steadiness {
    /// Looks at both; says for how long they have gone alike.
    pub fn look(&mut self, now: Timestamp, running: Duration) -> Duration {
        if let Some((clock, ran)) = self.last.replace((now, running)) {
            let (forward, back) = (now.since(clock), clock.since(now));
            let passed = running.saturating_sub(ran);
            if !back.is_zero() || forward.abs_diff(passed) > STRAYS {
                self.since = running;
            }
        } else {
            self.since = running;
        }
        running.saturating_sub(self.since)
    }
}

#[cfg(test)]
mod tests;

//! Reviews of bindings: signed by people, and what the gateway does where nobody signs.

use super::Context;
use super::apply::forbidden;
use super::draft::Draft;
use super::reach::Reach;
use super::rule::{self, Finding};
use super::signatures::{approvals_for, may_touch};
use crate::audit::{Event, EventKind};
use crate::id::{EnvironmentName, OperatorName, Revision};
use crate::manifest::{Kind, ObjectKey, Spec};
use crate::operator::Role;
use crate::review::{
    Appointment, ReviewRecord, ReviewSignature, ReviewStage, ReviewTold, Reviewed, SIGNATURE_HOLDS,
    appointment, calendar, end_of_day, rule_of,
};
use crate::state::{Change, Lifecycle, Operation, RevisionRecord, State};
use crate::time::Timestamp;

/// How many bindings are told of, or switched off, in one change.
const AT_A_TIME: usize = 200;

/// What somebody has looked at.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReviewWish {
    /// The revision that was read.
    pub revision: Revision,
    /// Until which day the review holds, as `YYYY-MM-DD`; absent where the environment's rule is enough.
    pub until: Option<String>,
}

/// A signature of a review, decided.
#[derive(Clone, Debug)]
pub struct ReviewGiven {
    /// What to commit.
    pub change: Change,
    /// The revision that was looked at.
    pub revision: Revision,
    /// How many signatures are missing.
    pub missing: u8,
    /// When the next review is late; absent where none ever is.
    pub end: Option<Timestamp>,
}

/// Signs the review of a binding that stands; with the last signature the next review is counted from now. An
/// approver's act where the environment asks for approvals, and by as many of them as a change would need; an
/// editor's otherwise.
///
/// # Errors
/// `object.unknown`, `object.kind`, `operator.forbidden`, `review.own_work`, `review.already`, `review.revision`,
/// `review.until`.
pub fn review(
    context: &Context<'_>,
    key: &ObjectKey,
    wish: &ReviewWish,
) -> Result<ReviewGiven, Vec<Finding>> {
    let refuse = |rule, message: &str| Err(vec![Finding::of(rule, key, message)]);
    if key.kind != Kind::Binding {
        return refuse(&rule::OBJECT_KIND, "only bindings are reviewed");
    }
    let (Some(record), Some(environment)) = (context.state.standing(key), key.environment.as_ref()) else {
        return refuse(&rule::OBJECT_UNKNOWN, "nothing of this name stands");
    };
    let approvals = approvals_for(context.state, &record.spec);
    let role = if approvals > 0 { Role::Approver } else { Role::Editor };
    if !may_touch(context.operator, role, &record.spec) {
        return Err(vec![forbidden(key)]);
    }
    if approvals > 0 && record.author == context.operator.name {
        return refuse(&rule::REVIEW_OWN_WORK, "you wrote this revision");
    }
    if wish.revision != record.revision {
        let message = format!("revision {} stands, not {}", record.revision, wish.revision);
        return refuse(&rule::REVIEW_REVISION, &message);
    }
    refuse_end(context, key, environment, wish)?;
    let known = context.state.review_of(environment, &key.name).cloned();
    let mut known = match (known, &record.spec) {
        (Some(known), _) => known,
        (None, Spec::Binding(spec)) => ReviewRecord::new(spec.environment.clone(), spec.name.clone()),
        (None, _) => return refuse(&rule::OBJECT_KIND, "only bindings are reviewed"),
    };
    known.signatures.retain(|signature| counts(signature, wish, context.now));
    if known.signatures.iter().any(|signature| signature.by == context.operator.name) {
        return refuse(&rule::REVIEW_ALREADY, "you have signed this review already");
    }
    known.signatures.push(ReviewSignature {
        by: context.operator.name.clone(),
        at: context.now,
        revision: wish.revision,
        until: wish.until.clone(),
    });
    sign(context, record, known, approvals.max(1))
}

/// Whether the signature is about the same, and young enough to count beside another one.
fn counts(signature: &ReviewSignature, wish: &ReviewWish, now: Timestamp) -> bool {
    let same = signature.revision == wish.revision && signature.until == wish.until;
    same && signature.at <= now && now.since(signature.at) <= SIGNATURE_HOLDS
}

/// The day must be one, to come, and within the rule; without a rule there must be one.
fn refuse_end(
    context: &Context<'_>,
    key: &ObjectKey,
    environment: &EnvironmentName,
    wish: &ReviewWish,
) -> Result<(), Vec<Finding>> {
    let refuse = |message: &str| Err(vec![Finding::of(&rule::REVIEW_UNTIL, key, message)]);
    let every = rule_of(context.state, environment).every();
    let Some(day) = &wish.until else {
        return match every {
            Some(_) => Ok(()),
            None => refuse("the environment has no `reviews.every_days`: say until when the review holds"),
        };
    };
    let Some(end) = end_of_day(day) else { return refuse("`until` is a day such as `2027-03-01`") };
    if end <= context.now {
        return refuse("`until` is past");
    }
    // The last day counts whole: what is due within it may be said to be due at its end.
    let last = every.map(|every| context.now.plus(every));
    if last.is_some_and(|last| end.since(last) >= std::time::Duration::from_secs(86_400)) {
        return refuse("`until` is later than the environment's `reviews.every_days` allows");
    }
    Ok(())
}

fn sign(
    context: &Context<'_>,
    record: &RevisionRecord,
    mut known: ReviewRecord,
    needed: u8,
) -> Result<ReviewGiven, Vec<Finding>> {
    let given = u8::try_from(known.signatures.len()).unwrap_or(u8::MAX);
    let missing = needed.saturating_sub(given);
    let complete = missing == 0;
    if complete {
        let Spec::Binding(spec) = &record.spec else { return Err(vec![forbidden(&record.key)]) };
        let signatures = std::mem::take(&mut known.signatures);
        let until = signatures.first().and_then(|signature| signature.until.clone());
        let by: Vec<OperatorName> = signatures.into_iter().map(|signature| signature.by).collect();
        let answers = spec.review_by.clone();
        known.last = Some(Reviewed { at: context.now, revision: record.revision, by, until, answers });
    }
    let mut draft = Draft::new(context.state, Some(&context.operator.name), context.now);
    draft.step(Operation::PutReview(Box::new(known)))?;
    let end = appointment(&draft.state, &record.key).map(|next| next.end);
    let kind = if complete { EventKind::BindingReviewed } else { EventKind::ReviewSigned };
    let mut event = draft.event(kind, record);
    event.answer = end.filter(|_| complete).map(|end| end.to_string());
    draft.note(event);
    Ok(ReviewGiven { change: draft.finish(), revision: record.revision, missing, end })
}

/// Refuses to switch on what would have to be switched off for want of a review.
pub(super) fn refuse_overdue(context: &Context<'_>, key: &ObjectKey) -> Result<(), Vec<Finding>> {
    let late = appointment(context.state, key)
        .filter(|next| next.rule.disables() && next.stage(context.now) == ReviewStage::Overdue);
    match late {
        Some(next) => {
            let message = format!("its review is late since {}", next.end);
            Err(vec![Finding::of(&rule::REVIEW_OVERDUE, key, message)])
        }
        None => Ok(()),
    }
}

/// What the gateway does by itself at one time.
#[derive(Clone, Debug)]
pub struct ReviewRound {
    /// What to commit.
    pub change: Change,
    /// What is switched off.
    pub off: Vec<SwitchedOff>,
    /// What is to be ended once it is committed.
    pub reach: Reach,
}

/// A binding that is switched off because nobody reviewed it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SwitchedOff {
    /// The binding.
    pub key: ObjectKey,
    /// The revision that decided.
    pub revision: Revision,
}

/// Tells people of reviews that are near or late, each once, and switches off what its environment says; some of them
/// where they are many. Absent where nothing is to be done. `steady` says that the clock has gone well for a while:
/// without it nothing is switched off. `served` says which environments are looked after here.
///
/// # Errors
/// `state.step`.
pub fn review_round(
    state: &State,
    served: impl Fn(&EnvironmentName) -> bool,
    steady: bool,
    now: Timestamp,
) -> Result<Option<ReviewRound>, Vec<Finding>> {
    let mut draft = Draft::new(state, None, now);
    let (mut off, mut reach) = (Vec::new(), Reach::default());
    let wanted = |next: &Appointment| next.wanted(now, steady).is_something() && served(&next.environment);
    for next in calendar(state).into_iter().filter(wanted).take(AT_A_TIME) {
        let (key, wanted) = (next.key(), next.wanted(now, steady));
        let Some(record) = state.active(&key) else { continue };
        let known = state.review_of(&next.environment, next.binding.as_str()).cloned();
        let mut known =
            known.unwrap_or_else(|| ReviewRecord::new(next.environment.clone(), next.binding.clone()));
        if let Some(stage) = wanted.tell {
            known.told = Some(ReviewTold { end: next.end, stage, at: now, disables: next.rule.disables() });
            let event = reminder(&draft, record, stage, &next);
            draft.note(event);
        }
        if wanted.disable {
            known.disabled_at = Some(now);
            draft.status(&key, record.revision, Lifecycle::Disabled, None)?;
            let mut event = draft.event(EventKind::ObjectStatus, record);
            event.status = Some(Lifecycle::Disabled.word().to_owned());
            event.reason = Some(rule::REVIEW_OVERDUE.code.to_owned());
            draft.note(event);
            reach.bindings.extend(Reach::of(record).bindings);
            off.push(SwitchedOff { key, revision: record.revision });
        }
        draft.step(Operation::PutReview(Box::new(known)))?;
    }
    Ok((!draft.is_empty()).then(|| ReviewRound { change: draft.finish(), off, reach }))
}

fn reminder(draft: &Draft, record: &RevisionRecord, stage: ReviewStage, next: &Appointment) -> Event {
    let late = stage == ReviewStage::Overdue;
    let mut event = draft.event(if late { EventKind::ReviewOverdue } else { EventKind::ReviewDue }, record);
    event.answer = Some(next.end.to_string());
    event.reason = late.then(|| rule::REVIEW_OVERDUE.code.to_owned());
    event
}

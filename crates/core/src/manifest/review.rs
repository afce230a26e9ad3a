//! How often people look at the bindings of an environment again.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::OnOverdue;

const DAY: u64 = 86_400;
/// Ten years: what is longer is a slip.
const LONGEST_DAYS: u16 = 3_660;
/// How long before the end people are reminded, where the environment says nothing.
const LEAD_DAYS: u16 = 14;

/// An environment's rule for reviews of its bindings. An environment without one reminds of what bindings themselves
/// say under `review_by`, two weeks before, and switches nothing off.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReviewRule {
    /// How many days after a review the next one is due at the latest; absent means that only the bindings' own
    /// dates count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every_days: Option<u16>,
    /// How many days before the end people are reminded.
    #[serde(default = "lead_days")]
    pub remind_days_before: u16,
    /// What happens at the end.
    #[serde(default, skip_serializing_if = "is_reminder")]
    pub on_expiry: OnOverdue,
}

impl Default for ReviewRule {
    fn default() -> Self {
        Self { every_days: None, remind_days_before: LEAD_DAYS, on_expiry: OnOverdue::Remind }
    }
}

impl ReviewRule {
    /// How long a review lasts at the most.
    pub fn every(&self) -> Option<Duration> {
        self.every_days.map(days)
    }

    /// How long before the end people are reminded.
    pub fn lead(&self) -> Duration {
        days(self.remind_days_before)
    }

    /// Whether a binding is switched off at the end.
    pub fn disables(&self) -> bool {
        self.on_expiry == OnOverdue::Disable
    }

    /// What is wrong with it, in words.
    pub fn trouble(&self) -> Option<&'static str> {
        match self.every_days {
            Some(0) => Some("`every_days` of 0 would make every review late at once"),
            Some(every) if every > LONGEST_DAYS => Some("`every_days` is longer than ten years"),
            Some(every) if self.remind_days_before >= every => Some(
                "`remind_days_before` leaves no time without a reminder: it is not less than `every_days`",
            ),
            _ if self.remind_days_before > LONGEST_DAYS => {
                Some("`remind_days_before` is longer than ten years")
            }
            _ => None,
        }
    }

    /// Whether it asks for as much as the other one, or more: as often, and with what follows.
    pub fn is_as_strict_as(&self, other: &Self) -> bool {
        let as_often = match (self.every_days, other.every_days) {
            (_, None) => true,
            (None, Some(_)) => false,
            (Some(mine), Some(others)) => mine <= others,
        };
        as_often && (self.disables() || !other.disables())
    }
}

const fn lead_days() -> u16 {
    LEAD_DAYS
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands out references")]
fn is_reminder(action: &OnOverdue) -> bool {
    *action == OnOverdue::Remind
}

fn days(count: u16) -> Duration {
    Duration::from_secs(u64::from(count).saturating_mul(DAY))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn rule(json: serde_json::Value) -> ReviewRule {
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn a_rule_is_judged() {
        for sound in [json!({}), json!({"every_days": 90}), json!({"every_days": 1, "remind_days_before": 0})]
        {
            assert_eq!(rule(sound.clone()).trouble(), None, "{sound}");
        }
        for wrong in [
            json!({"every_days": 0}),
            json!({"every_days": 14}),
            json!({"every_days": 4_000}),
            json!({"remind_days_before": 4_000}),
        ] {
            assert!(rule(wrong.clone()).trouble().is_some(), "{wrong}");
        }
        assert!(serde_json::from_value::<ReviewRule>(json!({"every": "90d"})).is_err());
    }

    #[test]
    fn only_an_equal_or_stricter_rule_is_as_strict() {
        let quarterly = rule(json!({"every_days": 90}));
        let disabling = rule(json!({"every_days": 90, "on_expiry": "disable"}));
        assert!(disabling.is_as_strict_as(&quarterly) && !quarterly.is_as_strict_as(&disabling));
        assert!(quarterly.is_as_strict_as(&ReviewRule::default()));
        assert!(!ReviewRule::default().is_as_strict_as(&quarterly));
        assert!(!rule(json!({"every_days": 91})).is_as_strict_as(&quarterly));
    }
}

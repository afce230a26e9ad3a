//! When a key goes from one state to the next.

use std::time::Duration;

use gateway_core::time::Timestamp;

use super::record::{self, KeyRecord, KeyState};
use super::{Algorithm, Purpose, SigningConfig, SigningError, key};
use crate::store::private_file;

/// How long a key is published before it signs: much longer than verifiers keep a key set (300 s), and
/// than replicas take to read the file anew.
pub const LEAD: Duration = Duration::from_secs(3_600);
/// How much longer than its last token a key stays published: for clocks that are slow, and for replicas
/// that read the file late.
const DRAIN: Duration = Duration::from_secs(660);
/// How long the file remembers a retired key's id.
const MEMORY: Duration = Duration::from_secs(90 * 86_400);

/// One thing to do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Step {
    /// Make a key.
    Make(Purpose, Algorithm, KeyState),
    /// Move the key on.
    Turn(String, KeyState),
    /// Forget the key.
    Forget(String),
}

/// What is due.
pub(super) fn steps(records: &[KeyRecord], now: Timestamp, rotate_after: Duration) -> Vec<Step> {
    let mut steps = Vec::new();
    for purpose in Purpose::ALL {
        for algorithm in Algorithm::ALL {
            let of = |state| {
                records.iter().find(|record| {
                    record.purpose == purpose && record.algorithm == algorithm && record.state == state
                })
            };
            let follow = Step::Make(purpose, algorithm, KeyState::Prepare);
            match (of(KeyState::Active), of(KeyState::Prepare)) {
                // The very first: no verifier has a key set yet.
                (None, None) => steps.extend([Step::Make(purpose, algorithm, KeyState::Active), follow]),
                (None, Some(next)) => steps.extend([Step::Turn(next.kid.clone(), KeyState::Active), follow]),
                (Some(_), None) => steps.push(follow),
                (Some(active), Some(next)) => {
                    if now.since(active.since) >= rotate_after && now.since(next.since) >= LEAD {
                        steps.extend(succession(active, next));
                    }
                }
            }
        }
    }
    for record in records {
        let rest = now.since(record.since);
        if record.state == KeyState::Retiring && rest >= record.purpose.longest().saturating_add(DRAIN) {
            steps.push(Step::Turn(record.kid.clone(), KeyState::Retired));
        } else if record.state == KeyState::Retired && rest >= MEMORY {
            steps.push(Step::Forget(record.kid.clone()));
        }
    }
    steps
}

fn succession(active: &KeyRecord, next: &KeyRecord) -> [Step; 3] {
    [
        Step::Turn(active.kid.clone(), KeyState::Retiring),
        Step::Turn(next.kid.clone(), KeyState::Active),
        Step::Make(next.purpose, next.algorithm, KeyState::Prepare),
    ]
}

/// Does it, in memory.
pub(super) fn perform(
    records: &mut Vec<KeyRecord>,
    steps: &[Step],
    now: Timestamp,
) -> Result<(), SigningError> {
    for step in steps {
        match step {
            Step::Make(purpose, algorithm, state) => {
                let (kid, private) = key::make(*algorithm)?;
                records.push(KeyRecord {
                    kid,
                    purpose: *purpose,
                    algorithm: *algorithm,
                    state: *state,
                    since: now,
                    private: Some(private),
                });
            }
            Step::Turn(kid, state) => {
                for record in records.iter_mut().filter(|record| record.kid == *kid) {
                    record.state = *state;
                    record.since = now;
                    if *state == KeyState::Retired {
                        record.private = None;
                    }
                }
            }
            Step::Forget(kid) => records.retain(|record| record.kid != *kid),
        }
    }
    Ok(())
}

/// Why an ordered rotation did not happen.
#[derive(Debug, Clone, thiserror::Error)]
pub enum RotateError {
    /// See [`SigningError`].
    #[error(transparent)]
    Keys(#[from] SigningError),
    /// Verifiers may not know the next key yet.
    #[error("the next key is not yet published for an hour: verifiers might refuse what it signs")]
    TooSoon,
}

/// Lets the next keys of the purpose sign from now on, in the file; processes take it over by
/// [`tend`](super::Signer::tend). With `compromised`, the keys that signed until now are withdrawn at
/// once: what they signed is no longer accepted by verifiers that read the key set anew. Blocks.
///
/// # Errors
/// See [`RotateError`].
pub fn rotate_now(
    config: &SigningConfig,
    purpose: Purpose,
    compromised: bool,
    now: Timestamp,
) -> Result<u32, RotateError> {
    let file = &config.key_file;
    let _turn = private_file::lock(file).map_err(SigningError::from)?;
    let mut records = record::read(file)?;
    let mut steps = Vec::new();
    for algorithm in Algorithm::ALL {
        let of = |state| {
            records.iter().find(|record| {
                record.purpose == purpose && record.algorithm == algorithm && record.state == state
            })
        };
        let (Some(active), Some(next)) = (of(KeyState::Active), of(KeyState::Prepare)) else {
            return Err(SigningError::NoKey(purpose).into());
        };
        if !compromised && now.since(next.since) < LEAD {
            return Err(RotateError::TooSoon);
        }
        steps.extend(succession(active, next));
        if compromised {
            let signed = records.iter().filter(|record| {
                record.purpose == purpose
                    && record.algorithm == algorithm
                    && matches!(record.state, KeyState::Active | KeyState::Retiring)
            });
            steps.extend(signed.map(|record| Step::Turn(record.kid.clone(), KeyState::Retired)));
        }
    }
    let turned = steps.iter().filter(|step| matches!(step, Step::Turn(_, KeyState::Active))).count();
    perform(&mut records, &steps, now)?;
    record::write(file, &records)?;
    Ok(u32::try_from(turned).unwrap_or(u32::MAX))
}

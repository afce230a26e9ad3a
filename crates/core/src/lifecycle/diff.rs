//! What manifests would change, field by field, and the state as manifests.

use serde::Serialize;
use serde_json::Value;

use super::fields::{Effect, changes};
use super::world::pending;
use crate::manifest::{ObjectKey, Spec};
use crate::state::{Lifecycle, State};

/// One object that differs.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Difference {
    /// The object.
    #[serde(serialize_with = "super::key_text")]
    pub object: ObjectKey,
    /// How it differs.
    pub kind: DifferenceKind,
    /// The fields that differ.
    pub fields: Vec<FieldChange>,
}

/// How an object differs.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DifferenceKind {
    /// Declared, and not in the state.
    Added,
    /// In both, with different content.
    Changed,
    /// Declared, and waiting with just this content.
    Pending,
    /// In the state, and not declared.
    Undeclared,
}

/// One field that differs. Holds declared content only, never a secret.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct FieldChange {
    /// The field.
    pub field: &'static str,
    /// What the change does to what is allowed.
    pub effect: Effect,
    /// What stands; null where absent.
    pub before: Value,
    /// What is declared; null where absent.
    pub after: Value,
}

/// Compares manifests with the state. Undeclared objects are listed for the environments that the
/// manifests touch.
pub fn diff(state: &State, specs: &[Spec]) -> Vec<Difference> {
    let mut differences: Vec<Difference> = specs.iter().filter_map(|spec| difference(state, spec)).collect();
    let declared: std::collections::BTreeSet<ObjectKey> = specs.iter().map(Spec::key).collect();
    let touched: std::collections::BTreeSet<_> = specs.iter().flat_map(Spec::environments).collect();
    for record in state.revisions.iter().filter(|record| record.status == Lifecycle::Active) {
        let here = record.key.environment.as_ref().is_some_and(|name| touched.contains(name));
        if here && !declared.contains(&record.key) {
            let (object, kind) = (record.key.clone(), DifferenceKind::Undeclared);
            differences.push(Difference { object, kind, fields: Vec::new() });
        }
    }
    differences.sort_by(|one, other| one.object.cmp(&other.object));
    differences
}

fn difference(state: &State, spec: &Spec) -> Option<Difference> {
    let object = spec.key();
    let standing = state.standing(&object);
    let content = spec.content_hash();
    if standing.is_some_and(|record| record.content == content) {
        return None;
    }
    let fields = standing.map(|record| field_changes(&record.spec, spec)).unwrap_or_default();
    let waits = pending(state, &object).is_some_and(|record| record.content == content);
    let kind = match (waits, standing) {
        (true, _) => DifferenceKind::Pending,
        (false, Some(_)) => DifferenceKind::Changed,
        (false, None) => DifferenceKind::Added,
    };
    Some(Difference { object, kind, fields })
}

/// The fields in which two contents of one object differ.
pub fn field_changes(old: &Spec, new: &Spec) -> Vec<FieldChange> {
    let (before, after) = (serde_json::to_value(old), serde_json::to_value(new));
    let value = |side: &Result<Value, serde_json::Error>, field: &str| {
        side.as_ref().ok().and_then(|spec| spec.get(field)).cloned().unwrap_or(Value::Null)
    };
    changes(old, new)
        .into_iter()
        .map(|(field, effect)| FieldChange {
            field,
            effect,
            before: value(&before, field),
            after: value(&after, field),
        })
        .collect()
}

/// Every standing object as a manifest, in the order in which `apply` writes.
pub fn export(state: &State) -> Vec<Spec> {
    let stands = |status| matches!(status, Lifecycle::Active | Lifecycle::Disabled);
    let mut specs: Vec<Spec> =
        state.revisions.iter().filter(|r| stands(r.status)).map(|r| r.spec.clone()).collect();
    specs.sort_by_key(Spec::key);
    specs
}

//! One item with its fields, as the server shows it (`FullItem`).

use gateway_core::ports::{StoreError, StoreErrorKind};
use gateway_core::time::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;

/// An item. The values of its fields stay undecoded.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Item<'a> {
    id: String,
    vault: Id,
    /// Grows with each change of the item.
    pub(super) version: u64,
    #[serde(default)]
    state: Option<String>,
    /// When it was changed last.
    #[serde(default)]
    pub(super) updated_at: Option<Timestamp>,
    #[serde(default)]
    sections: Vec<Section>,
    #[serde(borrow, default)]
    fields: Vec<Field<'a>>,
}

#[derive(Deserialize)]
struct Id {
    id: String,
}

#[derive(Deserialize)]
struct Section {
    id: String,
    #[serde(default)]
    label: Option<String>,
}

#[derive(Deserialize)]
struct Field<'a> {
    id: String,
    #[serde(default)]
    label: Option<String>,
    #[serde(default, rename = "type")]
    kind: Option<String>,
    #[serde(default)]
    section: Option<Id>,
    #[serde(borrow, default)]
    value: Option<&'a RawValue>,
}

impl<'a> Item<'a> {
    /// Whether it is the one that was asked for.
    pub(super) fn is(&self, vault: &str, item: &str) -> bool {
        self.vault.id == vault && self.id == item
    }

    pub(super) fn is_archived(&self) -> bool {
        self.state.as_deref().is_some_and(|state| state != "ACTIVE")
    }

    /// The one field of this id or label, in the section of this id or label where one is named.
    pub(super) fn value(&self, section: Option<&str>, name: &str) -> Result<&'a RawValue, StoreError> {
        let section = section.map(|section| self.section(section)).transpose()?;
        let within = |field: &&Field<'_>| match (section, &field.section) {
            (None, _) => true,
            (Some(wanted), Some(within)) => within.id == wanted,
            (Some(_), None) => false,
        };
        let named = |field: &&Field<'_>| is_named(name, &field.id, field.label.as_deref());
        let field = only(self.fields.iter().filter(within).filter(named), "field", name)?;
        if field.kind.as_deref() == Some("OTP") {
            let inside = "a one-time password is for one person's login, not for a gateway's";
            return Err(StoreError::new(StoreErrorKind::Malformed, inside));
        }
        field.value.ok_or_else(|| {
            StoreError::new(StoreErrorKind::Empty, format!("the field `{name}` holds no value"))
        })
    }

    fn section(&self, name: &str) -> Result<&str, StoreError> {
        let named = |section: &&Section| is_named(name, &section.id, section.label.as_deref());
        only(self.sections.iter().filter(named), "section", name).map(|section| section.id.as_str())
    }
}

fn is_named(name: &str, id: &str, label: Option<&str>) -> bool {
    id == name || label == Some(name)
}

fn only<T>(mut found: impl Iterator<Item = T>, what: &str, name: &str) -> Result<T, StoreError> {
    match (found.next(), found.next()) {
        (Some(one), None) => Ok(one),
        (None, _) => Err(StoreError::new(StoreErrorKind::NotFound, format!("there is no {what} `{name}`"))),
        (Some(_), Some(_)) => {
            let inside = format!("several {what}s are called `{name}`: write its id, or its section");
            Err(StoreError::new(StoreErrorKind::Malformed, inside))
        }
    }
}

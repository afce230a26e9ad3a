//! The schema and the names in it, parsed once.

use std::str::FromStr;

use cedar_policy::{EntityId, EntityTypeName, EntityUid, Schema};
use gateway_core::manifest::Tier;
use gateway_core::policy::Action;

use super::compile::SchemaFault;

/// The Cedar schema that every policy is validated against.
pub const SCHEMA: &str = include_str!("schema.cedarschema");

/// The parsed schema with the names that questions are built from.
#[derive(Debug)]
pub(super) struct Vocabulary {
    pub(super) schema: Schema,
    /// The principal of every question. A constant, so that no error text can name a person; policies
    /// read the caller's parts instead, and one that names an `Actor` is refused.
    pub(super) caller: EntityUid,
    pub(super) actor: EntityTypeName,
    environment: EntityTypeName,
    server: EntityTypeName,
    tool: EntityTypeName,
    action: EntityTypeName,
}

impl Vocabulary {
    pub(super) fn new() -> Result<Self, SchemaFault> {
        let schema = Schema::from_str(SCHEMA).map_err(|error| SchemaFault(error.to_string()))?;
        let name = |text| EntityTypeName::from_str(text).map_err(|error| SchemaFault(error.to_string()));
        let actor = name("Actor")?;
        Ok(Self {
            schema,
            caller: EntityUid::from_type_name_and_id(actor.clone(), EntityId::new("caller")),
            actor,
            environment: name("Environment")?,
            server: name("Server")?,
            tool: name("Tool")?,
            action: name("Action")?,
        })
    }

    pub(super) fn environment(&self, name: &str) -> EntityUid {
        EntityUid::from_type_name_and_id(self.environment.clone(), EntityId::new(name))
    }

    pub(super) fn server(&self, name: &str) -> EntityUid {
        EntityUid::from_type_name_and_id(self.server.clone(), EntityId::new(name))
    }

    /// Server names hold no `/`, so the id splits in one way only.
    pub(super) fn tool(&self, server: &str, tool: &str) -> EntityUid {
        EntityUid::from_type_name_and_id(self.tool.clone(), EntityId::new(format!("{server}/{tool}")))
    }

    pub(super) fn action(&self, action: Action) -> EntityUid {
        EntityUid::from_type_name_and_id(self.action.clone(), EntityId::new(action.word()))
    }
}

/// The word for a tier in policies.
pub(super) const fn tier_word(tier: Tier) -> &'static str {
    match tier {
        Tier::Dev => "dev",
        Tier::Staging => "staging",
        Tier::Production => "production",
    }
}

//! Manifests in the document: as their own schema says, which editors read too.

use gateway_core::manifest::{Kind, SCHEMA};
use serde_json::{Map, Value, json};

use super::parsed;

/// The schemas of manifests and of their parts, by name.
pub(super) fn manifests() -> Map<String, Value> {
    let mut whole = parsed(&SCHEMA.replace("#/$defs/", "#/components/schemas/"));
    let Some(Value::Object(mut schemas)) = whole.remove("$defs") else { return Map::new() };
    // Programs that are generated from the document tell the kinds apart by this.
    let place =
        |kind: Kind| (kind.word().to_owned(), json!(format!("#/components/schemas/{}Manifest", kind.word())));
    let kinds: Map<String, Value> = Kind::ALL.into_iter().map(place).collect();
    if let Some(spec) = schemas.get_mut("Spec").and_then(Value::as_object_mut) {
        spec.insert("discriminator".to_owned(), json!({"propertyName": "kind", "mapping": kinds}));
    }
    schemas
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::openapi::SCHEMAS;

    #[test]
    fn no_schema_of_an_answer_hides_one_of_a_manifest() {
        let manifests = manifests();
        assert!(manifests.len() > 40);
        let hidden: Vec<_> =
            parsed(SCHEMAS).into_iter().filter(|(name, _)| manifests.contains_key(name)).collect();
        assert!(hidden.is_empty(), "{hidden:?}");
        let place = manifests["Spec"]["discriminator"]["mapping"]["Binding"].as_str().unwrap();
        assert_eq!(place, "#/components/schemas/BindingManifest");
        assert!(
            manifests["BindingManifest"]["properties"]["actor"]["$ref"]
                == "#/components/schemas/ActorSelector"
        );
    }
}

//! Which records a command of the audit is after.

use clap::Args;
use gateway_adapters::audit::Filter;
use serde_json::{Value, json};

use crate::cli::failure::Failure;

macro_rules! conditions {
    ($($(#[$meta:meta])* $name:ident,)+) => {
        /// Which records.
        #[derive(Args, Debug, Default)]
        pub(in crate::cli) struct Conditions {
            $($(#[$meta])* #[arg(long)] $name: Option<String>,)+
            /// Not before this time, as RFC 3339
            #[arg(long, value_name = "TIME")]
            from: Option<String>,
            /// Before this time, as RFC 3339
            #[arg(long, value_name = "TIME")]
            until: Option<String>,
            /// Any other field of a record, such as `policy_version=…`; may be repeated
            #[arg(long = "where", value_name = "FIELD=VALUE")]
            others: Vec<String>,
        }

        impl Conditions {
            fn named(&self) -> Vec<(&str, &str)> {
                let all = [
                    $((stringify!($name), &self.$name),)+
                    ("from", &self.from),
                    ("until", &self.until),
                ];
                all.into_iter().filter_map(|(name, value)| Some((name, value.as_deref()?))).collect()
            }
        }
    };
}

conditions! {
    /// The request's id
    #[arg(value_name = "ID")]
    request_id,
    /// The caller's W3C trace id
    #[arg(value_name = "ID")]
    trace_id,
    /// The binding, as `name` or `name@revision`
    binding,
    /// The agent
    agent,
    /// The user, as `issuer|subject`
    user,
    /// The workload
    workload,
    /// The client application
    surface,
    /// The operator
    operator,
    /// Where the caller connected from
    source_address,
    /// The public id of a session
    session,
    /// The server
    server,
    /// The environment
    environment,
    /// The JSON-RPC method
    method,
    /// The tool
    tool,
    /// What happened: `intent`, `outcome`, `refused`, `binding_revoked`, …
    kind,
    /// `allow` or `deny`
    decision,
    /// The code of a refusal
    reason,
    /// The credential mode
    mode,
    /// The place in a store
    reference,
    /// The store's id of the version used
    secret_version,
    /// The keyed fingerprint of a value
    fingerprint,
    /// The object of an act, as `name` or `kind/environment/name`
    object,
    /// The provider
    provider,
    /// The public id of a grant
    grant,
}

impl Conditions {
    /// One condition by the field's name.
    pub(super) fn one(name: &str, value: &str) -> Self {
        Self { others: vec![format!("{name}={value}")], ..Self::default() }
    }

    /// The conditions that are set, as the API names them.
    ///
    /// # Errors
    /// One of `--where` is not `field=value`.
    pub(super) fn set(&self) -> Result<Vec<(&str, String)>, Failure> {
        let mut set: Vec<(&str, String)> =
            self.named().into_iter().map(|(name, value)| (name, value.to_owned())).collect();
        for other in &self.others {
            let pair = other.split_once('=').filter(|(name, _)| !name.is_empty());
            let (name, value) =
                pair.ok_or_else(|| Failure::usage(format!("`--where {other}` is not `field=value`")))?;
            set.push((name, value.to_owned()));
        }
        Ok(set)
    }

    /// The conditions as the log's filter.
    ///
    /// # Errors
    /// A field is unknown, or a value is of the wrong form.
    pub(super) fn filter(&self) -> Result<Filter, Failure> {
        let fields = self.set()?.into_iter().map(|(name, value)| (name.to_owned(), json!(value)));
        serde_json::from_value(Value::Object(fields.collect()))
            .map_err(|error| Failure::usage("these conditions cannot be searched for").because(&error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::failure::Exit;

    #[test]
    fn conditions_are_judged_before_anything_is_asked() {
        let kind = |kind: &str| Conditions { kind: Some(kind.into()), ..Conditions::default() };
        assert!(kind("binding_revoked").filter().is_ok());
        assert_eq!(kind("nonsense").filter().unwrap_err().exit, Exit::Usage);
        let from = Conditions { from: Some("yesterday".into()), ..Conditions::default() };
        assert_eq!(from.filter().unwrap_err().exit, Exit::Usage);
    }

    #[test]
    fn any_field_can_be_asked_for_and_no_other_word() {
        let filter = Conditions::one("policy_version", "ab").filter().unwrap();
        assert_eq!(filter.policy_version.as_deref(), Some("ab"));
        assert_eq!(Conditions::one("policyversion", "ab").filter().unwrap_err().exit, Exit::Usage);
        let bare = Conditions { others: vec!["scope".into()], ..Conditions::default() };
        assert_eq!(bare.filter().unwrap_err().exit, Exit::Usage);
    }
}

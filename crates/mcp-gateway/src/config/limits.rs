//! The limits of the data plane, each with its default and its stated bounds.

use serde::Deserialize;

use super::issue::{Findings, IssueCode};
use super::yaml::Node;

macro_rules! limits {
    ($($(#[$doc:meta])* $name:ident: $default:literal, $least:literal..=$most:literal;)+) => {
        /// Limits; the unit is in the name.
        #[derive(Clone, PartialEq, Eq, Debug)]
        pub struct Limits {
            $($(#[$doc])* pub $name: u64,)+
        }

        impl Default for Limits {
            fn default() -> Self {
                Self { $($name: $default,)+ }
            }
        }

        /// The limits as written.
        #[derive(Default, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub(super) struct RawLimits {
            $($name: Option<u64>,)+
        }

        impl RawLimits {
            /// Fills in the defaults and judges the bounds.
            pub(super) fn judge(&self, document: &Node, findings: &mut Findings) -> Limits {
                $(
                    let $name = self.$name.unwrap_or($default);
                    if !($least..=$most).contains(&$name) {
                        let place = document.place_of(concat!("limits.", stringify!($name)));
                        let message = concat!("must be from ", $least, " to ", $most);
                        findings.add(place, IssueCode::OutOfBounds, message);
                    }
                )+
                Limits { $($name,)+ }
            }
        }
    };
}

limits! {
    /// The largest request body. Default 4 MiB, from 1 KiB to 64 MiB.
    request_body_bytes: 4_194_304, 1_024..=67_108_864;
    /// The largest answer that is held whole (lists), and the largest SSE event. Default 16 MiB, from
    /// 64 KiB to 256 MiB.
    response_bytes: 16_777_216, 65_536..=268_435_456;
    /// The largest head of a request. Default 64 KiB, from 8 KiB to 1 MiB.
    header_bytes: 65_536, 8_192..=1_048_576;
    /// How many requests may be open at once. Default 20,000, from 1 to 1,000,000.
    concurrent_requests: 20_000, 1..=1_000_000;
    /// How many legacy sessions one actor may hold. Default 1,000, from 1 to 100,000.
    sessions_per_actor: 1_000, 1..=100_000;
    /// How long a request body may take to arrive. Default 30, from 1 to 600.
    request_body_seconds: 30, 1..=600;
    /// How long a legacy session may rest. Default 1,800, from 10 to 86,400.
    session_idle_seconds: 1_800, 10..=86_400;
    /// How long a legacy session may live. Default 86,400, from 60 to 604,800.
    session_lifetime_seconds: 86_400, 60..=604_800;
    /// How long an event stream is silent until the client gets a comment, which it does not see, so
    /// that nothing on the way takes the stream for dead; 0 for never. Default 25, from 0 to 3,600.
    stream_heartbeat_seconds: 25, 0..=3_600;
    /// How old the state may be in production environments. Default 5, from 1 to 60.
    staleness_production_seconds: 5, 1..=60;
    /// How old the state may be elsewhere. Default 15, from 1 to 300.
    staleness_other_seconds: 15, 1..=300;
    /// How long calls may go on after the gateway was told to stop. Default 30, from 0 to 3,600.
    drain_seconds: 30, 0..=3_600;
}

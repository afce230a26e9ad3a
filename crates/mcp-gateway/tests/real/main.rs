//! The whole gateway in this process against real parts. A part that is missing is a failure, never a
//! skip.

#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests: a broken fixture must stop the test where it breaks"
)]

mod browser;
mod discover;
mod login;
mod provider;

//! The outside that `core` takes as arguments: the system's clock and random generator.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use gateway_core::ports::Random;
use gateway_core::time::{Clock, Timestamp};

/// The system's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one reader of the system's clock")]
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
    }
}

/// The operating system's generator, by way of aws-lc.
#[derive(Debug, Default)]
pub struct SystemEntropy {
    generator: SystemRandom,
    failed: AtomicBool,
}

impl Random for SystemEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        // A kernel without randomness cannot be served from: ids and tokens would repeat. aws-lc does
        // not return such a failure on Linux; should it ever, the process says so and stops.
        if self.generator.fill(bytes).is_err() && !self.failed.swap(true, Ordering::SeqCst) {
            tracing::error!("the random generator failed; the process stops");
            std::process::exit(70);
        }
    }
}

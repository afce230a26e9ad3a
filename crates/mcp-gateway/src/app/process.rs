//! What the operating system says of this process (`proc(5)`).

use gateway_core::figures::{Exposition, Figure};

/// `USER_HZ`: how `/proc` counts processor time on every architecture of Linux that Rust compiles for.
const TICKS_PER_SECOND: f64 = 100.0;

/// Appends the figures that can be read; a system without `/proc` has none.
pub(super) fn figures(all: &mut Exposition) {
    if let Some(seconds) = std::fs::read_to_string("/proc/self/stat").ok().as_deref().and_then(cpu_seconds) {
        all.value(Figure::Cpu, seconds);
    }
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    if let Some(kibibytes) = number(&status, "VmRSS:") {
        all.value(Figure::Memory, kibibytes.saturating_mul(1_024));
    }
    if let Some(threads) = number(&status, "Threads:") {
        all.value(Figure::Threads, threads);
    }
    if let Ok(entries) = std::fs::read_dir("/proc/self/fd") {
        // Less the one that reads them.
        all.value(Figure::Files, entries.count().saturating_sub(1));
    }
}

/// The fields 14 and 15 of `stat`, counted from 1; the second may hold anything, but is in brackets.
fn cpu_seconds(stat: &str) -> Option<f64> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(11);
    let (user, system): (f64, f64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some((user + system) / TICKS_PER_SECOND)
}

/// The number behind a name in `status`.
fn number(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_is_named_oddly_is_read_all_the_same() {
        let stat =
            "7 (a) b) R 1 7 7 0 -1 4194304 100 0 0 0 150 50 0 0 20 0 4 0 100 10000 3 18446744073709551615";
        assert_eq!(cpu_seconds(stat), Some(2.0));
        assert_eq!(cpu_seconds("7 (a) R 1"), None);
        assert_eq!(number("Name:\tx\nVmRSS:\t  12 kB\n", "VmRSS:"), Some(12));
        assert_eq!(number("Name:\tx\n", "VmRSS:"), None);
    }
}

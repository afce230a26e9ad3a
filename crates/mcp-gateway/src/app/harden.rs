//! What the process does for itself before it holds a secret (rule 14): no core dumps, not ptrace-able.
//! What that cannot promise is said in `docs/threat-model.md`.

/// Hardens the process; says what could not be done, which is no reason to stop.
pub(crate) fn harden() -> Result<(), String> {
    secmem_proc::harden_process().map_err(|error| error.to_string())
}

//! Receipts, signed (DESIGN, section 10.10).

use gateway_core::receipt::Receipt;

use super::{Algorithm, Purpose, Ring, SigningError};

/// Signs with Ed25519: the cheapest to make, and every call waits for it.
pub(super) fn sign(ring: &Ring, receipt: &Receipt<'_>) -> Result<String, SigningError> {
    let key = ring.active(Purpose::Receipt, Algorithm::EdDsa)?;
    let audience = receipt.audience.as_str();
    key.sign(&receipt.claims(|party| key.pseudonym(audience, party)))
}

#[cfg(test)]
mod tests;

//! Sorts failed requests: each kind has a code of its own, and its whole story for the log.

use std::error::Error;
use std::io;

use gateway_core::address::AddressRefused;
use gateway_core::refusal::{Code, Refusal};
use rustls::AlertDescription;

use super::outgoing::Withheld;

/// What a failed request comes to. The error's own text names the route, which is for the log only.
pub(super) fn failure(error: &(dyn Error + 'static)) -> Refusal {
    let mut code = Code::UpstreamUnreachable;
    let mut words: Vec<String> = Vec::new();
    let mut next = Some(error);
    while let Some(current) = next {
        if current.is::<AddressRefused>() {
            return Refusal::new(Code::AddressRefused).because(current);
        }
        if let Some(Withheld(refusal)) = current.downcast_ref::<Withheld>() {
            return refusal.clone();
        }
        if let Some(error) = current.downcast_ref::<rustls::Error>() {
            code = of_tls(error);
        }
        let word = current.to_string();
        // An I/O error shows what it was made of as its own text.
        if words.last() != Some(&word) {
            words.push(word);
        }
        next = cause(current);
    }
    Refusal::new(code).because(words.join(": "))
}

/// An I/O error hides what it was made of from `source`.
fn cause<'e>(error: &'e (dyn Error + 'static)) -> Option<&'e (dyn Error + 'static)> {
    match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(inner) => Some(inner),
        None => error.source(),
    }
}

/// An alert about a certificate can only mean ours.
fn of_tls(error: &rustls::Error) -> Code {
    match error {
        rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented => {
            Code::UpstreamUntrusted
        }
        rustls::Error::AlertReceived(
            AlertDescription::NoCertificate
            | AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            | AlertDescription::AccessDenied
            | AlertDescription::DecryptError
            | AlertDescription::CertificateRequired,
        ) => Code::UpstreamCertificateRefused,
        _ => Code::UpstreamTls,
    }
}

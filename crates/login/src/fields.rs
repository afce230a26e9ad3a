//! Parameters of queries and forms, each at most once (RFC 6749, section 3.1).

use std::collections::HashMap;
use std::fmt;

use gateway_core::login::Fault;
use gateway_core::secret::Secret;
use http::{HeaderMap, header};
use url::form_urlencoded;
use zeroize::Zeroizing;

/// The most that all parameters together may have, in bytes.
const MOST_BYTES: usize = 16 * 1024;
/// The most parameters.
const MOST: usize = 64;

/// The parameters of one request. Zeroed on drop: codes and tokens are among them.
#[derive(Default)]
pub struct Fields(HashMap<String, Zeroizing<String>>);

impl fmt::Debug for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fields(..)")
    }
}

impl Fields {
    /// Reads `name=value&…`.
    ///
    /// # Errors
    /// [`Fault::RequestMalformed`] where a name occurs twice or there is too much.
    pub fn parse(text: &[u8]) -> Result<Self, Fault> {
        if text.len() > MOST_BYTES {
            return Err(Fault::RequestMalformed);
        }
        let mut fields = HashMap::new();
        for (name, value) in form_urlencoded::parse(text) {
            // A parameter without a value is as if it were left out.
            if value.is_empty() {
                continue;
            }
            let taken = fields.insert(name.into_owned(), Zeroizing::new(value.into_owned()));
            if taken.is_some() || fields.len() > MOST {
                return Err(Fault::RequestMalformed);
            }
        }
        Ok(Self(fields))
    }

    /// Reads the body of a form.
    ///
    /// # Errors
    /// [`Fault::RequestMalformed`] also where the body is no form.
    pub fn form(headers: &HeaderMap, body: &[u8]) -> Result<Self, Fault> {
        let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let essence = kind.split(';').next().unwrap_or_default().trim();
        if !essence.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
            return Err(Fault::RequestMalformed);
        }
        Self::parse(body)
    }

    /// A parameter that may be absent.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(|value| value.as_str())
    }

    /// A parameter that must be there.
    ///
    /// # Errors
    /// [`Fault::RequestMalformed`].
    pub fn required(&self, name: &str) -> Result<&str, Fault> {
        self.text(name).ok_or(Fault::RequestMalformed)
    }

    /// A parameter that is a secret.
    pub fn secret(&self, name: &str) -> Option<Secret> {
        self.text(name).map(|value| Secret::copy_from(value.as_bytes()))
    }
}

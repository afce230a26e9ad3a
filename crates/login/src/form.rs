//! Forms: a token that only this browser's page can have, and the browser's own word about where the
//! request comes from.

use gateway_core::login::Fault;
use gateway_core::secret::Secret;
use http::{HeaderMap, header};
use subtle::ConstantTimeEq;

use crate::context::Login;
use crate::cookie::Kind;
use crate::fields::Fields;
use crate::seal::Purpose;

/// The field that the token is in.
pub const FIELD: &str = "form_token";

impl Login {
    /// The token for a form that is sent to `action`, in the browser that holds the cookie.
    pub fn form_token(&self, cookie: &Secret, action: &str) -> String {
        self.key.text(Purpose::Form, cookie, action)
    }

    /// Takes a form only from our own page in the same browser. Gives the cookie it is bound to.
    ///
    /// # Errors
    /// [`Fault::FormForged`].
    pub fn check_form(
        &self,
        headers: &HeaderMap,
        fields: &Fields,
        kind: Kind,
        action: &str,
    ) -> Result<Secret, Fault> {
        let text = |name: header::HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
        let site = headers.get("sec-fetch-site").map(|value| value.to_str().unwrap_or("?"));
        if site.is_some_and(|site| site != "same-origin") {
            return Err(Fault::FormForged);
        }
        // Our own pages send no referrer, so browsers may write `null` here.
        let own = |origin: &str| origin == self.origin() || (origin == "null" && site.is_some());
        if text(header::ORIGIN).is_some_and(|origin| !own(origin)) {
            return Err(Fault::FormForged);
        }
        let cookie = self.jar().read(headers, kind).ok_or(Fault::FormForged)?;
        let expected = self.form_token(&cookie, action);
        let sent = fields.text(FIELD).unwrap_or_default();
        if bool::from(expected.as_bytes().ct_eq(sent.as_bytes())) {
            Ok(cookie)
        } else {
            Err(Fault::FormForged)
        }
    }
}

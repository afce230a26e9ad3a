//! Who we are to the authorization server: the id that was given, else a registration of this login's own
//! (RFC 7591). A registration holds nothing to steal, so none is kept: one that its server forgot would
//! fail on a page that never leads back.

use serde::Deserialize;
use serde_json::json;

use super::Login;
use super::discovery::Authority;
use crate::connect::trouble::{Code, Trouble};

/// The name that the consent page shows.
const NAME: &str = "mcp-gateway connect";

#[derive(Deserialize)]
struct Registered {
    client_id: String,
}

/// The client's id for this login.
pub(super) async fn client_id(
    login: &Login,
    authority: &Authority,
    redirect_uri: &str,
) -> Result<String, Trouble> {
    if let Some(known) = &login.client_id {
        if known.starts_with("https://") && !authority.reads_documents {
            let why = "it reads no client metadata documents";
            return Err(Trouble::new(Code::Registration).because(why));
        }
        return Ok(known.clone());
    }
    let Some(endpoint) = &authority.registration_endpoint else {
        return Err(Trouble::new(Code::Registration));
    };
    let asked = json!({
        "client_name": NAME,
        "application_type": "native",
        "redirect_uris": [redirect_uri],
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "token_endpoint_auth_method": "none",
    });
    let answered = login.http.post_json::<_, Registered>(endpoint, &asked).await;
    let registered = answered.map_err(|error| Trouble::new(Code::Registration).because(error))?;
    Ok(registered.client_id)
}

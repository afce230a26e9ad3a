//! Lists, a page at a time: in a stable order, with a cursor that says where the next page begins, in the answer and
//! as a link (RFC 8288).
//!
//! A cursor names the last item's place in the order, not a count: what is written or deleted between two pages
//! neither doubles nor hides anything else.

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use gateway_core::lifecycle::rule;
use gateway_core::manifest::{Kind, ObjectKey};
use gateway_core::time::Timestamp;
use http::{HeaderValue, header};
use serde::{Deserialize, Serialize};
use utoipa::IntoParams;

use crate::problem::Problem;
use crate::routes::json;

/// The longest cursor, in characters.
const LONGEST: usize = 512;

/// How many items a page holds at most.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(try_from = "u32")]
pub(crate) struct Limit<const MOST: u32>(u32);

impl<const MOST: u32> TryFrom<u32> for Limit<MOST> {
    type Error = String;

    fn try_from(limit: u32) -> Result<Self, String> {
        let fits = (1..=MOST).contains(&limit);
        fits.then_some(Self(limit)).ok_or_else(|| format!("a page holds 1 to {MOST} items"))
    }
}

impl<const MOST: u32> Limit<MOST> {
    pub(crate) fn items(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

/// How far a question reaches, where nobody says and at most.
pub(crate) fn reach(name: &str, asked: Option<u32>, usual: u32, most: u32) -> Result<u32, Problem> {
    let asked = asked.unwrap_or(usual);
    let fits = (1..=most).contains(&asked);
    fits.then_some(asked).ok_or_else(|| Problem::malformed(format!("`{name}` is a number from 1 to {most}")))
}

/// Where a page begins: after the place of the last item before it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Cursor(String);

impl TryFrom<String> for Cursor {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, &'static str> {
        let alphabet = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        let fits = (1..=LONGEST).contains(&text.len()) && text.bytes().all(alphabet);
        fits.then_some(Self(text)).ok_or("a cursor is the `next` of a page, as it was")
    }
}

impl Cursor {
    fn after(place: &str) -> Self {
        Self(URL_SAFE_NO_PAD.encode(place))
    }

    /// The place that it names.
    pub(crate) fn place(&self) -> Result<String, Problem> {
        let bytes = URL_SAFE_NO_PAD.decode(&self.0).ok();
        let place = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
        place.ok_or_else(|| Problem::new(&rule::PAGE_CURSOR, "this is no cursor of this list"))
    }
}

/// An object's place among those of its kind: by environment, then by name.
pub(crate) fn place_of(key: &ObjectKey) -> String {
    // The line break sorts before every character of a name, so that text and key have one order.
    let environment = key.environment.as_ref().map(ToString::to_string).unwrap_or_default();
    format!("{environment}\n{}", key.name)
}

/// The same among those of all kinds: what others rest on first.
pub(crate) fn place_among_kinds(key: &ObjectKey) -> String {
    let rank = Kind::ALL.into_iter().filter(|kind| *kind < key.kind).count();
    format!("{rank}\n{}", place_of(key))
}

/// The place of something that is listed by its time.
pub(crate) fn place_in_time(time: Timestamp, id: &str) -> String {
    format!("{:020}\n{id}", time.micros().max(0))
}

/// The time and id of such a place.
pub(crate) fn time_and_id(place: &str) -> Result<(Timestamp, &str), Problem> {
    let parts = place.split_once('\n').and_then(|(time, id)| Some((time.parse().ok()?, id)));
    let (micros, id) =
        parts.ok_or_else(|| Problem::new(&rule::PAGE_CURSOR, "this is no cursor of this list"))?;
    Ok((Timestamp::from_micros(micros), id))
}

/// Which page, of lists without further conditions.
#[derive(Deserialize, IntoParams, Default)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct PageQuery {
    /// `next` of the page before.
    #[param(value_type = Option<String>)]
    pub(crate) cursor: Option<Cursor>,
    /// How many at most, 1 to 500; all of them where absent.
    #[param(value_type = Option<u32>)]
    pub(crate) limit: Option<Limit<500>>,
}

/// Some items of a list, and where the next ones begin.
#[derive(Debug, Serialize)]
pub(crate) struct Page<T> {
    pub(crate) items: Vec<T>,
    /// Absent on the last page.
    pub(crate) next: Option<Cursor>,
}

impl<T> Page<T> {
    /// Cuts the page that begins after the cursor. The items come in the order of their places; without a limit all
    /// of them are on it.
    pub(crate) fn cut(
        items: impl IntoIterator<Item = (String, T)>,
        cursor: Option<&Cursor>,
        limit: Option<usize>,
    ) -> Result<Self, Problem> {
        let after = cursor.map(Cursor::place).transpose()?;
        let mut page = Self { items: Vec::new(), next: None };
        let mut last = String::new();
        for (place, item) in items {
            if after.as_ref().is_some_and(|after| place <= *after) {
                continue;
            }
            if limit == Some(page.items.len()) {
                page.next = Some(Cursor::after(&last));
                break;
            }
            page.items.push(item);
            last = place;
        }
        Ok(page)
    }

    pub(crate) fn map<U>(self, show: impl FnMut(T) -> U) -> Page<U> {
        Page { items: self.items.into_iter().map(show).collect(), next: self.next }
    }

    /// A page that is cut already: with the place of its last item, where another one follows.
    pub(crate) fn of(items: Vec<T>, last: Option<String>) -> Self {
        Self { items, next: last.as_deref().map(Cursor::after) }
    }
}

impl<T: Serialize> IntoResponse for Page<T> {
    fn into_response(self) -> Response {
        let response = json(&self);
        further(response, self.next)
    }
}

/// The value of `cursor` with which one goes on.
#[derive(Clone, Debug)]
pub(crate) struct Further(String);

/// Lets the answer link to the page after it, where there is one.
pub(crate) fn further(mut response: Response, next: Option<impl Into<Further>>) -> Response {
    if let Some(next) = next {
        response.extensions_mut().insert::<Further>(next.into());
    }
    response
}

impl From<Cursor> for Further {
    fn from(cursor: Cursor) -> Self {
        Self(cursor.0)
    }
}

impl From<u64> for Further {
    fn from(cursor: u64) -> Self {
        Self(cursor.to_string())
    }
}

/// Links to the next page (RFC 8288) relative to this one, so that it holds behind any proxy.
pub(crate) async fn link(request: Request, next: Next) -> Response {
    let query = request.uri().query().unwrap_or_default().to_owned();
    let mut response = next.run(request).await;
    if let Some(Further(cursor)) = response.extensions_mut().remove::<Further>() {
        let is_cursor = |pair: &&str| matches!(pair.split('=').next(), Some("cursor" | "after"));
        let kept = query.split('&').filter(|pair| !pair.is_empty() && !is_cursor(pair));
        let pairs: Vec<String> = kept.map(str::to_owned).chain([format!("cursor={cursor}")]).collect();
        if let Ok(value) = HeaderValue::from_str(&format!("<?{}>; rel=\"next\"", pairs.join("&"))) {
            response.headers_mut().insert(header::LINK, value);
        }
    }
    response
}

/// Whether any of the words holds the text, whatever its case.
pub(crate) fn mentions<'a>(text: Option<&str>, words: impl IntoIterator<Item = &'a str>) -> bool {
    let Some(text) = text.map(str::to_lowercase) else { return true };
    words.into_iter().any(|word| word.to_lowercase().contains(&text))
}

//! Cuts entries out of a list result, and leaves every other byte as the upstream wrote it.

use std::ops::Range;

use bytes::Bytes;

use super::edits::Edits;
use super::json::{JsonError, Kind, Scanner};
use super::method::MethodKind;

/// Which list, and so which member of `result` holds it and which member names an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listing {
    /// `tools`, by `name`
    Tools,
    /// `prompts`, by `name`
    Prompts,
    /// `resources`, by `uri`
    Resources,
    /// `resourceTemplates`, by `uriTemplate`
    ResourceTemplates,
}

/// A list response after filtering.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filtered {
    /// The response to forward; the very same bytes where nothing had to change.
    pub body: Bytes,
    /// Entries that are still there.
    pub kept: usize,
    /// Entries that were cut.
    pub removed: usize,
}

/// Why a response cannot be filtered, and so must not be forwarded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ListingError {
    /// Not acceptable JSON.
    #[error("invalid JSON in a list response: {0}")]
    Json(#[from] JsonError),
    /// The response is no object.
    #[error("a list response must be a JSON-RPC object")]
    NotObject,
    /// The member that should hold the list holds something else.
    #[error("`{0}` of a list response must be an array")]
    NotArray(&'static str),
}

impl Listing {
    /// The list that a method asks for, if it asks for one.
    #[must_use]
    pub fn of(kind: MethodKind) -> Option<Self> {
        match kind {
            MethodKind::ListTools => Some(Self::Tools),
            MethodKind::ListPrompts => Some(Self::Prompts),
            MethodKind::ListResources => Some(Self::Resources),
            MethodKind::ListResourceTemplates => Some(Self::ResourceTemplates),
            _ => None,
        }
    }

    fn member(self) -> &'static str {
        match self {
            Self::Tools => "tools",
            Self::Prompts => "prompts",
            Self::Resources => "resources",
            Self::ResourceTemplates => "resourceTemplates",
        }
    }

    fn key(self) -> &'static str {
        match self {
            Self::Tools | Self::Prompts => "name",
            Self::Resources => "uri",
            Self::ResourceTemplates => "uriTemplate",
        }
    }
}

/// Keeps the entries whose key passes `keep`, and makes the result private to this caller. Entries
/// without a string key are cut: nothing can be decided about them. Errors, notifications and
/// results without the list pass unchanged.
///
/// # Errors
/// [`ListingError`].
pub fn filter(
    body: &Bytes,
    listing: Listing,
    mut keep: impl FnMut(&str) -> bool,
) -> Result<Filtered, ListingError> {
    let mut edits = Vec::new();
    let (mut kept, mut removed) = (0, 0);
    each_result_member(body, |scanner, key| {
        if key != listing.member() {
            return cache_scope(scanner, key, &mut edits);
        }
        if scanner.peek()? != Kind::Array {
            return Err(ListingError::NotArray(listing.member()));
        }
        let mut cuts = Cuts::new(scanner.offset() + 1);
        scanner.array(|scanner| {
            let passes = entry_key(scanner, listing.key())?.is_some_and(|name| keep(&name));
            *(if passes { &mut kept } else { &mut removed }) += 1;
            scanner.skip_space();
            cuts.entry(passes, scanner.offset());
            Ok::<(), ListingError>(())
        })?;
        edits.append(&mut cuts.finish());
        Ok(())
    })?;
    Ok(Filtered { body: apply(body, edits), kept, removed })
}

/// Makes a result private to this caller where it says how it may be cached; other bytes stay.
///
/// # Errors
/// [`ListingError::Json`] or [`ListingError::NotObject`].
pub fn privatize(body: &Bytes) -> Result<Bytes, ListingError> {
    let mut edits = Vec::new();
    each_result_member(body, |scanner, key| cache_scope(scanner, key, &mut edits))?;
    Ok(apply(body, edits))
}

/// Replace this range of the body by this text.
type Edit = (Range<usize>, &'static str);

fn each_result_member(
    body: &[u8],
    mut visit: impl FnMut(&mut Scanner<'_>, &str) -> Result<(), ListingError>,
) -> Result<(), ListingError> {
    let mut scanner = Scanner::new(body)?;
    if scanner.peek()? != Kind::Object {
        return Err(ListingError::NotObject);
    }
    scanner.object(|scanner, key| match key {
        "result" if scanner.peek()? == Kind::Object => scanner.object(&mut visit),
        _ => Ok(scanner.skip()?),
    })?;
    Ok(scanner.finish()?)
}

fn cache_scope(scanner: &mut Scanner<'_>, key: &str, edits: &mut Vec<Edit>) -> Result<(), ListingError> {
    if key != "cacheScope" {
        return Ok(scanner.skip()?);
    }
    scanner.skip_space();
    let start = scanner.offset();
    if scanner.text()?.as_deref() != Some("private") {
        edits.push((start..scanner.offset(), "\"private\""));
    }
    Ok(())
}

fn entry_key(scanner: &mut Scanner<'_>, wanted: &str) -> Result<Option<Box<str>>, JsonError> {
    let mut found = None;
    if scanner.peek()? != Kind::Object {
        scanner.skip()?;
        return Ok(None);
    }
    scanner.object(|scanner, key| {
        if key == wanted {
            found = scanner.text()?.map(Box::from);
            return Ok(());
        }
        scanner.skip()
    })?;
    Ok(found)
}

/// Which bytes of an array go away with its entries: each entry owns the bytes from the comma (or
/// bracket) before it to the one after it, and one comma goes with each cut entry.
struct Cuts {
    /// Where the bytes of the next entry begin, after the comma or bracket.
    from: usize,
    any_kept: bool,
    edits: Vec<Edit>,
}

impl Cuts {
    fn new(from: usize) -> Self {
        Self { from, any_kept: false, edits: Vec::new() }
    }

    /// `end` is the offset of the comma or bracket after the entry.
    fn entry(&mut self, passes: bool, end: usize) {
        if !passes {
            // After a kept entry the comma in front goes too; before the first one, the comma behind.
            let start = if self.any_kept { self.from.saturating_sub(1) } else { self.from };
            self.edits.push((start..end, ""));
        } else if !self.any_kept {
            self.any_kept = true;
            // All entries so far were cut, but the commas between them and this one were not.
            if let Some(first) = self.edits.first().map(|edit| edit.0.start) {
                self.edits = vec![(first..self.from, "")];
            }
        }
        self.from = end + 1;
    }

    fn finish(mut self) -> Vec<Edit> {
        if !self.any_kept
            && let (Some(first), Some(last)) = (self.edits.first(), self.edits.last())
        {
            self.edits = vec![(first.0.start..last.0.end, "")];
        }
        self.edits
    }
}

fn apply(body: &Bytes, edits: Vec<Edit>) -> Bytes {
    let mut all = Edits::default();
    edits.into_iter().for_each(|(range, text)| all.replace(range, text));
    all.apply(body)
}

#[cfg(test)]
mod tests;

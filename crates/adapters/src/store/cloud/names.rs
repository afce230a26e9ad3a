//! Names in references, and the addresses that are made of them.

use gateway_core::ports::{StoreError, StoreErrorKind};
use url::Url;

/// Exactly so many names with `/` between them.
pub(in crate::store) fn segments<'a, const N: usize>(
    path: &'a str,
    form: &str,
) -> Result<[&'a str; N], StoreError> {
    let names: Vec<&str> = path.split('/').collect();
    <[&str; N]>::try_from(names)
        .map_err(|_| StoreError::new(StoreErrorKind::Malformed, format!("a path of this store is `{form}`")))
}

/// Whether the name is of this length at most and of these characters alone, and no step in a path.
pub(in crate::store) fn is_name(name: &str, longest: usize, plain: impl Fn(u8) -> bool) -> bool {
    (1..=longest).contains(&name.len()) && name.bytes().all(plain) && !matches!(name, "." | "..")
}

/// The address of a place below a service's own. Each name is one segment, whatever is in it.
pub(in crate::store) fn below(endpoint: &Url, names: &[&str]) -> Result<Url, StoreError> {
    let mut url = endpoint.clone();
    let refused = || StoreError::new(StoreErrorKind::Malformed, "the store's address has no paths");
    url.path_segments_mut().map_err(|()| refused())?.pop_if_empty().extend(names);
    Ok(url)
}

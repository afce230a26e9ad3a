//! The scrubber under arbitrary values, texts and chunk borders: never panics, never depends on the
//! chunks, never lets the raw value through, never touches a text without a hit.
#![no_main]

use std::sync::Arc;

use gateway_core::id::BindingName;
use gateway_core::scrub::{Marker, NeedleSource, Needles, Scrubber};
use gateway_core::secret::Secret;
use libfuzzer_sys::fuzz_target;

fn scrub(needles: &Arc<Needles>, chunks: impl Iterator<Item = Vec<u8>>) -> (Vec<u8>, u64) {
    let mut scrubber = Scrubber::new(Arc::clone(needles));
    let mut out = Vec::new();
    chunks.for_each(|chunk| scrubber.push(&chunk, &mut out));
    scrubber.finish(&mut out);
    (out, scrubber.redactions())
}

fuzz_target!(|input: (Vec<u8>, Vec<u8>, Vec<u8>)| {
    let (value, text, sizes) = input;
    let Ok(binding) = BindingName::parse("x") else { return };
    let secret = Secret::copy_from(&value);
    let Ok(needles) = Needles::build([NeedleSource::Value(&secret)], Marker::new(&binding)) else { return };
    let needles = Arc::new(needles);
    let (whole, count) = scrub(&needles, std::iter::once(text.clone()));

    let mut rest = text.as_slice();
    let mut sizes = sizes.iter().cycle();
    let chunks = std::iter::from_fn(|| {
        let size = sizes.next().map_or(1, |size| usize::from(*size).max(1)).min(rest.len());
        let (chunk, next) = rest.split_at(size);
        rest = next;
        (size > 0).then(|| chunk.to_vec())
    });
    assert_eq!(scrub(&needles, chunks), (whole.clone(), count), "chunk borders changed the outcome");
    if count == 0 {
        assert_eq!(whole, text, "a text without a hit was changed");
    }
    // Shorter values can come about anew where a marker meets its neighbours.
    if value.len() > 8 && !b"[scrubbed:x]".iter().any(|byte| value.contains(byte)) {
        assert!(!whole.windows(value.len()).any(|window| window == value), "the value is still there");
    }
});

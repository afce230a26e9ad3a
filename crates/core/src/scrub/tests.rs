//! Shared by the test modules: building needles, cutting input into chunks.

use super::*;

mod chunks;
mod encoders;
mod encodings;
mod holdback;
mod json;

/// What replaces a value in these tests.
const MARK: &str = "[scrubbed:github]";

fn marker() -> Marker {
    Marker::new(&BindingName::parse("github").unwrap())
}

fn needles(values: &[&[u8]]) -> Arc<Needles> {
    let secrets: Vec<Secret> = values.iter().map(|value| Secret::copy_from(value)).collect();
    Arc::new(Needles::build(secrets.iter().map(NeedleSource::Value), marker()).unwrap())
}

fn scrub(needles: &Arc<Needles>, text: &[u8]) -> String {
    scrub_chunks(needles, &[text]).0
}

fn scrub_chunks(needles: &Arc<Needles>, chunks: &[&[u8]]) -> (String, u64) {
    let mut scrubber = Scrubber::new(Arc::clone(needles));
    let mut out = Vec::new();
    for chunk in chunks {
        scrubber.push(chunk, &mut out);
    }
    scrubber.finish(&mut out);
    (String::from_utf8_lossy(&out).into_owned(), scrubber.redactions())
}

#[test]
fn refuses_values_that_would_match_everywhere_or_show_in_the_marker() {
    let build = |value: &[u8]| {
        let secret = Secret::copy_from(value);
        Needles::build([NeedleSource::Value(&secret)], marker()).map(|_| ())
    };
    assert_eq!(build(b""), Err(NeedleError::Empty));
    assert_eq!(build(b"github"), Err(NeedleError::InMarker));
    assert_eq!(build(&vec![b'x'; LONGEST_VALUE + 1]), Err(NeedleError::TooLong));
    assert_eq!(build(b"ghp_0123456789abcdef"), Ok(()));
}

#[test]
fn an_empty_password_is_refused_even_beside_a_user() {
    let password = Secret::copy_from(b"");
    let built = Needles::build([NeedleSource::BasicAuth { user: "robot", password: &password }], marker());
    assert_eq!(built.map(|_| ()).unwrap_err(), NeedleError::Empty);
}

#[test]
fn debug_and_marker_show_no_value() {
    let needles = needles(&[b"tellmewhatyouknow"]);
    let shown = format!("{needles:?} {:?} {}", Scrubber::new(Arc::clone(&needles)), marker());
    assert_eq!(shown, "Needles(..) Scrubber(..) [scrubbed:github]");
}

#[test]
fn short_is_reported_from_fifteen_bytes_down() {
    assert!(needles(&[b"0123456789abcde"]).short());
    assert!(needles(&[b"0123456789abcdef", b"abc"]).short());
    assert!(!needles(&[b"0123456789abcdef"]).short());
}

#[test]
fn without_needles_everything_passes() {
    let none = Arc::new(Needles::none());
    assert!(none.is_empty() && !none.contains(b"anything"));
    assert_eq!(scrub_chunks(&none, &[b"a\\", b"%4", b"1"]), ("a\\%41".to_owned(), 0));
    assert_eq!(none.scrub_text("a\\%41"), ("a\\%41".to_owned(), 0));
}

#[test]
fn text_is_scrubbed_with_a_count() {
    let needles = needles(&[b"hunter2hunter2hunter2"]);
    let (text, count) = needles.scrub_text("x=hunter2hunter2hunter2; y=hunter2hunter2hunter%32;");
    assert_eq!((text.as_str(), count), ("x=[scrubbed:github]; y=[scrubbed:github];", 2));
}

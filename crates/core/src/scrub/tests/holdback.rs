use super::*;

const VALUE: &[u8] = b"ghp_0123456789abcdef";

/// What has left after each chunk.
fn pushes(scrubber: &mut Scrubber, chunks: &[&str]) -> Vec<String> {
    let leave = |chunk: &&str| {
        let mut out = Vec::new();
        scrubber.push(chunk.as_bytes(), &mut out);
        String::from_utf8(out).unwrap()
    };
    chunks.iter().map(leave).collect()
}

#[test]
fn a_tail_that_begins_no_form_leaves_at_once() {
    let mut scrubber = Scrubber::new(needles(&[VALUE]));
    for chunk in ["{\"a\":1}", "tail.", "\\n done \\\"quoted\\\" !", "100%25 of it!", "\\\\!", "%zz!"] {
        assert_eq!(pushes(&mut scrubber, &[chunk]), [chunk]);
    }
}

#[test]
fn only_the_live_prefix_waits() {
    let mut scrubber = Scrubber::new(needles(&[VALUE]));
    assert_eq!(
        pushes(&mut scrubber, &["say ghp_01", "23 no ", "ghp_0", "123456789abcdef!"]),
        ["say ", "ghp_0123 no ", "", "[scrubbed:github]!"]
    );
}

#[test]
fn a_complete_value_leaves_without_waiting_for_more() {
    let mut scrubber = Scrubber::new(needles(&[VALUE]));
    assert_eq!(pushes(&mut scrubber, &["x ghp_0123456789abcdef", "y"]), ["x [scrubbed:github]", "y"]);
}

#[test]
fn a_run_of_overlapping_hits_is_marked_once_and_not_kept() {
    let mut scrubber = Scrubber::new(needles(&[b"aaaaaaaaaaaaaaaaaaaa"]));
    let run = "a".repeat(5000);
    assert_eq!(pushes(&mut scrubber, &[&run, &run, &run, "aaa."]), ["[scrubbed:github]", "", "", "."]);
    assert_eq!(scrubber.redactions(), 1);
}

#[test]
fn an_incomplete_escape_waits_for_its_end() {
    let mut scrubber = Scrubber::new(needles(&[VALUE]));
    let left = pushes(&mut scrubber, &["a\\", "u00", "41 ", "\\u0067hp\\u", "00", "5f0123456789abcde", "f."]);
    assert_eq!(left, ["a", "", "\\u0041 ", "", "", "", "[scrubbed:github]."]);
}

#[test]
fn the_end_of_an_event_releases_everything_and_starts_afresh() {
    let mut scrubber = Scrubber::new(needles(&[VALUE]));
    assert_eq!(pushes(&mut scrubber, &["data: ghp_0123456789"]), ["data: "]);
    let mut out = Vec::new();
    scrubber.flush_event(&mut out);
    assert_eq!(out, b"ghp_0123456789");
    assert_eq!(pushes(&mut scrubber, &["abcdef."]), ["abcdef."]);
    assert_eq!(scrubber.redactions(), 0);
}

#[test]
fn a_flush_lets_no_half_escape_hide_a_value() {
    let needles = needles(&[b"0123456789abcdef%"]);
    assert_eq!(scrub(&needles, b"%30123456789abcdef%"), MARK);
    let backslash = super::needles(&[b"0123456789abcd\"\\"]);
    assert_eq!(scrub(&backslash, b"0123456789abcd\\\"\\"), MARK);
}

#[test]
fn an_event_stream_holds_nothing_over_blank_lines() {
    for end in ["\n\n", "\r\n\r\n", "\r\r", "\n\r\n"] {
        let mut scrubber = Scrubber::for_events(needles(&[VALUE]));
        let event = format!("data: ghp_0123456789{end}");
        let (first, second) = event.split_at(event.len() - 1);
        let left = pushes(&mut scrubber, &[first, second]);
        assert_eq!(left.concat(), event);
        let next = format!("data: ghp_0123456789abcdef{end}: ghp");
        let expected = format!("data: {MARK}{end}: ");
        assert_eq!(pushes(&mut scrubber, &[&next]), [expected]);
    }
}

#[test]
fn an_event_keeps_its_lines_apart_but_its_chunks_together() {
    let mut scrubber = Scrubber::for_events(needles(&[VALUE]));
    let left = pushes(&mut scrubber, &["id: 1\nda", "ta: ghp_", "0123456789abcdef\n", "\n"]);
    assert_eq!(left.concat(), format!("id: 1\ndata: {MARK}\n\n"));
    assert_eq!(scrubber.redactions(), 1);
}

use proptest::prelude::*;

use super::super::{EventKind, Problem, ProblemKind, Verifier};
use super::*;
use crate::id::{RequestId, ToolName};
use crate::time::Timestamp;

fn event(number: u64) -> Event {
    let now = Timestamp::from_seconds(1_795_683_600 + i64::try_from(number).unwrap());
    let mut event = Event::new(EventKind::Intent, now);
    event.request_id = Some(RequestId::mint(now, [7; 10]));
    event.tool = Some(ToolName::parse("list_issues").unwrap());
    event.method = Some("tools/call \"quoted\"\n,\"hash\":\"".to_owned());
    event
}

/// Two segments of `records` records each, as lines without newlines.
fn chain(records: u64) -> Vec<Vec<Vec<u8>>> {
    let mut tip = Tip::START;
    let mut segments = Vec::new();
    for segment in 1..=2 {
        let first = Sequence(tip.sequence.0 + 1);
        let header = Header {
            segment,
            chain: ChainId::new([9; 16]),
            first,
            epoch: Epoch(3),
            open_from: first,
            prev: tip.link,
        };
        tip.link = header.hash();
        let mut lines = vec![header.line().trim_end().as_bytes().to_vec()];
        for number in 0..records {
            let mut line = Vec::new();
            tip = append(&tip, &event(number), &mut line).unwrap();
            assert_eq!(line.pop(), Some(b'\n'));
            lines.push(line);
        }
        segments.push(lines);
    }
    segments
}

fn verify(segments: &[Vec<Vec<u8>>]) -> Result<Tip, Problem> {
    let mut verifier = Verifier::new();
    for (number, lines) in (1..).zip(segments) {
        verifier.enter(number, &lines[0])?;
        for line in &lines[1..] {
            verifier.take(line)?;
        }
    }
    Ok(verifier.tip())
}

#[test]
fn accepts_what_it_wrote_across_segments() {
    let tip = verify(&chain(5)).unwrap();
    assert_eq!(tip.sequence, Sequence(10));
    assert_eq!(tip.record, tip.link);
}

#[test]
fn gives_the_event_back() {
    let segments = chain(3);
    let record = Record::parse(&segments[0][2]).unwrap();
    assert_eq!(record.event().unwrap(), event(1));
}

#[test]
fn resumes_at_a_later_segment() {
    let segments = chain(4);
    let header = Header::parse(&segments[1][0]).unwrap();
    let mut verifier = Verifier::from_segment(&header);
    verifier.enter(2, &segments[1][0]).unwrap();
    for line in &segments[1][1..] {
        verifier.take(line).unwrap();
    }
    assert_eq!(verifier.tip().sequence, Sequence(8));
}

#[test]
fn names_what_was_dropped_doubled_or_moved() {
    let mut dropped = chain(5);
    dropped[0].remove(3);
    let problem = verify(&dropped).unwrap_err();
    assert_eq!((problem.segment, problem.sequence), (1, Sequence(3)));
    assert_eq!(problem.kind, ProblemKind::Missing { found: Sequence(4) });

    let mut doubled = chain(5);
    let line = doubled[1][2].clone();
    doubled[1].insert(3, line);
    let problem = verify(&doubled).unwrap_err();
    assert_eq!((problem.segment, problem.sequence), (2, Sequence(8)));
    assert_eq!(problem.kind, ProblemKind::Repeated { found: Sequence(7) });

    let mut moved = chain(5);
    moved[0].swap(2, 3);
    assert_eq!(verify(&moved).unwrap_err().kind, ProblemKind::Missing { found: Sequence(3) });

    let mut cut = chain(5);
    cut[0].pop();
    assert_eq!(verify(&cut).unwrap_err().kind, ProblemKind::HeaderMisplaced);

    let mut lost = chain(5);
    lost.remove(0);
    assert_eq!(verify(&lost).unwrap_err().kind, ProblemKind::HeaderMisplaced);
}

#[test]
fn finds_a_record_made_anew_in_its_place() {
    let mut segments = chain(3);
    let forged = Tip { link: LinkHash::new([1; 32]), ..Tip::START };
    let mut line = Vec::new();
    append(&forged, &event(0), &mut line).unwrap();
    line.pop();
    segments[0][1] = line;
    assert_eq!(verify(&segments).unwrap_err().kind, ProblemKind::Relinked);

    let mut segments = chain(3);
    let honest = Tip { link: Header::parse(&segments[0][0]).unwrap().hash(), ..Tip::START };
    let mut line = Vec::new();
    append(&honest, &event(7), &mut line).unwrap();
    line.pop();
    segments[0][1] = line;
    let problem = verify(&segments).unwrap_err();
    assert_eq!((problem.kind, problem.sequence), (ProblemKind::Relinked, Sequence(2)));
}

#[test]
fn refuses_another_spelling_of_the_same_content() {
    let segments = chain(1);
    let line = String::from_utf8(segments[0][1].clone()).unwrap();
    for other in [
        line.replacen("\"seq\":1", "\"seq\":01", 1),
        line.replacen("\"seq\":1", "\"seq\":+1", 1),
        line.replacen("\"seq\":1", "\"seq\": 1", 1),
        format!("{line} "),
        line.to_uppercase(),
    ] {
        assert_ne!(other, line);
        assert!(Record::parse(other.as_bytes()).is_none(), "{other}");
    }
    let header = String::from_utf8(segments[0][0].clone()).unwrap();
    assert!(Header::parse(header.replacen(':', ": ", 1).as_bytes()).is_none());
}

proptest! {
    #[test]
    fn finds_any_changed_byte(at in any::<prop::sample::Index>(), to in any::<u8>()) {
        let mut segments = chain(3);
        let total: usize = segments.iter().flatten().map(Vec::len).sum();
        let mut at = at.index(total);
        let line = segments.iter_mut().flatten().find_map(|line| {
            if at < line.len() { Some(line) } else { at -= line.len(); None }
        }).unwrap();
        let before = std::mem::replace(&mut line[at], to);
        prop_assert_eq!(verify(&segments).is_ok(), before == to);
    }

    #[test]
    fn taking_any_bytes_apart_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = Record::parse(&bytes);
        let _ = Header::parse(&bytes);
    }
}

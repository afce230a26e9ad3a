//! What somebody with access to the files may try.

use std::sync::LazyLock;

use gateway_core::audit::ProblemKind;
use proptest::prelude::*;

use super::*;

/// Two segments or more: their contents.
fn chain() -> Vec<Vec<u8>> {
    static ONCE: LazyLock<Vec<Vec<u8>>> = LazyLock::new(written);
    ONCE.clone()
}

fn written() -> Vec<Vec<u8>> {
    let directory = tempfile::tempdir().unwrap();
    let (log, _) = open(&small_segments(directory.path()));
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(fill(&log, 20));
    let segments = log.status().segment;
    log.flush().unwrap();
    assert!(segments >= 2);
    (1..=segments).map(|number| std::fs::read(segment(directory.path(), number)).unwrap()).collect()
}

fn report(segments: &[Vec<u8>]) -> VerifyReport {
    let directory = tempfile::tempdir().unwrap();
    for (number, content) in (1..).zip(segments) {
        std::fs::write(segment(directory.path(), number), content).unwrap();
    }
    verify_directory(directory.path(), &[], None).unwrap()
}

fn lines(segment: &[u8]) -> Vec<Vec<u8>> {
    segment.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn any_changed_byte_is_found(at in any::<prop::sample::Index>(), to in any::<u8>()) {
        let mut segments = chain();
        let total: usize = segments.iter().map(Vec::len).sum();
        let mut at = at.index(total - 1);
        let content = segments.iter_mut().find_map(|segment| {
            if at < segment.len() { Some(segment) } else { at -= segment.len(); None }
        }).unwrap();
        let before = std::mem::replace(&mut content[at], to);
        let report = report(&segments);
        prop_assert_eq!(report.holds() && report.torn_tail == 0, before == to, "{:?}", report);
    }
}

#[test]
fn dropped_doubled_and_moved_lines_are_found_and_named() {
    let segments = chain();
    let (first, rest) = segments.split_first().unwrap();
    let with = |lines: Vec<Vec<u8>>| {
        let mut segments = vec![lines.concat()];
        segments.extend(rest.iter().cloned());
        report(&segments).first_problem.unwrap()
    };
    let original = lines(first);

    let mut dropped = original.clone();
    dropped.remove(4);
    let problem = with(dropped);
    assert_eq!((problem.segment, problem.sequence), (1, Sequence(4)));
    assert_eq!(problem.kind, ProblemKind::Missing { found: Sequence(5) });

    let mut doubled = original.clone();
    doubled.insert(5, original[4].clone());
    assert_eq!(with(doubled).kind, ProblemKind::Repeated { found: Sequence(4) });

    let mut moved = original.clone();
    moved.swap(4, 6);
    assert_eq!(with(moved).sequence, Sequence(4));

    let mut cut = original.clone();
    cut.pop();
    assert_eq!(with(cut).kind, ProblemKind::HeaderMisplaced);

    let mut torn = original;
    torn.last_mut().unwrap().pop();
    assert_eq!(with(torn).kind, ProblemKind::Torn);
}

#[test]
fn a_missing_or_foreign_segment_is_found() {
    let segments = chain();
    assert_eq!(report(&segments[1..]).first_problem.unwrap().kind, ProblemKind::HeaderMisplaced);

    let directory = tempfile::tempdir().unwrap();
    std::fs::write(segment(directory.path(), 1), &segments[0]).unwrap();
    std::fs::write(segment(directory.path(), 3), &segments[1]).unwrap();
    let report = verify_directory(directory.path(), &[], None).unwrap();
    assert_eq!(report.first_problem.unwrap().kind, ProblemKind::SegmentMissing);
}

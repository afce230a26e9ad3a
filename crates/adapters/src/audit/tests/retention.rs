//! Segments go only when nobody needs them any more, and what stays proves itself.

use gateway_core::audit::{Anchor, Problem, ProblemKind, SignedAnchor};

use super::*;

#[derive(Debug)]
struct Later(i64);

impl Clock for Later {
    fn now(&self) -> Timestamp {
        Timestamp::from_seconds(1_795_683_600 + self.0)
    }
}

struct Kept {
    directory: tempfile::TempDir,
    archive: tempfile::TempDir,
    log: Arc<AuditLog>,
    checkpointer: Arc<Checkpointer>,
    key: PublicKey,
}

impl Kept {
    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn retention(&self, limits: RetentionConfig, delivered: u64, seconds: i64) -> Retention {
        let (log, checkpointer) = (Arc::clone(&self.log), Arc::clone(&self.checkpointer));
        let delivered = Arc::new(move || Sequence(delivered));
        Retention::new(log, checkpointer, limits, delivered, Arc::new(Later(seconds)))
    }

    fn by_bytes(&self) -> RetentionConfig {
        RetentionConfig { max_bytes: Some(9_000), archive: Some(self.archive.path().into()), days: None }
    }

    fn segments(&self) -> Vec<u64> {
        super::super::directory::segments(self.path()).unwrap()
    }

    fn problem(&self) -> Problem {
        let report = verify_directory(self.path(), std::slice::from_ref(&self.key), None).unwrap();
        report.first_problem.expect("a problem")
    }

    fn holds(&self, directory: &Path) -> VerifyReport {
        let report = verify_directory(directory, std::slice::from_ref(&self.key), None).unwrap();
        assert!(report.holds(), "{report:?}");
        report
    }
}

/// Several segments, closed intents, a checkpoint at the end.
async fn kept() -> Kept {
    let (directory, archive) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let config = small_segments(directory.path());
    let (log, _) = open(&config);
    let signer = Signer::open_or_create(&config.key_path()).unwrap();
    let key = signer.public_key().clone();
    let checkpointer = Checkpointer::open(Arc::clone(&log), signer, &config, Arc::new(Still)).unwrap();
    fill(&log, 20).await;
    checkpointer.checkpoint().unwrap();
    fill(&log, 40).await;
    checkpointer.checkpoint().unwrap();
    assert!(log.status().segment > 6);
    Kept { directory, archive, log, checkpointer: Arc::new(checkpointer), key }
}

const EVERYTHING: u64 = u64::MAX;

#[tokio::test]
async fn removes_the_oldest_and_both_parts_verify() {
    let kept = kept().await;
    let before = kept.log.status();
    let removed = kept.retention(kept.by_bytes(), EVERYTHING, 0).sweep().unwrap();
    assert!(removed.segments >= 3, "{removed:?}");
    let present = kept.segments();
    assert_eq!(present.first(), Some(&(removed.segments + 1)));
    let report = kept.holds(kept.path());
    let begins = report.begins_after.unwrap();
    assert_eq!(report.records + begins.0, before.sequence.0 + 1, "and the record of the removal");
    assert!(kept.log.status().bytes <= 9_000 + 2 * 4_096);
    let archived = kept.holds(kept.archive.path());
    assert_eq!((archived.records, archived.segments), (begins.0, removed.segments));
    assert!(archived.checkpoints >= 1, "{archived:?}");
    let said = Filter { kind: Some(EventKind::AuditTruncated), ..Filter::default() };
    let found = kept.log.reader().unwrap().search(&said, Order::NewestFirst, 9).unwrap();
    assert_eq!(found.records[0].event.count, Some(begins.0));
    // Once more, and after a restart: the archive grows, and still proves itself.
    fill(&kept.log, 40).await;
    kept.checkpointer.checkpoint().unwrap();
    let again = kept.retention(kept.by_bytes(), EVERYTHING, 0).sweep().unwrap();
    assert!(again.segments >= 3, "{again:?}");
    assert_eq!(kept.holds(kept.archive.path()).segments, removed.segments + again.segments);
    kept.holds(kept.path());
    let Kept { directory, log, checkpointer, .. } = kept;
    drop((log, checkpointer));
    let (log, _) = open(&small_segments(directory.path()));
    log.record(intent(99)).await.unwrap();
}

#[tokio::test]
async fn by_age_only_what_is_old_enough_goes() {
    let kept = kept().await;
    let days = |days| RetentionConfig { days: Some(days), ..RetentionConfig::default() };
    let day = 86_400;
    assert_eq!(kept.retention(days(30), EVERYTHING, 30 * day - 1).sweep().unwrap(), Removed::default());
    let removed = kept.retention(days(30), EVERYTHING, 30 * day).sweep().unwrap();
    assert_eq!(kept.segments().len(), 2, "the current segment and the newest sealed one stay: {removed:?}");
    kept.holds(kept.path());
}

#[tokio::test]
async fn what_a_sink_does_not_have_stays() {
    let kept = kept().await;
    assert_eq!(kept.retention(kept.by_bytes(), 0, 0).sweep().unwrap(), Removed::default());
    let removed = kept.retention(kept.by_bytes(), 30, 0).sweep().unwrap();
    assert!(removed.segments >= 1);
    assert!(kept.holds(kept.path()).begins_after.unwrap() <= Sequence(30));
}

#[tokio::test]
async fn what_no_checkpoint_vouches_for_stays() {
    let directory = tempfile::tempdir().unwrap();
    let config = small_segments(directory.path());
    let (log, _) = open(&config);
    let signer = Signer::open_or_create(&config.key_path()).unwrap();
    let checkpointer = Checkpointer::open(Arc::clone(&log), signer, &config, Arc::new(Still)).unwrap();
    fill(&log, 40).await;
    let limits = RetentionConfig { max_bytes: Some(1), ..RetentionConfig::default() };
    let everything: Delivered = Arc::new(|| Sequence(u64::MAX));
    let retention = Retention::new(log, Arc::new(checkpointer), limits, everything, Arc::new(Still));
    assert_eq!(retention.sweep().unwrap(), Removed::default());
}

#[tokio::test]
async fn a_segment_with_an_open_intent_stays() {
    let (directory, _) = (tempfile::tempdir().unwrap(), ());
    let config = small_segments(directory.path());
    let (log, _) = open(&config);
    let signer = Signer::open_or_create(&config.key_path()).unwrap();
    let checkpointer =
        Arc::new(Checkpointer::open(Arc::clone(&log), signer, &config, Arc::new(Still)).unwrap());
    log.record(intent(7_777)).await.unwrap();
    fill(&log, 40).await;
    checkpointer.checkpoint().unwrap();
    let limits = RetentionConfig { max_bytes: Some(1), ..RetentionConfig::default() };
    let everything: Delivered = Arc::new(|| Sequence(u64::MAX));
    let retention = Retention::new(Arc::clone(&log), checkpointer, limits, everything, Arc::new(Still));
    assert_eq!(retention.sweep().unwrap(), Removed::default());
    log.note(outcome(7_777)).unwrap();
    assert!(retention.sweep().unwrap().segments > 0);
}

#[tokio::test]
async fn a_segment_that_was_changed_is_not_removed() {
    let kept = kept().await;
    let path = segment(kept.path(), 2);
    let mut content = std::fs::read(&path).unwrap();
    let at = content.len() - 200;
    content[at] ^= 1;
    std::fs::write(&path, content).unwrap();
    let before = kept.segments();
    assert!(kept.retention(kept.by_bytes(), EVERYTHING, 0).sweep().is_err());
    assert_eq!(kept.segments(), before);
}

#[tokio::test]
async fn a_removal_that_a_crash_cut_short_is_finished() {
    let kept = kept().await;
    let copy = tempfile::tempdir().unwrap();
    for number in 2..=3 {
        std::fs::copy(segment(kept.path(), number), segment(copy.path(), number)).unwrap();
    }
    kept.retention(kept.by_bytes(), EVERYTHING, 0).sweep().unwrap();
    for number in 2..=3 {
        std::fs::copy(segment(copy.path(), number), segment(kept.path(), number)).unwrap();
    }
    // Only as far as the removal left a gap-free rest.
    let newest = anchors(kept.path()).last().unwrap().anchor.segment;
    for number in 4..=newest {
        std::fs::copy(segment(kept.archive.path(), number), segment(kept.path(), number)).unwrap();
    }
    kept.holds(kept.path());
    let removed = kept.retention(kept.by_bytes(), EVERYTHING, 0).sweep().unwrap();
    assert_eq!(removed.segments, newest - 1);
    assert_eq!(kept.segments().first(), Some(&(newest + 1)));
    kept.holds(kept.path());
    kept.holds(kept.archive.path());
}

#[tokio::test]
async fn an_archive_that_holds_another_segment_stops_the_removal() {
    let kept = kept().await;
    std::fs::write(segment(kept.archive.path(), 1), "another").unwrap();
    let before = kept.segments();
    let error = kept.retention(kept.by_bytes(), EVERYTHING, 0).sweep().unwrap_err();
    assert!(error.0.contains("another segment 1"), "{error}");
    assert_eq!(kept.segments(), before);
}

#[tokio::test]
async fn an_archive_without_its_beginning_or_its_end_is_found() {
    let kept = kept().await;
    kept.retention(kept.by_bytes(), 30, 0).sweep().unwrap();
    kept.retention(kept.by_bytes(), EVERYTHING, 0).sweep().unwrap();
    assert_eq!(anchors(kept.path()).len(), 2);
    kept.holds(kept.archive.path());
    let keys = std::slice::from_ref(&kept.key);
    let problem = || verify_directory(kept.archive.path(), keys, None).unwrap().first_problem.unwrap();
    let through = anchors(kept.path())[0].anchor.segment;
    let first: Vec<_> = (1..=through).map(|number| segment(kept.archive.path(), number)).collect();
    let content: Vec<_> = first.iter().map(|path| std::fs::read(path).unwrap()).collect();
    first.iter().for_each(|path| std::fs::remove_file(path).unwrap());
    let found = problem();
    assert_eq!((found.segment, found.sequence, found.kind), (1, Sequence(1), ProblemKind::SegmentMissing));
    first.iter().zip(content).for_each(|(path, content)| std::fs::write(path, content).unwrap());
    let newest = anchors(kept.path())[1].anchor.clone();
    std::fs::remove_file(segment(kept.archive.path(), newest.segment)).unwrap();
    assert_eq!(problem().kind, ProblemKind::Truncated { vouched: newest.recorded });
}

fn anchors(directory: &Path) -> Vec<SignedAnchor> {
    let text = std::fs::read_to_string(directory.join("anchors.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn write_anchor(directory: &Path, anchor: &SignedAnchor) {
    let line = serde_json::to_string(anchor).unwrap() + "\n";
    std::fs::write(directory.join("anchors.jsonl"), line).unwrap();
}

#[tokio::test]
async fn without_its_anchor_a_missing_segment_is_tampering() {
    let kept = kept().await;
    kept.retention(kept.by_bytes(), EVERYTHING, 0).sweep().unwrap();
    let path = kept.path().join("anchors.jsonl");
    let good = std::fs::read(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    let problem = kept.problem();
    assert_eq!(
        (problem.segment, problem.sequence, problem.kind),
        (1, Sequence(1), ProblemKind::SegmentMissing)
    );
    std::fs::write(&path, &good).unwrap();
    // One more segment than the anchor covers.
    let (first, begins) = (kept.segments()[0], anchors(kept.path())[0].anchor.sequence.0);
    std::fs::remove_file(segment(kept.path(), first)).unwrap();
    let problem = kept.problem();
    assert_eq!(
        (problem.segment, problem.sequence.0, problem.kind),
        (first, begins + 1, ProblemKind::SegmentMissing)
    );
    let Kept { directory, archive: _archive, log, checkpointer, .. } = kept;
    drop((log, checkpointer));
    let error = AuditLog::open(&small_segments(directory.path()), &random()).unwrap_err();
    assert!(error.0.contains("the segment is missing"), "{error}");
}

#[tokio::test]
async fn forged_and_unannounced_anchors_are_found() {
    let kept = kept().await;
    kept.retention(kept.by_bytes(), EVERYTHING, 0).sweep().unwrap();
    let good = anchors(kept.path()).remove(0);
    let elsewhere = tempfile::tempdir().unwrap();
    let other = Signer::open_or_create(&elsewhere.path().join("other.pk8")).unwrap();
    let own = Signer::open(&small_segments(kept.path()).key_path()).unwrap();

    write_anchor(kept.path(), &other.sign_anchor(good.anchor.clone()).unwrap());
    assert_eq!(kept.problem().kind, ProblemKind::SegmentMissing, "nobody vouches for what is missing");
    let mut named = other.sign_anchor(good.anchor.clone()).unwrap();
    named.anchor.key_id.clone_from(&good.anchor.key_id);
    write_anchor(kept.path(), &named);
    assert_eq!(kept.problem().sequence, Sequence(1));

    // With the gateway's own key, but the chain says nothing of it.
    let anchor = Anchor { recorded: Sequence(good.anchor.recorded.0 - 1), ..good.anchor.clone() };
    let recorded = anchor.recorded;
    write_anchor(kept.path(), &own.sign_anchor(anchor).unwrap());
    let problem = kept.problem();
    assert_eq!((problem.sequence, problem.kind), (recorded, ProblemKind::AnchorDiffers));
    let anchor = Anchor { recorded: Sequence(1_000_000), ..good.anchor.clone() };
    write_anchor(kept.path(), &own.sign_anchor(anchor).unwrap());
    assert_eq!(kept.problem().kind, ProblemKind::Truncated { vouched: Sequence(1_000_000) });

    // An anchor for a segment that was never removed, beside the good one.
    let mut text = serde_json::to_string(&good).unwrap() + "\n";
    let anchor = Anchor {
        hash: gateway_core::audit::LinkHash::ZERO,
        segment: kept.segments()[0],
        ..good.anchor.clone()
    };
    text.push_str(&(serde_json::to_string(&other.sign_anchor(anchor).unwrap()).unwrap() + "\n"));
    std::fs::write(kept.path().join("anchors.jsonl"), text).unwrap();
    assert_eq!(kept.problem().kind, ProblemKind::AnchorForged);
    write_anchor(kept.path(), &good);
    kept.holds(kept.path());
}

#[tokio::test]
async fn checkpoints_that_left_the_host_must_still_be_here() {
    let kept = kept().await;
    let path = kept.path().join("checkpoints.jsonl");
    let outside = read_checkpoints(&std::fs::read(&path).unwrap()).unwrap();
    let keys = std::slice::from_ref(&kept.key);
    assert!(verify_directory(kept.path(), keys, Some(&outside)).unwrap().holds());
    std::fs::remove_file(&path).unwrap();
    let problem = verify_directory(kept.path(), keys, Some(&outside)).unwrap().first_problem.unwrap();
    assert_eq!(
        (problem.sequence, problem.kind),
        (outside[0].checkpoint.sequence, ProblemKind::CheckpointMissing)
    );
}

#[tokio::test]
async fn of_two_faults_the_first_in_the_chain_is_named() {
    let kept = kept().await;
    let path = kept.path().join("checkpoints.jsonl");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replacen("\"epoch\":", "\"epoch\":9", 1)).unwrap();
    let vouched = read_checkpoints(text.as_bytes()).unwrap()[0].checkpoint.sequence;
    let problem = kept.problem();
    assert_eq!((problem.sequence, problem.kind), (vouched, ProblemKind::CheckpointForged));
    let first = segment(kept.path(), 1);
    let content = std::fs::read_to_string(&first).unwrap();
    std::fs::write(&first, content.replacen("tools/call", "tools/fall", 1)).unwrap();
    let problem = kept.problem();
    assert_eq!((problem.segment, problem.sequence, problem.kind), (1, Sequence(1), ProblemKind::Changed));
}

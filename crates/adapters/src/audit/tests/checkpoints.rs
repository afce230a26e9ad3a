//! Signed checkpoints: what the chain alone cannot show.

use gateway_core::audit::{ProblemKind, SignedCheckpoint};

use super::*;

struct Kept {
    directory: tempfile::TempDir,
    log: Arc<AuditLog>,
    checkpointer: Checkpointer,
    key: PublicKey,
}

fn kept() -> Kept {
    let directory = tempfile::tempdir().unwrap();
    let config = process(directory.path());
    let (log, _) = open(&config);
    let signer = Signer::open_or_create(&config.key_path()).unwrap();
    let key = signer.public_key().clone();
    let checkpointer = Checkpointer::open(Arc::clone(&log), signer, &config, Arc::new(Still)).unwrap();
    Kept { directory, log, checkpointer, key }
}

/// Removes the last `count` lines of the first segment.
fn cut_records(directory: &Path, count: usize) {
    let path = segment(directory, 1);
    let content = std::fs::read(&path).unwrap();
    let mut lines: Vec<&[u8]> = content.split_inclusive(|byte| *byte == b'\n').collect();
    lines.truncate(lines.len() - count);
    std::fs::write(&path, lines.concat()).unwrap();
}

fn problem(directory: &Path, keys: &[PublicKey], against: Option<&[SignedCheckpoint]>) -> ProblemKind {
    verify_directory(directory, keys, against).unwrap().first_problem.unwrap().kind
}

#[tokio::test]
async fn vouches_for_the_last_record_and_its_epoch() {
    let kept = kept();
    assert_eq!(kept.checkpointer.checkpoint().unwrap(), None);
    fill(&kept.log, 3).await;
    let signed = kept.checkpointer.checkpoint().unwrap().unwrap();
    assert_eq!((signed.checkpoint.sequence, signed.checkpoint.epoch), (Sequence(6), Epoch(3)));
    assert!(kept.key.signed(&signed));
    assert_eq!(kept.checkpointer.checkpoint().unwrap(), None);
    let report =
        verify_directory(kept.directory.path(), std::slice::from_ref(&kept.key), Some(&[signed])).unwrap();
    assert!(report.holds(), "{report:?}");
    assert_eq!((report.checkpoints, report.against, report.anchored), (1, 1, Some(Sequence(6))));
}

#[tokio::test]
async fn whole_records_cut_off_are_found_and_the_log_refuses_to_go_on() {
    let kept = kept();
    fill(&kept.log, 3).await;
    let outside = kept.checkpointer.checkpoint().unwrap().unwrap();
    let Kept { directory, log, checkpointer, key } = kept;
    drop((log, checkpointer));
    cut_records(directory.path(), 2);
    let cut = ProblemKind::Truncated { vouched: Sequence(6) };
    assert_eq!(problem(directory.path(), std::slice::from_ref(&key), None), cut);
    let error = AuditLog::open(&process(directory.path()), &random()).unwrap_err();
    assert!(error.0.contains("records were cut off"), "{error}");
    // Whoever also removes the local checkpoints is found by the one that left the host.
    std::fs::remove_file(directory.path().join("checkpoints.jsonl")).unwrap();
    assert!(verify_directory(directory.path(), std::slice::from_ref(&key), None).unwrap().holds());
    assert_eq!(problem(directory.path(), &[key], Some(&[outside])), cut);
}

#[tokio::test]
async fn a_chain_made_anew_is_found() {
    let old = kept();
    fill(&old.log, 3).await;
    let outside = old.checkpointer.checkpoint().unwrap().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let (log, _) = open(&process(directory.path()));
    for number in 1..=6 {
        log.record(intent(number)).await.unwrap();
    }
    let kind = problem(directory.path(), &[old.key], Some(&[outside]));
    assert_eq!(kind, ProblemKind::CheckpointDiffers);
}

#[tokio::test]
async fn signatures_of_other_keys_and_changed_checkpoints_are_found() {
    let kept = kept();
    fill(&kept.log, 2).await;
    let signed = kept.checkpointer.checkpoint().unwrap().unwrap();
    let other_directory = tempfile::tempdir().unwrap();
    let other = Signer::open_or_create(&other_directory.path().join("key.pk8")).unwrap();
    let directory = kept.directory.path();
    let unknown = ProblemKind::CheckpointKeyUnknown;
    assert_eq!(problem(directory, &[], None), unknown);
    assert_eq!(problem(directory, &[other.public_key().clone()], None), unknown);

    let resigned = other.sign(signed.checkpoint.clone()).unwrap();
    assert_eq!(
        problem(directory, std::slice::from_ref(&kept.key), Some(std::slice::from_ref(&resigned))),
        unknown
    );
    // The right key's name under another key's signature.
    let mut forged = resigned;
    forged.checkpoint.key_id = kept.key.key_id();
    assert_eq!(problem(directory, &[kept.key], Some(&[forged])), ProblemKind::CheckpointForged);
}

#[tokio::test]
async fn goes_on_behind_a_torn_checkpoint() {
    let kept = kept();
    fill(&kept.log, 2).await;
    kept.checkpointer.checkpoint().unwrap().unwrap();
    let Kept { directory, log, checkpointer, key } = kept;
    drop(checkpointer);
    let path = directory.path().join("checkpoints.jsonl");
    let mut content = std::fs::read(&path).unwrap();
    content.extend_from_slice(b"{\"checkpoint\":{\"cha");
    std::fs::write(&path, &content).unwrap();
    let config = process(directory.path());
    let signer = Signer::open_or_create(&config.key_path()).unwrap();
    assert_eq!(signer.public_key(), &key, "the key stays the same");
    let checkpointer = Checkpointer::open(Arc::clone(&log), signer, &config, Arc::new(Still)).unwrap();
    assert_eq!(checkpointer.checkpoint().unwrap(), None, "nothing is new");
    log.record(intent(7)).await.unwrap();
    checkpointer.checkpoint().unwrap().unwrap();
    let report = verify_directory(directory.path(), &[key], None).unwrap();
    assert!(report.holds(), "{report:?}");
    assert_eq!(report.checkpoints, 2);
}

#[test]
fn keys_survive_their_key_set_and_loose_files_are_refused() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("key.pk8");
    let signer = Signer::open_or_create(&path).unwrap();
    let jwks = PublicKey::to_jwks(&[signer.public_key().clone()]).unwrap();
    assert_eq!(jwks["keys"][0]["kid"], signer.public_key().key_id());
    let back = PublicKey::from_jwks(&serde_json::to_vec(&jwks).unwrap()).unwrap();
    assert_eq!(back, [signer.public_key().clone()]);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
    assert!(matches!(Signer::open(&path), Err(SignerError::Permissions(0o640))));
}

#[tokio::test]
async fn the_runner_makes_checkpoints_by_count() {
    let directory = tempfile::tempdir().unwrap();
    let config = AuditConfig {
        checkpoint_records: Some(5),
        checkpoint_seconds: Some(3_600),
        ..process(directory.path())
    };
    let (log, _) = open(&config);
    let signer = Signer::open_or_create(&config.key_path()).unwrap();
    let checkpointer =
        Arc::new(Checkpointer::open(Arc::clone(&log), signer, &config, Arc::new(Still)).unwrap());
    let runner = tokio::spawn(Arc::clone(&checkpointer).run());
    fill(&log, 3).await;
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(10);
    while checkpointer.latest().is_none() {
        assert!(tokio::time::Instant::now() < deadline, "no checkpoint was made");
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    assert_eq!(checkpointer.latest().unwrap().checkpoint.sequence, Sequence(6));
    runner.abort();
}

//! The key of the checkpoints hands over, and each key's word ends there.

use gateway_core::audit::{Handover, ProblemKind, SignedCheckpoint, SignedHandover};

use super::*;

struct Kept {
    directory: tempfile::TempDir,
    config: AuditConfig,
    log: Arc<AuditLog>,
    checkpointer: Checkpointer,
    first: PublicKey,
}

fn open_checkpointer(log: &Arc<AuditLog>, config: &AuditConfig) -> std::io::Result<Checkpointer> {
    let signer = Signer::open_or_create(&config.key_path()).unwrap();
    Checkpointer::open(Arc::clone(log), signer, config, Arc::new(Still))
}

fn kept() -> Kept {
    let directory = tempfile::tempdir().unwrap();
    let config = process(directory.path());
    let (log, _) = open(&config);
    let checkpointer = open_checkpointer(&log, &config).unwrap();
    let first = checkpointer.public_keys()[0].clone();
    Kept { directory, config, log, checkpointer, first }
}

fn handovers(directory: &Path) -> Vec<SignedHandover> {
    let text = std::fs::read_to_string(directory.join("checkpoint-keys.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn problem(directory: &Path, keys: &[PublicKey]) -> ProblemKind {
    verify_directory(directory, keys, None).unwrap().first_problem.unwrap().kind
}

async fn rotated(kept: &Kept) -> (SignedCheckpoint, SignedCheckpoint) {
    fill(&kept.log, 2).await;
    let before = kept.checkpointer.checkpoint().unwrap().unwrap();
    prepare_next_key(&kept.config.key_path()).unwrap();
    assert!(kept.checkpointer.take_next_key().unwrap());
    assert!(!kept.checkpointer.take_next_key().unwrap(), "one key, one handover");
    fill(&kept.log, 2).await;
    (before, kept.checkpointer.checkpoint().unwrap().unwrap())
}

#[tokio::test]
async fn whoever_has_the_first_key_follows_to_the_newest() {
    let kept = kept();
    let (before, after) = rotated(&kept).await;
    assert_ne!(before.checkpoint.key_id, after.checkpoint.key_id);
    assert_eq!(kept.checkpointer.public_keys().len(), 2);
    let keys = std::slice::from_ref(&kept.first);
    let report = verify_directory(kept.directory.path(), keys, Some(&[before, after])).unwrap();
    assert!(report.holds(), "{report:?}");
    let event = Filter { kind: Some(EventKind::AuditKeyRotated), ..Filter::default() };
    let found = kept.log.reader().unwrap().search(&event, Order::NewestFirst, 9).unwrap();
    assert_eq!(found.records[0].event.answer, Some(kept.checkpointer.public_keys()[1].key_id()));
    // And again, over a restart.
    prepare_next_key(&kept.config.key_path()).unwrap();
    let Kept { directory, config, log, checkpointer, first } = kept;
    drop((log, checkpointer));
    let (log, _) = open(&config);
    let checkpointer = open_checkpointer(&log, &config).unwrap();
    assert_eq!(checkpointer.public_keys().len(), 3);
    fill(&log, 1).await;
    checkpointer.checkpoint().unwrap().unwrap();
    let report = verify_directory(directory.path(), &[first], None).unwrap();
    assert!(report.holds(), "{report:?}");
}

#[tokio::test]
async fn a_crash_between_handover_and_exchange_is_finished_at_the_next_start() {
    let kept = kept();
    let path = kept.config.key_path();
    let former = std::fs::read(&path).unwrap();
    rotated(&kept).await;
    let Kept { directory, config, log, checkpointer, first } = kept;
    let next = checkpointer.public_keys()[1].clone();
    drop((log, checkpointer));
    std::fs::rename(&path, path.with_extension("pk8.next")).unwrap();
    std::fs::write(&path, former).unwrap();
    set_private(&path);
    let (log, _) = open(&config);
    let checkpointer = open_checkpointer(&log, &config).unwrap();
    assert_eq!(checkpointer.public_keys(), [first.clone(), next]);
    assert_eq!(handovers(directory.path()).len(), 1, "it is not said twice");
    fill(&log, 1).await;
    checkpointer.checkpoint().unwrap().unwrap();
    assert!(verify_directory(directory.path(), &[first], None).unwrap().holds());
}

fn set_private(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

#[tokio::test]
async fn a_key_that_has_handed_over_signs_no_more() {
    let kept = kept();
    let path = kept.config.key_path();
    let stolen = kept.directory.path().join("stolen.pk8");
    std::fs::copy(&path, &stolen).unwrap();
    let (_, after) = rotated(&kept).await;
    let stolen = Signer::open(&stolen).unwrap();
    let resigned = stolen.sign(after.checkpoint.clone()).unwrap();
    let checkpoints = kept.directory.path().join("checkpoints.jsonl");
    let text = std::fs::read_to_string(&checkpoints).unwrap();
    let (rest, _) = text.trim_end().rsplit_once('\n').unwrap();
    let line = String::from_utf8(resigned.line().unwrap()).unwrap();
    std::fs::write(&checkpoints, format!("{rest}\n{line}")).unwrap();
    let keys = kept.checkpointer.public_keys();
    assert_eq!(problem(kept.directory.path(), &keys[..1]), ProblemKind::CheckpointKeyRetired);
    assert_eq!(problem(kept.directory.path(), &keys), ProblemKind::CheckpointKeyRetired);
}

#[tokio::test]
async fn forged_handovers_are_found() {
    let kept = kept();
    let stolen = kept.directory.path().join("stolen.pk8");
    std::fs::copy(kept.config.key_path(), &stolen).unwrap();
    rotated(&kept).await;
    let first = std::slice::from_ref(&kept.first);
    let path = kept.directory.path().join("checkpoint-keys.jsonl");
    let original = std::fs::read_to_string(&path).unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let other = Signer::open_or_create(&elsewhere.path().join("other.pk8")).unwrap();
    let said = handovers(kept.directory.path())[0].handover.clone();
    let by = |signer: &Signer, handover: Handover| {
        serde_json::to_string(&signer.hand_over(handover).unwrap()).unwrap() + "\n"
    };

    // The file is gone: nobody has said who the second key is.
    std::fs::remove_file(&path).unwrap();
    assert_eq!(problem(kept.directory.path(), first), ProblemKind::CheckpointKeyUnknown);
    // By a key that is nobody's.
    std::fs::write(&path, by(&other, said.clone())).unwrap();
    assert_eq!(problem(kept.directory.path(), first), ProblemKind::HandoverForged);
    // The number after which the first key is silent, raised: its word no longer introduces the second.
    std::fs::write(&path, original.replacen("\"sequence\":", "\"sequence\":1", 1)).unwrap();
    assert_eq!(problem(kept.directory.path(), first), ProblemKind::CheckpointKeyUnknown);
    // A second successor, signed with the stolen former key.
    let stolen = Signer::open(&stolen).unwrap();
    let second = Handover { to: other.public_key().encoded(), ..said };
    std::fs::write(&path, original.clone() + &by(&stolen, second)).unwrap();
    assert_eq!(problem(kept.directory.path(), first), ProblemKind::HandoverForged);
    std::fs::write(&path, "nothing\n").unwrap();
    assert_eq!(problem(kept.directory.path(), first), ProblemKind::HandoverForged);
    std::fs::write(&path, original).unwrap();
    assert!(verify_directory(kept.directory.path(), first, None).unwrap().holds());
}

#[test]
fn there_is_no_next_key_before_the_first() {
    let directory = tempfile::tempdir().unwrap();
    assert!(prepare_next_key(&directory.path().join("key.pk8")).is_err());
}

#[tokio::test]
async fn a_gateway_with_the_former_key_alone_refuses_to_sign() {
    let kept = kept();
    let path = kept.config.key_path();
    let former = std::fs::read(&path).unwrap();
    rotated(&kept).await;
    let Kept { directory: _directory, config, log, checkpointer, .. } = kept;
    drop(checkpointer);
    std::fs::write(&path, former).unwrap();
    let error = open_checkpointer(&log, &config).unwrap_err();
    assert!(error.to_string().contains("handed over"), "{error}");
}

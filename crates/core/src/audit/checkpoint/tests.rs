use super::*;

fn checkpoint() -> Checkpoint {
    Checkpoint {
        chain: ChainId::new([1; 16]),
        sequence: Sequence(7),
        hash: LinkHash::new([2; 32]),
        epoch: Epoch(4),
        time: Timestamp::from_micros(5),
        key_id: "key".to_owned(),
    }
}

#[test]
fn every_field_is_signed() {
    let base = checkpoint().canonical();
    let others = [
        Checkpoint { chain: ChainId::new([0; 16]), ..checkpoint() },
        Checkpoint { sequence: Sequence(8), ..checkpoint() },
        Checkpoint { hash: LinkHash::ZERO, ..checkpoint() },
        Checkpoint { epoch: Epoch(5), ..checkpoint() },
        Checkpoint { time: Timestamp::from_micros(6), ..checkpoint() },
        Checkpoint { key_id: "other".to_owned(), ..checkpoint() },
    ];
    for other in others {
        assert_ne!(other.canonical(), base, "{other:?}");
    }
}

#[test]
fn survives_its_json_line() {
    let signed = checkpoint().sign(|_| [3; 64]);
    let line = signed.line().unwrap();
    assert!(line.starts_with(SignedCheckpoint::PREFIX));
    let back: SignedCheckpoint = serde_json::from_slice(&line).unwrap();
    assert_eq!(back, signed);
    assert!(back.holds(|bytes, signature| bytes == checkpoint().canonical() && signature == [3; 64]));
}

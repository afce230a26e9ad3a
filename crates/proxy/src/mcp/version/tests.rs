use super::*;

#[test]
fn knows_four_revisions_in_two_generations() {
    for (text, generation) in [
        ("2025-03-26", Generation::Legacy),
        ("2025-06-18", Generation::Legacy),
        ("2025-11-25", Generation::Legacy),
        ("2026-07-28", Generation::Modern),
    ] {
        let version = ProtocolVersion::parse(text).expect(text);
        assert_eq!((version.generation(), version.to_string()), (generation, text.to_owned()));
    }
    assert_eq!(ProtocolVersion::SUPPORTED.len(), 4);
}

#[test]
fn refuses_revisions_it_does_not_serve() {
    for text in ["", "2024-11-05", "2026-07-28 ", "2026-07-29", "DRAFT-2026-v1", "2026-7-28"] {
        assert_eq!(ProtocolVersion::parse(text), None, "{text}");
    }
}

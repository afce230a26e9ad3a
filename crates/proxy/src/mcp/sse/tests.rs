use proptest::prelude::*;

use super::*;

fn split(stream: &[u8]) -> Vec<String> {
    split_at(stream, &[])
}

/// Pieces of a stream that arrives in chunks which end at these offsets.
fn split_at(stream: &[u8], ends: &[usize]) -> Vec<String> {
    let mut splitter = EventSplitter::new(1 << 20);
    let mut pieces = Vec::new();
    let mut start = 0;
    for end in ends.iter().copied().chain([stream.len()]) {
        let chunk = Bytes::copy_from_slice(&stream[start..end]);
        pieces.extend(splitter.push(&chunk).expect("within the limit"));
        start = end;
    }
    pieces.extend(splitter.finish());
    pieces.iter().map(|piece| String::from_utf8_lossy(piece).into_owned()).collect()
}

#[test]
fn cuts_after_the_blank_line_in_every_line_ending() {
    assert_eq!(split(b"data: 1\n\nid: 2\ndata: 2\n\n"), ["data: 1\n\n", "id: 2\ndata: 2\n\n"]);
    assert_eq!(split(b"data: 1\r\n\r\ndata: 2\r\n\r\n"), ["data: 1\r\n\r\n", "data: 2\r\n\r\n"]);
    assert_eq!(split(b"data: 1\r\rdata: 2\r\r"), ["data: 1\r\r", "data: 2\r\r"]);
    assert_eq!(split(b"data: 1\n\r\ndata: 2"), ["data: 1\n\r\n", "data: 2"]);
}

#[test]
fn delivers_an_event_without_waiting_for_the_next() {
    for event in ["data: 1\n\n", "data: 1\r\n\r\n", "data: 1\r\r", ": ping\n", ":\r\n"] {
        let mut splitter = EventSplitter::new(100);
        let pieces = splitter.push(&Bytes::from_static(event.as_bytes())).expect("fits");
        assert_eq!(pieces, [event.as_bytes()], "{event:?}");
        assert_eq!(splitter.finish(), None);
    }
}

#[test]
fn passes_comments_through_and_keeps_them_inside_events() {
    assert_eq!(split(b": ping\n\ndata: 1\n\n"), [": ping\n", "\n", "data: 1\n\n"]);
    assert_eq!(split(b"data: 1\n: note\ndata: 2\n\n"), ["data: 1\n: note\ndata: 2\n\n"]);
    assert_eq!(data(b": ping\n"), None);
}

#[test]
fn does_not_copy_an_event_that_arrives_whole() {
    let chunk = Bytes::from_static(b"data: 1\n\ndata: 2\n\n");
    let pieces = EventSplitter::new(100).push(&chunk).expect("fits");
    assert_eq!(pieces[0].as_ptr(), chunk.as_ptr());
}

#[test]
fn refuses_an_event_above_the_limit() {
    let push = |chunks: &[&'static [u8]]| {
        let mut splitter = EventSplitter::new(16);
        chunks.iter().try_for_each(|chunk| splitter.push(&Bytes::from_static(chunk)).map(drop))
    };
    push(&[b"data: 12345678\n\n", b"data: 12345678\n\n"]).expect("16 bytes each");
    let refused = Err(EventTooLarge { limit: 16 });
    assert_eq!(push(&[b"data: 123456789\n\n"]), refused);
    assert_eq!(push(&[b"data: 1234", b"56789\n\n"]), refused);
    assert_eq!(push(&[b"data: 1234567890123456789"]), refused);
}

#[test]
fn joins_data_lines() {
    let joined =
        |event: &'static str| data(event.as_bytes()).map(|text| String::from_utf8_lossy(&text).into_owned());
    assert_eq!(joined("event: m\ndata: {\ndata:  x\r\ndata:}\n\n").as_deref(), Some("{\n x\n}"));
    assert_eq!(joined("data\n\n").as_deref(), Some(""));
    assert_eq!(joined("data:\ndata\n\n").as_deref(), Some("\n"));
    assert_eq!(joined("\u{feff}data: 1\n\n").as_deref(), Some("1"));
    assert_eq!(joined("database: 1\nid: 3\n\n"), None);
    assert_eq!(joined(" data: 1\n\n"), None);
    assert!(matches!(data(b"data: 1\n\n"), Some(Cow::Borrowed(b"1"))), "one line is not copied");
}

#[test]
fn replaces_data_and_keeps_the_other_lines() {
    let event = b"event: message\r\nid: 7\r\ndata: {\r\n: c\r\ndata: }\r\nretry: 5\r\n\r\n";
    let expected = b"event: message\r\nid: 7\r\ndata: {}\r\n: c\r\nretry: 5\r\n\r\n";
    assert_eq!(with_data(event, b"{}"), expected.as_slice());
    assert_eq!(with_data(b"data:1\n\n", b"a\r\nb"), b"data: a\ndata: b\n\n".as_slice());
    assert_eq!(with_data(b": ping\n\n", b"x"), b": ping\n\n".as_slice());
}

fn lines_of_a_stream() -> impl Strategy<Value = Vec<u8>> {
    let line = prop_oneof![
        Just("data: x"),
        Just("data:"),
        Just("data"),
        Just(": c"),
        Just("id: 1"),
        Just("event: e"),
        Just(""),
        Just(""),
        Just("\u{feff}"),
    ];
    let ending = prop_oneof![Just("\n"), Just("\r\n"), Just("\r"), Just("")];
    prop::collection::vec((line, ending), 0..24).prop_map(|parts| {
        parts.iter().flat_map(|(line, ending)| [*line, *ending]).collect::<String>().into_bytes()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2000) })]

    #[test]
    fn cuts_alike_however_the_stream_is_chunked(
        stream in lines_of_a_stream(), cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
    ) {
        let mut ends: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
        ends.sort_unstable();
        let whole = split(&stream);
        prop_assert_eq!(whole.concat().into_bytes(), stream.clone(), "no byte is lost or added");
        prop_assert_eq!(&whole, &split_at(&stream, &ends));
        let each_byte: Vec<usize> = (0..stream.len()).collect();
        prop_assert_eq!(&whole, &split_at(&stream, &each_byte));
    }

    #[test]
    fn sees_the_data_that_a_client_sees(stream in lines_of_a_stream()) {
        let seen: Vec<Vec<u8>> =
            split(&stream).iter().filter_map(|piece| data(piece.as_bytes()).map(Cow::into_owned)).collect();
        prop_assert_eq!(seen, read_as_client(&stream));
    }

    #[test]
    fn reads_back_the_data_it_placed(text in "[a-z \n:]{0,20}") {
        let event = with_data(b"id: 1\ndata: old\ndata: older\n\n", text.as_bytes());
        prop_assert_eq!(data(&event).map(Cow::into_owned), Some(text.into_bytes()));
    }
}

/// The plainest reading of the standard: normalise line ends, split at blank lines.
fn read_as_client(stream: &[u8]) -> Vec<Vec<u8>> {
    let text = String::from_utf8(stream.to_vec()).expect("UTF-8").replace("\r\n", "\n").replace('\r', "\n");
    let mut events = Vec::new();
    for block in text.split("\n\n") {
        let values: Vec<&str> = (block.split('\n').map(|line| line.strip_prefix('\u{feff}').unwrap_or(line)))
            .filter_map(|line| match line.split_once(':') {
                Some(("data", value)) => Some(value.strip_prefix(' ').unwrap_or(value)),
                None if line == "data" => Some(""),
                _ => None,
            })
            .collect();
        if !values.is_empty() {
            events.push(values.join("\n").into_bytes());
        }
    }
    events
}

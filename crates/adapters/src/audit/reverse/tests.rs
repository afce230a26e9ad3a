use super::*;

fn lines(content: &[u8]) -> Vec<String> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), content).unwrap();
    let mut lines = ReverseLines::open(file.path()).unwrap();
    let mut found = Vec::new();
    while let Some(line) = lines.next().unwrap() {
        found.push(String::from_utf8(line).unwrap());
    }
    found
}

#[test]
fn gives_lines_last_first_and_leaves_a_torn_one_out() {
    assert_eq!(lines(b"one\ntwo\nthree\n"), ["three", "two", "one"]);
    assert_eq!(lines(b"one\ntwo\nthr"), ["two", "one"]);
    assert!(lines(b"torn").is_empty());
    assert!(lines(b"").is_empty());
}

#[test]
fn lines_straddle_blocks() {
    let block = usize::try_from(BLOCK).unwrap();
    for edge in [block - 1, block, block + 1, 2 * block + 7] {
        let long = "x".repeat(edge);
        let content = format!("first\n{long}\nlast\n");
        assert_eq!(lines(content.as_bytes()), ["last".to_owned(), long, "first".to_owned()], "{edge}");
    }
}

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE};

use super::encoders::{Choices, KINDS, encode, form};
use super::*;

const VALUES: [&str; 8] = [
    "ghp_0123456789abcdefGHIJKLMNOP",
    "quote\"back\\slash/percent%plus+end",
    "two words and more words",
    "caf\u{e9} \u{1f511} key with unicode",
    "-----BEGIN KEY-----\nMIIB\tx\r\n-----END KEY-----\n",
    "n0123456789abcdefu0041",
    "\\leading and trailing backslash\\",
    "%41%42 looks percent-encoded itself",
];

#[test]
fn every_listed_encoding_is_replaced_as_a_whole() {
    for value in VALUES {
        let needles = needles(&[value.as_bytes()]);
        for kind in 0..KINDS {
            for seed in 0..20 {
                let text = encode(kind, value, &mut Choices::new(seed));
                assert_eq!(
                    scrub(&needles, format!("<{text}>").as_bytes()),
                    format!("<{MARK}>"),
                    "{kind} {text}"
                );
                assert!(needles.contains(text.as_bytes()));
            }
        }
    }
}

#[test]
fn plus_stands_for_a_space_only_where_the_writer_says_so() {
    let value = "two words + more/words";
    let needles = needles(&[value.as_bytes()]);
    let written = form(value, &mut Choices::new(3));
    assert!(written.starts_with("two+words+%2"), "{written}");
    assert_eq!(scrub(&needles, written.as_bytes()), MARK);
    assert_eq!(scrub(&needles, written.replace('%', "\\u0025").as_bytes()), MARK);
    assert_eq!(scrub(&needles, b"two%20words%20+%20more/words"), MARK);
}

#[test]
fn base64_is_found_at_every_alignment_inside_longer_text() {
    let value = "s3cr3t-v\u{e9}lue/with?odd>bytes";
    let needles = needles(&[value.as_bytes()]);
    for lead in 0..7 {
        for trail in 0..7 {
            let joined = [&vec![b'a'; lead][..], value.as_bytes(), &vec![b'z'; trail]].concat();
            for text in [STANDARD.encode(&joined), URL_SAFE.encode(&joined), STANDARD_NO_PAD.encode(&joined)]
            {
                let out = scrub(&needles, text.as_bytes());
                let left = out.replacen(MARK, "", 1);
                assert!(out.contains(MARK), "{lead} {trail} {text}");
                // What stays belongs to the neighbours, but for one shared character at each edge.
                assert!(left.len() <= (lead + trail) * 4 / 3 + 6, "{lead} {trail} {out}");
            }
        }
    }
}

#[test]
fn basic_auth_goes_as_a_whole_and_its_password_alone() {
    let password = Secret::copy_from(b"correct horse battery");
    let source = NeedleSource::BasicAuth { user: "robot", password: &password };
    let needles = Arc::new(Needles::build([source], marker()).unwrap());
    let header = format!("Basic {}", STANDARD.encode("robot:correct horse battery"));
    assert_eq!(scrub(&needles, header.as_bytes()), format!("Basic {MARK}"));
    assert_eq!(scrub(&needles, b"robot:correct horse battery"), format!("robot:{MARK}"));
    assert_eq!(scrub(&needles, b"correct+horse+battery"), MARK);
    let other = format!("Basic {}", STANDARD.encode("someone:correct horse battery"));
    assert!(scrub(&needles, other.as_bytes()).contains(MARK));
}

#[test]
fn previous_versions_are_known_too() {
    let needles = needles(&[b"version-three-0000", b"version-two-000000", b"version-one-000000"]);
    let text = format!("version-one-000000,{},version-three-0000", hex::encode("version-two-000000"));
    assert_eq!(scrub(&needles, text.as_bytes()), format!("{MARK},{MARK},{MARK}"));
}

#[test]
fn of_two_values_that_overlap_nothing_stays() {
    let nested = needles(&[b"abcdefghijklmnop", b"abcdefghijklmnopqrstuvwx"]);
    assert_eq!(scrub(&nested, b"<abcdefghijklmnopqrstuvwx>"), format!("<{MARK}>"));
    assert_eq!(scrub(&nested, b"<abcdefghijklmnopqrst>"), format!("<{MARK}qrst>"));
    let crossing = needles(&[b"aaaaaaaabbbbbbbb", b"bbbbbbbbcccccccc"]);
    assert_eq!(scrub(&crossing, b"<aaaaaaaabbbbbbbbcccccccc>"), format!("<{MARK}>"));
    let inner = needles(&[b"0123456789abcdefghij", b"3456789abcdefghi"]);
    assert_eq!(scrub(&inner, b"<0123456789abcdefghij><3456789abcdefghi>"), format!("<{MARK}><{MARK}>"));
}

#[test]
fn repeats_are_counted_one_by_one() {
    let needles = needles(&[b"0123456789abcdef"]);
    let (out, count) = scrub_chunks(&needles, &[b"0123456789abcdef0123456789abcdef 0123456789abcdef"]);
    assert_eq!((out, count), (format!("{MARK}{MARK} {MARK}"), 3));
    let periodic = super::needles(&[b"abababababababab"]);
    assert_eq!(scrub_chunks(&periodic, &[b"<abababababababababab>"]), (format!("<{MARK}>"), 1));
}

#[test]
fn near_misses_pass_untouched() {
    let needles = needles(&["p\u{e4}ss/word+0123456789".as_bytes()]);
    for text in [
        "p\u{e4}ss/word+012345678",
        "\u{e4}ss/word+0123456789",
        "p\u{e4}ss\\\\ /word+0123456789",
        "p\u{e4}ss/word%2b01234567%38%3",
        "p\\u00e4ss/word+012345678\\u003",
        "P\u{c4}SS/WORD+0123456789",
        "p\u{e4}ss/word 0123456789",
        "\\ud83d\\u0070 \\ud83d \\udd11 \\u12g4 \\x %zz % %% \\",
    ] {
        assert_eq!(scrub(&needles, text.as_bytes()), text);
        assert!(!needles.contains(text.as_bytes()), "{text}");
    }
}

#[test]
fn short_values_lose_only_forms_that_would_hit_ordinary_text() {
    let needles = needles(&[b"pw1"]);
    assert_eq!(scrub(&needles, b"pw1 707731 cHcx"), format!("{MARK} {MARK} cHcx"));
}

#[test]
fn long_values_are_found_in_every_encoding() {
    let value: String = (0..3000_u32).map(|n| char::from(b'!' + (n * n % 89) as u8)).collect();
    let needles = needles(&[value.as_bytes()]);
    for kind in 0..KINDS {
        let text = encode(kind, &value, &mut Choices::new(7));
        let chunks: Vec<&[u8]> = text.as_bytes().chunks(1000).collect();
        assert_eq!(scrub_chunks(&needles, &chunks), (MARK.to_owned(), 1), "{kind}");
    }
}

#[test]
fn values_that_are_no_text_are_found() {
    let value = [0xff, 0x00, 0xfe, 0x80, 0x5c, 0x25, 0x22, 0x0a, 1, 2, 3, 4, 5, 6, 7, 8];
    let needles = needles(&[&value]);
    assert_eq!(scrub(&needles, &value), MARK);
    let percent: String = value.iter().map(|byte| format!("%{byte:02x}")).collect();
    assert_eq!(scrub(&needles, percent.as_bytes()), MARK);
    assert_eq!(scrub(&needles, hex::encode(value).as_bytes()), MARK);
}

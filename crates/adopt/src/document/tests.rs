use proptest::prelude::*;

use super::*;

/// Every text of the tree with the bytes it stands at, as `path=text@raw`.
fn texts(node: &Node, path: &str, source: &str, out: &mut Vec<String>) {
    if let Some(scalar) = node.scalar() {
        let (span, exact) = scalar.span_of(&(0..scalar.text().len()));
        out.push(format!(
            "{path}={}@{}{}",
            scalar.text(),
            source.get(span).unwrap(),
            if exact { "" } else { " (about)" }
        ));
    }
    for (at, item) in node.items().iter().enumerate() {
        texts(item, &format!("{path}[{at}]"), source, out);
    }
    for entry in node.entries() {
        assert!(!entry.key_span.is_empty());
        texts(&entry.node, &format!("{path}.{}", entry.key), source, out);
    }
}

fn read(syntax: Syntax, source: &str) -> Vec<String> {
    let mut out = Vec::new();
    for document in syntax.parse(source, 0).unwrap() {
        texts(&document, "", source, &mut out);
    }
    out
}

#[test]
fn json_with_comments_keeps_every_byte_position() {
    let source = "// first\n{\n  \"a\": \"x\\\"y\", /* b */ \"c\": [\"d\", 1, true,],\n}\n";
    assert_eq!(read(Syntax::Json, source), [".a=x\"y@x\\\"y", ".c[0]=d@d"]);
}

#[test]
fn json_that_is_none_says_where() {
    for (source, at) in
        [("{\"a\" 1}", 5), ("{\"a\": \"b", 7), ("[1 2]", 3), ("", 0), ("{} x", 3), ("{a: 1}", 1)]
    {
        assert_eq!(Syntax::Json.parse(source, 0).err().map(|fault| fault.at), Some(at), "{source}");
    }
    assert!(Syntax::Json.parse(&"[".repeat(100_000), 0).is_err());
}

#[test]
fn toml_texts_of_every_kind_are_found() {
    let source = "# c\n[mcp_servers.\"a b\"]\nurl = \"https://x/\\u0041\"\nargs = ['p', \"q\"]\nenv = { K = \"v\" }\nt = \"\"\"\nz\"\"\"\n";
    let mut found = read(Syntax::Toml, source);
    found.sort();
    assert_eq!(
        found,
        [
            ".mcp_servers.a b.args[0]=p@p",
            ".mcp_servers.a b.args[1]=q@q",
            ".mcp_servers.a b.env.K=v@v",
            ".mcp_servers.a b.t=z@z",
            ".mcp_servers.a b.url=https://x/A@https://x/\\u0041",
        ]
    );
    assert!(Syntax::Toml.parse("a = \"b", 0).is_err());
}

#[test]
fn yaml_texts_of_every_style_are_found() {
    let source = "# c\na: plain text  # c\nb: 'it''s'\nc: \"x\\ty\"\nd: [e, {f: g}]\n---\nh: i\n";
    assert_eq!(
        read(Syntax::Yaml, source),
        [".a=plain text@plain text", ".b=it's@it''s", ".c=x\ty@x\\ty", ".d[0]=e@e", ".d[1].f=g@g", ".h=i@i"]
    );
    let fault = Syntax::Yaml.parse("a: [b\nc: d\n", 0).err().unwrap();
    assert!(fault.at > 0);
}

#[test]
fn env_lines_are_read_as_dotenv_reads_them() {
    let source = "# c\r\nA=1 2 # c\r\nexport B=\"x\\\"y\" # c\r\nC='a#b'\nD=\nnot a line\n E = f\nG=\"two\nlines\"\nH=h#i\n";
    assert_eq!(
        read(Syntax::Env, source),
        [
            ".A=1 2@1 2",
            ".B=x\"y@x\\\"y",
            ".C=a#b@a#b",
            ".D=@",
            ".E=f@f",
            ".G=two\nlines@two\nlines",
            ".H=h#i@h#i"
        ]
    );
}

#[test]
fn a_part_of_an_escaped_text_leads_to_its_own_bytes() {
    let source = r#"{"a": "Bearer \u006bey\/1"}"#;
    let documents = Syntax::Json.parse(source, 0).unwrap();
    let scalar = documents[0].get("a").unwrap().scalar().unwrap();
    assert_eq!(scalar.text(), "Bearer key/1");
    let (span, exact) = scalar.span_of(&(7..12));
    assert_eq!((source.get(span).unwrap(), exact), (r"\u006bey\/1", true));
}

proptest! {
    #[test]
    fn no_text_breaks_a_reader(source in "[\\[\\]{}\",:a=#'\\\\\n /*\\-\u{e9}\u{1f600}]{0,60}") {
        for syntax in [Syntax::Json, Syntax::Toml, Syntax::Yaml, Syntax::Env] {
            let Ok(documents) = syntax.parse(&source, 0) else { continue };
            for document in documents {
                texts_in_bounds(&document, &source)?;
            }
        }
    }
}

fn texts_in_bounds(node: &Node, source: &str) -> Result<(), TestCaseError> {
    if let Some(scalar) = node.scalar() {
        let (span, _) = scalar.span_of(&(0..scalar.text().len()));
        prop_assert!(source.get(span).is_some());
    }
    let mut below = node.items().iter().chain(node.entries().iter().map(|entry| &entry.node));
    below.try_for_each(|node| texts_in_bounds(node, source))
}

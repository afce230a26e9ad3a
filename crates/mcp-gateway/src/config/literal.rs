//! Finds values that are plainly secrets, wherever they stand: passwords in URLs, and tokens of the
//! well-known kinds. A safety net beside the types, which have no field for a secret.

use url::Url;

use super::issue::{Findings, IssueCode};
use super::yaml::Node;

/// How the tokens of well-known issuers begin.
const TOKEN_PREFIXES: [&str; 25] = [
    "ghp_",
    "gho_",
    "ghu_",
    "ghs_",
    "ghr_",
    "github_pat_",
    "glpat-",
    "hvs.",
    "hvb.",
    "s.hvs",
    "sk-",
    "sk_live_",
    "rk_live_",
    "xoxb-",
    "xoxp-",
    "xapp-",
    "AKIA",
    "ASIA",
    "AIza",
    "ya29.",
    "npm_",
    "pypi-",
    "dop_v1_",
    "mcpgw_",
    "mcpgwr_",
];

/// Looks at every text of the document.
pub(super) fn find(document: &Node, findings: &mut Findings) {
    document.visit(&mut |node| {
        let Some(text) = node.text() else { return };
        if text.split(|c: char| c.is_whitespace() || matches!(c, '"' | '\'')).any(is_secret) || is_key(text) {
            findings
                .add(node.place, IssueCode::LiteralSecret, "this looks like a secret value")
                .hint("put it into a secret store or a file, and refer to that: `store://path#field`");
        }
    });
}

fn is_secret(word: &str) -> bool {
    let token = word.len() >= 16 && TOKEN_PREFIXES.iter().any(|prefix| word.starts_with(prefix));
    let web_token = word.len() >= 40 && word.starts_with("eyJ") && word.matches('.').count() == 2;
    let password = word.contains('@') && Url::parse(word).is_ok_and(|url| url.password().is_some());
    token || web_token || password
}

fn is_key(text: &str) -> bool {
    text.contains("-----BEGIN") && text.contains("PRIVATE KEY")
}

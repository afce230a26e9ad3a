//! The formats in which issuers publish their tokens, so that scanners can find them.
//!
//! Written by hand from the issuers' own pages; the last column says whose. A prefix alone proves
//! nothing: the rest must have the length and the characters, and must not be a placeholder.

use std::ops::Range;

use crate::value::{bits, is_placeholder, is_word};

/// Which characters follow a prefix.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Charset {
    Hex,
    /// Capitals and the digits 2 to 7.
    Base32,
    Alphanumeric,
    /// Letters, digits, `_` and `-`.
    Base64Url,
    /// Those, and dots.
    Dotted,
    /// Letters, digits, `+`, `/`, `=`, `_` and `-`.
    Base64,
}

/// One format.
struct Format {
    prefix: &'static str,
    kind: &'static str,
    charset: Charset,
    /// The fewest characters behind the prefix.
    least: usize,
}

const fn of(prefix: &'static str, kind: &'static str, charset: Charset, least: usize) -> Format {
    Format { prefix, kind, charset, least }
}

use Charset::{Alphanumeric, Base32, Base64, Base64Url, Dotted, Hex};

/// Where two prefixes fit, the longer one is meant.
const FORMATS: &[Format] = &[
    // docs.github.com, "About authentication to GitHub", token formats
    of("ghp_", "GitHub token", Alphanumeric, 36),
    of("gho_", "GitHub OAuth token", Alphanumeric, 36),
    of("ghu_", "GitHub user token", Alphanumeric, 36),
    of("ghs_", "GitHub app token", Dotted, 36),
    of("ghr_", "GitHub refresh token", Alphanumeric, 36),
    of("github_pat_", "GitHub fine-grained token", Base64Url, 60),
    // docs.gitlab.com, "Token overview", token prefixes
    of("glpat-", "GitLab token", Dotted, 20),
    of("gldt-", "GitLab deploy token", Dotted, 20),
    of("glrt-", "GitLab runner token", Dotted, 20),
    of("glcbt-", "GitLab job token", Dotted, 20),
    of("glptt-", "GitLab trigger token", Dotted, 20),
    of("glsoat-", "GitLab SCIM token", Dotted, 20),
    // docs.slack.dev, "Tokens"
    of("xoxb-", "Slack bot token", Base64Url, 20),
    of("xoxp-", "Slack user token", Base64Url, 20),
    of("xoxa-", "Slack token", Base64Url, 20),
    of("xoxe-", "Slack refresh token", Base64Url, 20),
    of("xoxs-", "Slack session token", Base64Url, 20),
    of("xapp-", "Slack app token", Base64Url, 20),
    // platform.openai.com, API keys; docs.anthropic.com, API keys
    of("sk-", "API key of a model provider", Base64Url, 20),
    of("sk-proj-", "OpenAI key", Base64Url, 20),
    of("sk-svcacct-", "OpenAI key", Base64Url, 20),
    of("sk-ant-", "Anthropic key", Base64Url, 20),
    of("sk-or-", "OpenRouter key", Base64Url, 20),
    // docs.aws.amazon.com, "IAM identifiers", unique id prefixes
    of("AKIA", "AWS access key ID", Base32, 16),
    of("ASIA", "AWS temporary access key ID", Base32, 16),
    of("ABSK", "AWS Bedrock key", Base64, 40),
    // cloud.google.com, "API keys"; developers.google.com, OAuth 2.0
    of("AIza", "Google API key", Base64Url, 35),
    of("ya29.", "Google access token", Dotted, 20),
    of("GOCSPX-", "Google client secret", Base64Url, 24),
    // docs.stripe.com, "API keys"
    of("sk_live_", "Stripe key", Alphanumeric, 16),
    of("sk_test_", "Stripe test key", Alphanumeric, 16),
    of("rk_live_", "Stripe restricted key", Alphanumeric, 16),
    of("rk_test_", "Stripe restricted test key", Alphanumeric, 16),
    of("whsec_", "webhook secret", Base64, 24),
    // docs.npmjs.com; pypi.org/help; guides.rubygems.org; docs.docker.com; crates.io
    of("npm_", "npm token", Alphanumeric, 36),
    of("pypi-", "PyPI token", Base64Url, 50),
    of("rubygems_", "RubyGems key", Hex, 40),
    of("dckr_pat_", "Docker token", Base64Url, 24),
    // docs.digitalocean.com, "API tokens"
    of("dop_v1_", "DigitalOcean token", Hex, 60),
    of("doo_v1_", "DigitalOcean OAuth token", Hex, 60),
    of("dor_v1_", "DigitalOcean refresh token", Hex, 60),
    // developer.hashicorp.com, "Tokens", token prefixes
    of("hvs.", "Vault token", Base64Url, 20),
    of("hvb.", "Vault batch token", Base64Url, 20),
    of("hvr.", "Vault recovery token", Base64Url, 20),
    // docs.sendgrid.com; huggingface.co/docs; docs.databricks.com; shopify.dev
    of("SG.", "SendGrid key", Dotted, 60),
    of("hf_", "Hugging Face token", Alphanumeric, 30),
    of("dapi", "Databricks token", Hex, 32),
    of("shpat_", "Shopify token", Hex, 32),
    of("shpss_", "Shopify secret", Hex, 32),
    // linear.app, developers.notion.com, airtable.com, figma.com, id.atlassian.com
    of("lin_api_", "Linear key", Alphanumeric, 32),
    of("ntn_", "Notion token", Alphanumeric, 40),
    of("secret_", "Notion token", Alphanumeric, 40),
    of("pat", "Airtable token", Dotted, 78),
    of("figd_", "Figma token", Base64Url, 36),
    of("ATATT3", "Atlassian token", Base64, 60),
    // grafana.com, learning.postman.com, docs.newrelic.com
    of("glsa_", "Grafana token", Base64Url, 32),
    of("glc_", "Grafana Cloud token", Base64, 32),
    of("PMAK-", "Postman key", Base64Url, 50),
    of("NRAK-", "New Relic key", Alphanumeric, 27),
    // supabase.com, docs.doppler.com, pulumi.com, tailscale.com, replicate.com, groq, x.ai, perplexity
    of("sbp_", "Supabase token", Hex, 40),
    of("dp.pt.", "Doppler token", Alphanumeric, 40),
    of("pul-", "Pulumi token", Hex, 40),
    of("tskey-", "Tailscale key", Base64Url, 20),
    of("r8_", "Replicate token", Alphanumeric, 37),
    of("gsk_", "Groq key", Alphanumeric, 40),
    of("xai-", "xAI key", Alphanumeric, 60),
    of("pplx-", "Perplexity key", Alphanumeric, 40),
    of("tvly-", "Tavily key", Base64Url, 24),
    of("AGE-SECRET-KEY-1", "age key", Alphanumeric, 50),
    // this gateway's own: docs/identity.md, docs/operators.md, docs/login.md
    of("mcpgw_", "agent token of this gateway", Base64Url, 20),
    of("mcpgwop_", "operator token of this gateway", Base64Url, 20),
    of("mcpgwr_", "refresh token of this gateway", Base64Url, 20),
    // RFC 7519: a header and a body that begin with `{"`
    of("eyJ", "JSON Web Token", Dotted, 40),
];

impl Charset {
    const fn has(self, byte: u8) -> bool {
        match self {
            Self::Hex => byte.is_ascii_hexdigit(),
            Self::Base32 => matches!(byte, b'A'..=b'Z' | b'2'..=b'7'),
            Self::Alphanumeric => byte.is_ascii_alphanumeric(),
            Self::Base64Url => is_word(byte) || byte == b'-',
            Self::Dotted => is_word(byte) || matches!(byte, b'-' | b'.'),
            Self::Base64 => is_word(byte) || matches!(byte, b'-' | b'+' | b'/' | b'='),
        }
    }
}

/// Every token of a known format in the text: its bytes and its kind.
pub(crate) fn find(text: &str) -> Vec<(Range<usize>, &'static str)> {
    let mut found = Vec::new();
    let bytes = text.as_bytes();
    let mut before = b' ';
    let mut at = 0;
    while let Some(byte) = bytes.get(at).copied() {
        let begins = !is_word(before) && byte.is_ascii_alphabetic();
        before = byte;
        match begins.then(|| at_start(text, at)).flatten() {
            Some((end, kind)) => {
                found.push((at..end, kind));
                before = b'_';
                at = end;
            }
            None => at = at.saturating_add(1),
        }
    }
    found
}

/// The kind of a value that is a token from its first to its last byte.
pub(crate) fn kind(value: &str) -> Option<&'static str> {
    at_start(value, 0).filter(|(end, _)| *end == value.len()).map(|(_, kind)| kind)
}

fn at_start(text: &str, at: usize) -> Option<(usize, &'static str)> {
    let rest = text.get(at..)?;
    let fitting = FORMATS.iter().filter(|format| rest.starts_with(format.prefix));
    let format = fitting.max_by_key(|format| format.prefix.len())?;
    let body = rest.get(format.prefix.len()..)?;
    let length = body.bytes().take_while(|byte| format.charset.has(*byte)).count();
    // A sentence may end behind a token.
    let body = body.get(..length)?.trim_end_matches(['.', '-', '=']);
    let body = if format.charset == Base64 { rest.get(format.prefix.len()..)?.get(..length)? } else { body };
    let next = rest.as_bytes().get(format.prefix.len().saturating_add(length));
    let ends = next.is_none_or(|byte| !is_word(*byte));
    let jwt = format.prefix != "eyJ" || body.matches('.').count() == 2 && body.contains(".eyJ");
    let whole = rest.get(..format.prefix.len().saturating_add(body.len()))?;
    let real = body.len() >= format.least && body.len() <= 4_096 && bits(body) >= 2.8 && is_mixed(body);
    (real && ends && jwt && !is_placeholder(whole)).then_some((at.saturating_add(whole.len()), format.kind))
}

/// Not words joined by dashes: a digit, or both cases in one word.
fn is_mixed(body: &str) -> bool {
    let digit = body.bytes().any(|byte| byte.is_ascii_digit());
    let cases = body.bytes().any(|byte| byte.is_ascii_lowercase())
        && body.bytes().any(|byte| byte.is_ascii_uppercase());
    let longest = body.split(['-', '_', '.']).map(str::len).max().unwrap_or(0);
    (digit || cases) && longest >= 10 || !body.bytes().any(|byte| byte.is_ascii_lowercase())
}

/// Private keys in PEM form (RFC 7468), from the first dash to the last; also where their line breaks are
/// escaped.
pub(crate) fn private_keys(text: &str) -> Vec<Range<usize>> {
    const BEGIN: &str = "-----BEGIN ";
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(start) = text.get(at..).and_then(|rest| rest.find(BEGIN)).map(|by| at.saturating_add(by)) {
        at = start.saturating_add(BEGIN.len());
        let rest = text.get(at..).unwrap_or_default();
        let label = rest.split("-----").next().unwrap_or_default();
        if !label.ends_with("PRIVATE KEY") || label.len() > 40 {
            continue;
        }
        let end = format!("-----END {label}-----");
        let Some(length) = rest.find(&end) else { continue };
        let body = rest.get(label.len().saturating_add(5)..length).unwrap_or_default();
        let stop = at.saturating_add(length).saturating_add(end.len());
        if body.len() >= 40 && !body.contains("...") {
            found.push(start..stop);
        }
        at = stop;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Random looking, and made here, so that no scanner takes this file for a leak.
    fn body(length: usize) -> String {
        let letters = "aB3xK9mQ2vT7nZ4cR8wY5hL1pJ6dF0gS";
        letters.chars().cycle().take(length).collect()
    }

    #[test]
    fn every_format_is_found_in_running_text_and_ends_where_it_ends() {
        for format in FORMATS {
            let mut rest = body(format.least.max(40));
            rest = match format.charset {
                Hex => rest.bytes().map(|byte| format!("{:x}", byte % 16)).collect(),
                Base32 => rest.to_uppercase().replace(['0', '1', '8', '9'], "Q"),
                _ => rest,
            };
            if format.prefix == "eyJ" {
                rest = format!("{}.eyJ{}.{}", body(20), body(20), body(30));
            }
            let token = format!("{}{rest}", format.prefix);
            let text = format!("see '{token}', then");
            let found = find(&text);
            assert_eq!(found.len(), 1, "{}", format.prefix);
            assert_eq!(text.get(found[0].0.clone()).unwrap(), token, "{}", format.prefix);
            assert_eq!(kind(&token), Some(found[0].1));
        }
    }

    #[test]
    fn words_and_placeholders_with_a_prefix_are_left_alone() {
        for text in [
            "sk-learn-classification-pipeline-helper",
            "task-runner-configuration-file",
            "ghp_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
            "npm_config_registry_of_the_company_for_all",
            "secret_manager_client_for_the_whole_company_x",
            "AKIAIOSFODNN7EXAMPLE",
            "eyJhbGciOiJub25lIn0",
            "path_to_the_file",
            "patterns.are.dotted.words.that.go.on.and.on.and.on.and.on.and.on.for.a.very.long.while.indeed.yes",
        ] {
            assert!(find(text).is_empty(), "{text}");
        }
    }

    #[test]
    fn private_keys_are_found_with_real_and_escaped_line_breaks() {
        let label = "RSA PRIVATE KEY";
        for line in ["\n", "\\n"] {
            let key = format!("-----BEGIN {label}-----{line}{}{line}-----END {label}-----", body(64));
            let text = format!("x = \"{key}\"");
            let found = private_keys(&text);
            assert_eq!(
                found.iter().map(|span| text.get(span.clone()).unwrap()).collect::<Vec<_>>(),
                [key.as_str()]
            );
        }
        assert!(private_keys("-----BEGIN PUBLIC KEY-----\nabc\n-----END PUBLIC KEY-----").is_empty());
        assert!(private_keys("-----BEGIN PRIVATE KEY-----\n...\n-----END PRIVATE KEY-----").is_empty());
    }
}

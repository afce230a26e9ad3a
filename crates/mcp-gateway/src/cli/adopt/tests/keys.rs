//! Keys as their issuers would make them, made here: no key that looks real stands in any file of ours.

/// A generator of reproducible noise (SplitMix64).
pub(super) struct Noise(u64);

impl Noise {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn of(&mut self, letters: &str, length: usize) -> String {
        let letters: Vec<char> = letters.chars().collect();
        let count = u64::try_from(letters.len()).unwrap();
        (0..length).map(|_| letters[usize::try_from(self.next() % count).unwrap()]).collect()
    }
}

const ALPHANUMERIC: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
const BASE64URL: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const HEX: &str = "0123456789abcdef";

/// A fresh key of a kind.
pub(super) fn key(kind: &str, noise: &mut Noise) -> String {
    let mut random =
        |prefix: &str, letters: &str, length: usize| format!("{prefix}{}", noise.of(letters, length));
    match kind {
        "github" => random("ghp_", ALPHANUMERIC, 36),
        "github-fine" => random("github_pat_", ALPHANUMERIC, 82),
        "gitlab" => random("glpat-", ALPHANUMERIC, 20),
        "slack" => format!("{}-{}", random("xoxb-", "0123456789", 12), noise.of(ALPHANUMERIC, 24)),
        "openai" => random("sk-proj-", ALPHANUMERIC, 48),
        "anthropic" => random("sk-ant-api03-", BASE64URL, 93),
        "aws-id" => random("AKIA", "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", 16),
        "google" => random("AIza", BASE64URL, 34) + "x",
        "stripe" => random("sk_live_", ALPHANUMERIC, 24),
        "npm" => random("npm_", ALPHANUMERIC, 36),
        "hf" => random("hf_", ALPHANUMERIC, 34),
        "notion" => random("ntn_", ALPHANUMERIC, 46),
        "linear" => random("lin_api_", ALPHANUMERIC, 40),
        "sendgrid" => format!("{}.{}", random("SG.", ALPHANUMERIC, 22), noise.of(ALPHANUMERIC, 43)),
        "gateway" => random("mcpgw_", ALPHANUMERIC, 48),
        "hex32" => random("", HEX, 32),
        "hex64" => random("", HEX, 64),
        "base62" => random("", ALPHANUMERIC, 32),
        "base64url" => random("", ALPHANUMERIC, 42) + "a",
        "password" => format!("{}!7{}", random("", ALPHANUMERIC, 8), noise.of(ALPHANUMERIC, 6)),
        // JSON has to escape it.
        "awkward" => format!("{}\"\\/{}", random("", ALPHANUMERIC, 14), noise.of(ALPHANUMERIC, 14)),
        "uuid" => {
            let parts: Vec<String> = [8, 4, 4, 4, 12].iter().map(|length| noise.of(HEX, *length)).collect();
            parts.join("-")
        }
        "jwt" => format!(
            "eyJ{}.eyJ{}.{}",
            noise.of(ALPHANUMERIC, 33),
            noise.of(ALPHANUMERIC, 60),
            noise.of(ALPHANUMERIC, 43)
        ),
        "pem" => {
            let label = "PRIVATE KEY";
            format!("-----BEGIN {label}-----\n{}\n-----END {label}-----", noise.of(ALPHANUMERIC, 64))
        }
        other => panic!("no kind {other}"),
    }
}

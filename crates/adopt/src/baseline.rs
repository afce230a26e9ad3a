//! The list of findings that are known and tolerated for now.
//!
//! The file is committed, so it must give nothing away. A value that nobody can guess is remembered by a
//! keyed digest (the key is in the file: it only keeps digests of different files apart); a value that
//! somebody could guess is remembered by its place alone.

use std::collections::HashMap;

use gateway_core::secret::{Fingerprint, FingerprintKey};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::finding::Finding;

/// Known findings.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Baseline {
    version: u32,
    /// 16 random bytes, hexadecimal.
    salt: String,
    findings: Vec<Known>,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Known {
    file: String,
    rule: String,
    place: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    digest: Option<Fingerprint>,
}

/// Why a text is no baseline. Never repeats the text.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BaselineError {
    /// Not the JSON that was written.
    #[error("it is not a baseline that `--write-baseline` wrote (line {line})")]
    Malformed {
        /// The line.
        line: usize,
    },
    /// Of another version of this program.
    #[error("it is of version {0}, and this program reads version 1")]
    Version(u32),
    /// The salt is not 16 bytes.
    #[error("its salt is not 32 hexadecimal digits")]
    Salt,
}

/// Findings, told apart by a baseline.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Split {
    /// For each finding, whether it is known.
    pub known: Vec<bool>,
    /// How many of the baseline are gone.
    pub gone: usize,
}

impl Split {
    /// How many are new.
    #[must_use]
    pub fn new_count(&self) -> usize {
        self.known.iter().filter(|known| !**known).count()
    }
}

const VERSION: u32 = 1;

impl Baseline {
    /// Remembers these findings.
    #[must_use]
    pub fn of(findings: &[Finding], salt: [u8; 16]) -> Self {
        let salt = hex::encode(salt);
        let findings = findings.iter().map(|finding| known(finding, &salt)).collect();
        Self { version: VERSION, salt, findings }
    }

    /// Reads what [`Baseline::to_json`] wrote.
    ///
    /// # Errors
    /// It is not that.
    pub fn parse(text: &str) -> Result<Self, BaselineError> {
        let read: Self =
            serde_json::from_str(text).map_err(|error| BaselineError::Malformed { line: error.line() })?;
        if read.version != VERSION {
            return Err(BaselineError::Version(read.version));
        }
        let mut salt = [0_u8; 16];
        hex::decode_to_slice(&read.salt, &mut salt).map_err(|_| BaselineError::Salt)?;
        Ok(read)
    }

    /// The file's text.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).unwrap_or_default();
        text.push('\n');
        text
    }

    /// Tells known findings from new ones. Each entry knows one finding.
    #[must_use]
    pub fn split(&self, findings: &[Finding]) -> Split {
        let mut left: HashMap<&Known, usize> = HashMap::new();
        for entry in &self.findings {
            let count = left.entry(entry).or_default();
            *count = count.saturating_add(1);
        }
        let known = findings
            .iter()
            .map(|finding| match left.get_mut(&known(finding, &self.salt)) {
                Some(count) if *count > 0 => {
                    *count = count.saturating_sub(1);
                    true
                }
                _ => false,
            })
            .collect();
        Split { known, gone: left.values().sum() }
    }
}

fn known(finding: &Finding, salt: &str) -> Known {
    let digest = finding.strong.then(|| finding.secret.fingerprint(&key(salt, finding.rule.id())));
    Known { file: finding.file.clone(), rule: finding.rule.id().to_owned(), place: place(finding), digest }
}

fn key(salt: &str, rule: &str) -> FingerprintKey {
    let digest = Sha256::new().chain_update("adopt baseline\0").chain_update(salt).chain_update([0]);
    FingerprintKey::new(digest.chain_update(rule).finalize().into())
}

/// The place of a finding, without lines: it stays the same when lines move.
pub(crate) fn place(finding: &Finding) -> String {
    match (finding.place.path.as_str(), finding.place.slot.name()) {
        ("", Some(name)) => name.to_owned(),
        (path, _) => path.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scan;

    const KEY: &str = "q7Zk29fLmP0xW4tR8vN1bC5y";
    const OTHER: &str = "Zt81kq0PLm22vXb7Jd5Rc9Wn";

    fn findings(text: &str) -> Vec<Finding> {
        scan("a/.env", text.as_bytes()).findings
    }

    #[test]
    fn known_findings_stay_known_when_lines_move_and_new_values_are_new() {
        let before = findings(&format!("API_KEY={KEY}\nDB_PASSWORD=hunt3r2you\n"));
        let baseline = Baseline::of(&before, [5; 16]);
        let text = baseline.to_json();
        assert!(!text.contains(KEY) && !text.contains("hunt3r2you"));
        let read = Baseline::parse(&text).unwrap();
        assert_eq!(read, baseline);
        let moved = findings(&format!("\n\nDB_PASSWORD=hunt3r2you\n# c\nAPI_KEY={KEY}\n"));
        assert_eq!(read.split(&moved), Split { known: vec![true, true], gone: 0 });
        let replaced = findings(&format!("API_KEY={OTHER}\n"));
        assert_eq!(read.split(&replaced), Split { known: vec![false], gone: 2 });
    }

    #[test]
    fn a_value_that_can_be_guessed_leaves_no_digest() {
        let baseline = Baseline::of(&findings(&format!("DB_PASSWORD=hunt3r2you\nAPI_KEY={KEY}\n")), [5; 16]);
        let digests: Vec<bool> = baseline.findings.iter().map(|entry| entry.digest.is_some()).collect();
        assert_eq!(digests, [false, true]);
    }

    #[test]
    fn an_entry_knows_one_finding_only() {
        let one = findings(&format!("API_KEY={KEY}\n"));
        let two = findings(&format!("API_KEY={KEY}\nAPI_KEY={KEY}\n"));
        assert_eq!(Baseline::of(&one, [1; 16]).split(&two).new_count(), 1);
    }

    #[test]
    fn what_is_no_baseline_is_refused() {
        assert_eq!(Baseline::parse("{").unwrap_err(), BaselineError::Malformed { line: 1 });
        let version = r#"{"version": 2, "salt": "", "findings": []}"#;
        assert_eq!(Baseline::parse(version).unwrap_err(), BaselineError::Version(2));
        let salt = r#"{"version": 1, "salt": "00", "findings": []}"#;
        assert_eq!(Baseline::parse(salt).unwrap_err(), BaselineError::Salt);
        let field = r#"{"version": 1, "salt": "", "findings": [], "value": "x"}"#;
        assert!(Baseline::parse(field).is_err());
    }
}

//! `audit` in `gateway.yaml`.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::sink::{HttpSinkConfig, SinkConfig};

/// When a record counts as written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Durability {
    /// The operating system has it: survives `kill -9`, not a power loss.
    Process,
    /// The disk has it, through a sync shared with its neighbours: survives a power loss.
    #[default]
    Fsync,
}

/// The evidence's configuration.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuditConfig {
    /// Where the segments are; one gateway process at a time.
    pub directory: PathBuf,
    /// When a record counts as written. Default `fsync`.
    #[serde(default)]
    pub durability: Durability,
    /// Size in bytes at which a new segment begins. Default 64 MiB, at least 4 KiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub segment_bytes: Option<u64>,
    /// Free space in bytes below which the alarm is on. Default 256 MiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reserve_bytes: Option<u64>,
    /// The longest time in seconds before new records get a signed checkpoint. Default 10.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint_seconds: Option<u64>,
    /// The number of new records that get a signed checkpoint at once. Default 10,000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint_records: Option<u64>,
    /// The file of the key that signs checkpoints. Default `checkpoint-key.pk8` in the directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_file: Option<PathBuf>,
    /// A webhook, written as before there could be several sinks; the same as one entry of `sinks`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sink: Option<HttpSinkConfig>,
    /// Where records and checkpoints are sent, off the host.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sinks: Vec<SinkConfig>,
    /// When sealed segments are removed; never where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention: Option<RetentionConfig>,
}

/// How long sealed segments stay. A segment goes where either limit says so.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RetentionConfig {
    /// Days after a segment's last record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub days: Option<u64>,
    /// Bytes in all segments, beyond which the oldest go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_bytes: Option<u64>,
    /// The directory that removed segments are moved to, with what proves them; deleted where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub archive: Option<PathBuf>,
}

impl AuditConfig {
    /// The defaults, in this directory.
    pub fn new(directory: impl Into<PathBuf>, durability: Durability) -> Self {
        Self {
            directory: directory.into(),
            durability,
            segment_bytes: None,
            reserve_bytes: None,
            checkpoint_seconds: None,
            checkpoint_records: None,
            key_file: None,
            sink: None,
            retention: None,
            sinks: Vec::new(),
        }
    }

    /// Every sink, however it is written.
    pub fn every_sink(&self) -> Vec<SinkConfig> {
        self.sink.clone().map(SinkConfig::Webhook).into_iter().chain(self.sinks.iter().cloned()).collect()
    }

    pub(super) fn segment_limit(&self) -> u64 {
        self.segment_bytes.unwrap_or(64 * 1024 * 1024).max(4 * 1024)
    }

    pub(super) fn reserve(&self) -> u64 {
        self.reserve_bytes.unwrap_or(256 * 1024 * 1024)
    }

    pub(super) fn checkpoint_every(&self) -> Duration {
        Duration::from_secs(self.checkpoint_seconds.unwrap_or(10).max(1))
    }

    pub(super) fn checkpoint_after(&self) -> u64 {
        self.checkpoint_records.unwrap_or(10_000).max(1)
    }

    /// The file of the key that signs checkpoints.
    pub fn key_path(&self) -> PathBuf {
        self.key_file.clone().unwrap_or_else(|| self.directory.join("checkpoint-key.pk8"))
    }
}

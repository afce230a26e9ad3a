//! The phases of a run, in order.

use std::rc::Rc;
use std::time::Duration;

use gateway_bench::Failure;
use gateway_bench::process::Usage;
use tokio::time::Instant;

use crate::Arguments;
use crate::board::Board;
use crate::control::{Control, Standing};
use crate::fleet::Fleet;
use crate::open::Door;
use crate::report::{Latency, Report};

/// Streams opened and closed before anything is measured.
const WARMUP: usize = 64;
/// Events sent to one stream each, and to all streams.
const SINGLE: usize = 200;
const BROADCASTS: usize = 3;
/// How long nothing may move until a flood counts as held back.
const STILL: Duration = Duration::from_secs(2);
/// Bytes of one event of a flood, its frame aside.
const FLOOD_EVENT: u64 = 16 * 1024;
/// How long memory may take to go back.
const GIVING_BACK: Duration = Duration::from_secs(10);
const PATIENCE: Duration = Duration::from_secs(60);

struct Run<'a> {
    arguments: &'a Arguments,
    board: Rc<Board>,
    control: Control,
    doors: Vec<Door>,
    report: Report,
}

/// Opens, checks, floods, closes and opens again.
///
/// # Errors
/// What kept the run from being made; what was found wrong stands in the report.
pub(crate) async fn run(arguments: &Arguments) -> Result<Report, Failure> {
    let control = Control::connect(arguments.upstream).await?;
    let (board, doors) = (Rc::new(Board::default()), doors(arguments)?);
    let report = Report { streams: arguments.streams, flooded: arguments.flooded, ..Report::default() };
    let mut run = Run { arguments, board, control, doors, report };
    let (warm, _) = Fleet::open(&run.doors, WARMUP, &run.board).await?;
    run.close(warm).await?;
    run.report.rss_before_kib = run.usage()?.rss_kib();
    let fleet = run.open().await?;
    run.events(&fleet).await?;
    run.rest().await?;
    run.flood(&fleet).await?;
    run.report.close_seconds = run.close(fleet).await?;
    run.report.rss_after_kib = run.given_back().await?;
    let (again, _) = Fleet::open(&run.doors, arguments.streams, &run.board).await?;
    run.report.rss_again_kib = run.usage()?.rss_kib();
    run.close(again).await?;
    let most = run.report.rss_open_kib.max(run.report.rss_used_kib).max(run.report.rss_again_kib);
    let grown = most.saturating_sub(run.report.rss_before_kib);
    run.report.kib_per_stream = ratio(grown, arguments.streams);
    run.report.failures = run.board.faults();
    run.report.comments = run.board.comments();
    run.report.early_ends = run.board.early_ends();
    Ok(run.report)
}

fn doors(arguments: &Arguments) -> Result<Vec<Door>, Failure> {
    let mut doors = Vec::new();
    for (url, file) in arguments.url.iter().zip(&arguments.token_file) {
        let tokens = std::fs::read_to_string(file)?;
        doors.extend(tokens.lines().map(|token| Door { url: url.clone(), token: token.to_owned() }));
    }
    if doors.is_empty() { Err("no door".into()) } else { Ok(doors) }
}

#[expect(clippy::cast_precision_loss, reason = "figures for people; far below 2^53")]
fn ratio(part: u64, whole: usize) -> f64 {
    part as f64 / whole.max(1) as f64
}

impl Run<'_> {
    fn usage(&self) -> Result<Usage, Failure> {
        Ok(Usage::of(&self.arguments.pid)?)
    }

    async fn open(&mut self) -> Result<Fleet, Failure> {
        let start = Instant::now();
        let (fleet, latencies) = Fleet::open(&self.doors, self.arguments.streams, &self.board).await?;
        self.report.open_seconds = start.elapsed().as_secs_f64();
        self.report.open = Latency::of(latencies);
        self.report.rss_open_kib = self.usage()?.rss_kib();
        let standing = self.control.standing().await?;
        if standing.open != self.arguments.streams {
            self.board.fault(format!("the upstream holds {} streams open", standing.open));
        }
        Ok(fleet)
    }

    /// One event at a time, each awaited before the next is sent: what is buffered never arrives.
    async fn singles(&mut self, streams: &[u64]) -> Result<Latency, Failure> {
        let within = Duration::from_secs(self.arguments.event_seconds);
        let mut latencies = Vec::new();
        for stream in streams {
            let number = self.board.expect();
            self.control.event(number, Some(*stream)).await?;
            latencies.extend(self.board.arrivals(1, within).await);
        }
        Ok(Latency::of(latencies))
    }

    async fn events(&mut self, fleet: &Fleet) -> Result<(), Failure> {
        let within = Duration::from_secs(self.arguments.event_seconds);
        self.report.event = self.singles(&fleet.sample(SINGLE)).await?;
        let mut latencies = Vec::new();
        for _ in 0..BROADCASTS {
            let number = self.board.expect();
            self.control.event(number, None).await?;
            latencies.extend(self.board.arrivals(self.arguments.streams, within).await);
        }
        self.report.broadcast = Latency::of(latencies);
        self.report.rss_used_kib = self.usage()?.rss_kib();
        Ok(())
    }

    async fn rest(&mut self) -> Result<(), Failure> {
        let before = self.usage()?;
        // Not waiting for anything: the rest itself is measured.
        tokio::time::sleep(Duration::from_secs(self.arguments.idle_seconds)).await;
        let spent = self.usage()?.cpu_millis().saturating_sub(before.cpu_millis());
        let seconds = usize::try_from(self.arguments.idle_seconds)?;
        self.report.idle_cpu_millis_per_second = ratio(spent, seconds);
        Ok(())
    }

    /// Floods streams that nobody reads, looks what it costs, and then reads them to the end.
    async fn flood(&mut self, fleet: &Fleet) -> Result<(), Failure> {
        let mut sample = fleet.sample(self.arguments.flooded * 2);
        let flooded: Vec<_> = sample.drain(..self.arguments.flooded.min(sample.len())).collect();
        fleet.pausable(&flooded);
        self.board.pause(true);
        let before = self.usage()?.rss_kib();
        self.control.flood(&flooded, self.arguments.flood_bytes).await?;
        let standing = self.still().await?;
        if standing.held_back != flooded.len() {
            let held_back = standing.held_back;
            self.board.fault(format!("{held_back} floods of {} were held back", flooded.len()));
        }
        let grown = self.usage()?.rss_kib().saturating_sub(before);
        self.report.flood_kib_each = ratio(grown, flooded.len());
        let events = standing.flood_events / flooded.len().max(1) as u64;
        self.report.flood_bytes_each = events * FLOOD_EVENT;
        self.report.event_in_flood = self.singles(&sample).await?;
        self.control.calm(&flooded).await?;
        self.board.pause(false);
        self.board.calm(flooded.len(), PATIENCE).await;
        Ok(())
    }

    /// The least memory within a while: an allocator gives pages back some time after they are free.
    async fn given_back(&self) -> Result<u64, Failure> {
        let enough = self.report.rss_before_kib + self.report.rss_before_kib / 20;
        let deadline = Instant::now() + GIVING_BACK;
        let mut least = self.usage()?.rss_kib();
        while least > enough && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(100)).await;
            least = least.min(self.usage()?.rss_kib());
        }
        Ok(least)
    }

    /// Waits until the floods move no more.
    async fn still(&mut self) -> Result<Standing, Failure> {
        let (mut last, mut since) = (0, Instant::now());
        self.control
            .until(PATIENCE, |standing| {
                if standing.flood_events != last {
                    (last, since) = (standing.flood_events, Instant::now());
                }
                standing.held_back == 0 || since.elapsed() > STILL
            })
            .await
    }

    /// Ends all streams as clients that go away do; seconds until the upstream has none.
    async fn close(&mut self, fleet: Fleet) -> Result<f64, Failure> {
        let start = Instant::now();
        fleet.close().await?;
        let standing = self.control.until(PATIENCE, |standing| standing.open == 0).await?;
        if standing.open != 0 {
            self.board.fault(format!("{} streams outlive their clients", standing.open));
        }
        Ok(start.elapsed().as_secs_f64())
    }
}

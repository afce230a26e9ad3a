//! What the spectator sees: the story on a terminal, or one JSON object.

use std::fmt::Write as _;
use std::io::Write as _;

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::failure::Failure;

const BOLD: &str = "\x1b[1m";
const DIM: &str = "\x1b[2m";
const GREEN: &str = "\x1b[32m";
const RED: &str = "\x1b[31m";
const BLUE: &str = "\x1b[34m";
const OFF: &str = "\x1b[0m";

/// How the story is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Manner {
    /// With colours.
    Coloured,
    /// Without.
    Plain,
    /// Not at all.
    Silent,
}

/// One act, as machines read it.
#[derive(Debug, Serialize)]
struct Played {
    name: &'static str,
    ok: bool,
    figures: Map<String, Value>,
}

/// The story so far.
#[derive(Debug)]
pub(super) struct Story {
    manner: Manner,
    told: String,
    played: Vec<Played>,
}

impl Story {
    pub(super) fn new(manner: Manner) -> Self {
        Self { manner, told: String::new(), played: Vec::new() }
    }

    pub(super) fn open(&mut self) {
        self.line(&format!("{}mcp-gateway demo{}", self.style(BOLD), self.style(OFF)));
        self.line(
            "A loose key becomes a governed credential, in nine acts: a real MCP server that demands a",
        );
        self.line("credential, real MCP clients of both generations, and this gateway in between.");
    }

    /// Begins an act.
    pub(super) fn act(&mut self, name: &'static str, title: &str) -> Act<'_> {
        let number = self.played.len() + 1;
        let (bold, blue, off) = (self.style(BOLD), self.style(BLUE), self.style(OFF));
        self.line("");
        self.line(&format!("{bold}{blue}{number}  {title}{off}"));
        self.played.push(Played { name, ok: true, figures: Map::new() });
        Act { story: self }
    }

    /// Ends the story; says whether every act held.
    pub(super) fn close(&mut self) -> bool {
        let held = self.played.iter().filter(|act| act.ok).count();
        let ok = held == self.played.len() && held > 0;
        let colour = self.style(if ok { GREEN } else { RED });
        let (bold, off) = (self.style(BOLD), self.style(OFF));
        self.line("");
        self.line(&format!("{bold}{colour}{held} of {} acts held{off}", self.played.len()));
        ok
    }

    /// The one JSON object.
    pub(super) fn print_json(&self) {
        let ok = self.played.iter().all(|act| act.ok) && !self.played.is_empty();
        print(&format!("{}\n", json!({"acts": self.played, "ok": ok})));
    }

    /// Everything that was told, for the sweep.
    pub(super) fn told(&self) -> String {
        format!("{}{}", self.told, json!({"acts": self.played}))
    }

    pub(super) fn line(&mut self, text: &str) {
        // A failed write (`demo | head`) ends the telling, not the play.
        let _ = writeln!(self.told, "{text}");
        if self.manner != Manner::Silent {
            print(&format!("{text}\n"));
        }
    }

    /// Says something even where nothing else is told, on standard error.
    pub(super) fn aside(&mut self, text: &str) {
        if self.manner == Manner::Silent {
            drop(writeln!(std::io::stderr(), "{text}"));
        } else {
            self.line(text);
        }
    }

    fn style(&self, code: &'static str) -> &'static str {
        if self.manner == Manner::Coloured { code } else { "" }
    }

    fn now_playing(&mut self) -> Option<&mut Played> {
        self.played.last_mut()
    }
}

fn print(text: &str) {
    let mut out = std::io::stdout().lock();
    drop(out.write_all(text.as_bytes()).and_then(|()| out.flush()));
}

/// The act that is being played.
#[derive(Debug)]
pub(super) struct Act<'s> {
    story: &'s mut Story,
}

impl Act<'_> {
    /// Says what is being done.
    pub(super) fn say(&mut self, text: &str) {
        self.story.line(&format!("   {text}"));
    }

    /// Shows something as it is, line by line.
    pub(super) fn show(&mut self, text: &str) {
        let (dim, off) = (self.story.style(DIM), self.story.style(OFF));
        for line in text.lines() {
            self.story.line(&format!("   {dim}│{off} {line}"));
        }
    }

    /// Notes a figure.
    pub(super) fn figure(&mut self, name: &str, value: impl Into<Value>) {
        if let Some(act) = self.story.now_playing() {
            act.figures.insert(name.to_owned(), value.into());
        }
    }

    /// States a claim and whether it holds.
    pub(super) fn claim(&mut self, name: &str, text: &str, holds: bool) {
        let mark = if holds { "✓" } else { "✗ NOT SO:" };
        let colour = self.story.style(if holds { GREEN } else { RED });
        let off = self.story.style(OFF);
        self.story.line(&format!("   {colour}{mark}{off} {text}"));
        if let Some(act) = self.story.now_playing() {
            act.figures.insert(name.to_owned(), Value::Bool(holds));
            act.ok &= holds;
        }
    }

    /// Everything told so far.
    pub(super) fn told(&self) -> String {
        self.story.told()
    }

    /// Ends the act; one that broke off did not hold.
    pub(super) fn end(&mut self, outcome: Result<(), Failure>) {
        if let Err(failure) = outcome {
            self.claim("played_to_the_end", &format!("the act broke off: {failure}"), false);
            self.figure("error", failure.to_string());
        }
    }
}

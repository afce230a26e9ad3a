//! The only place that writes to standard output and standard error.

use std::io::{self, IsTerminal as _, Write};
use std::os::fd::AsFd;

use serde_json::Value;

use super::failure::Failure;
use super::fit;
use super::view::{View, clean};

/// How results are shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, clap::ValueEnum)]
pub(super) enum Output {
    /// Aligned, for people.
    #[default]
    Table,
    /// The API's own answer, for programs.
    Json,
    /// For reviews and tickets.
    Markdown,
}

/// Colours that carry no meaning of their own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Colour {
    /// Good news.
    Green,
    /// Bad news.
    Red,
    /// Advice.
    Cyan,
    /// Neither.
    None,
}

impl Colour {
    const fn code(self) -> &'static str {
        match self {
            Self::Green => "\u{1b}[32m",
            Self::Red => "\u{1b}[31m",
            Self::Cyan => "\u{1b}[36m",
            Self::None => "",
        }
    }
}

/// Writes results to standard output, and everything else to standard error.
pub(super) struct Printer {
    out: Box<dyn Write>,
    error: Box<dyn Write>,
    output: Output,
    colour_out: bool,
    colour_error: bool,
    /// The columns of a terminal; absent where there is none.
    width_out: Option<usize>,
    width_error: Option<usize>,
    progress: bool,
    closed: bool,
}

impl Printer {
    /// On the process's own streams. Colours only on terminals, and not where `NO_COLOR` is set to
    /// anything (no-color.org).
    pub(super) fn standard(output: Output, no_colour: bool) -> Self {
        let wanted = !no_colour && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let (out, error) = (io::stdout(), io::stderr());
        Self {
            colour_out: wanted && out.is_terminal(),
            colour_error: wanted && error.is_terminal(),
            width_out: columns(&out),
            width_error: columns(&error),
            progress: error.is_terminal(),
            out: Box::new(out),
            error: Box::new(error),
            output,
            closed: false,
        }
    }

    #[cfg(test)]
    pub(super) fn into(out: Box<dyn Write>, error: Box<dyn Write>, output: Output) -> Self {
        let (width_out, width_error) = (None, None);
        let (colour_out, colour_error) = (false, false);
        Self {
            out,
            error,
            output,
            colour_out,
            colour_error,
            width_out,
            width_error,
            progress: true,
            closed: false,
        }
    }

    /// How results are shown.
    pub(super) const fn output(&self) -> Output {
        self.output
    }

    /// Whether nobody reads the results any more (the other end of a pipe has gone).
    pub(super) const fn is_closed(&self) -> bool {
        self.closed
    }

    /// Shows an answer: as it is for programs, as a view for people.
    pub(super) fn show(&mut self, answer: &Value, view: impl FnOnce(&Value) -> View) {
        match self.output {
            Output::Json => self.json(answer),
            Output::Table => {
                let view = view(answer);
                let text = self.width_out.map_or_else(|| view.plain(), |width| view.within(width));
                self.text(&text);
            }
            Output::Markdown => self.text(&view(answer).markdown()),
        }
    }

    /// A JSON document.
    pub(super) fn json(&mut self, document: &Value) {
        let text = serde_json::to_string_pretty(document).unwrap_or_default();
        self.write_out(&format!("{text}\n"));
    }

    /// A JSON document on one line, for streams of them.
    pub(super) fn json_line(&mut self, document: &Value) {
        self.write_out(&format!("{document}\n"));
    }

    /// Text that ends with a line break of its own.
    pub(super) fn text(&mut self, text: &str) {
        self.write_out(&clean(text));
    }

    /// A line with a coloured word in front.
    pub(super) fn marked(&mut self, colour: Colour, word: &str, rest: &str) {
        let word = paint(self.colour_out, colour, word);
        let line = format!("{word} {}\n", clean(rest));
        self.write_out(&line);
    }

    /// Bytes exactly as they are, for documents such as completions.
    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.closed |= self.out.write_all(bytes).and_then(|()| self.out.flush()).is_err();
    }

    /// What is going on, for people who wait: to standard error, and only where somebody watches.
    pub(super) fn progress(&mut self, text: &str) {
        if self.progress && self.output != Output::Json {
            self.note(text);
        }
    }

    /// Something to know beside the result: to standard error.
    pub(super) fn note(&mut self, text: &str) {
        let text = clean(text);
        let line =
            format!("{}\n", self.width_error.map_or(text.clone(), |width| fit::paragraph(&text, width, 2)));
        drop(self.error.write_all(line.as_bytes()));
    }

    /// A failure: to standard error, as `error:`, `caused by:` and `hint:`.
    pub(super) fn failure(&mut self, failure: &Failure) {
        let text = match self.output {
            Output::Json => format!("{}\n", failure.to_json()),
            Output::Table | Output::Markdown => failure_text(failure, self.colour_error, self.width_error),
        };
        drop(self.error.write_all(text.as_bytes()));
    }

    fn write_out(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }
}

/// How many columns the terminal has; nothing where there is none, or where it is too narrow to help.
fn columns(stream: &impl AsFd) -> Option<usize> {
    const NARROWEST: u16 = 40;
    let size = rustix::termios::tcgetwinsize(stream).ok()?;
    (size.ws_col >= NARROWEST).then(|| usize::from(size.ws_col))
}

fn paint(on: bool, colour: Colour, word: &str) -> String {
    if on && colour != Colour::None { format!("{}{word}\u{1b}[0m", colour.code()) } else { word.to_owned() }
}

fn failure_text(failure: &Failure, colour: bool, width: Option<usize>) -> String {
    // A painted word is longer than it looks; only what stands behind it is fitted.
    let behind = |mark: &str, text: &str| {
        let room = width.map(|width| width.saturating_sub(mark.len().saturating_add(1)));
        let fitted = |room| {
            fit::paragraph(&clean(text), room, 0)
                .replace('\n', &format!("\n{:1$}", "", mark.len().saturating_add(1)))
        };
        room.map_or_else(|| clean(text), fitted)
    };
    let hint = paint(colour, Colour::Cyan, "hint:");
    let code = failure.code.as_ref().map(|code| format!(" [{}]", clean(code))).unwrap_or_default();
    let mut text = String::new();
    for detail in &failure.details {
        let words = [detail.place.as_str(), &detail.code, &detail.message];
        let words: Vec<&str> = words.into_iter().filter(|word| !word.is_empty()).collect();
        text.push_str(&format!("{}\n", clean(&words.join(" "))));
        if let Some(advice) = &detail.hint {
            text.push_str(&format!("  {hint} {}\n", behind("  hint:", advice)));
        }
    }
    let error = paint(colour, Colour::Red, "error:");
    text.push_str(&format!("{error} {}\n", behind("error:", &format!("{}{code}", failure.message))));
    for cause in &failure.causes {
        text.push_str(&format!("  caused by: {}\n", behind("  caused by:", cause)));
    }
    if let Some(advice) = &failure.hint {
        text.push_str(&format!("{hint} {}\n", behind("hint:", advice)));
    }
    text
}

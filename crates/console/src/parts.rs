//! What pages are put together of. Every text is escaped on its way in.

use gateway_login::form::FIELD;
use gateway_login::page::Html;
use serde_json::Value;

use crate::visit::Visit;

/// A table that becomes a list of cards on a narrow screen.
#[derive(Debug)]
pub(crate) struct Table {
    columns: &'static [&'static str],
    rows: Html,
    count: usize,
}

impl Table {
    pub(crate) fn new(columns: &'static [&'static str]) -> Self {
        Self { columns, rows: Html::new(), count: 0 }
    }

    pub(crate) fn row(mut self, cells: &[Html]) -> Self {
        let mut rows = self.rows.raw("<tr>");
        for (column, cell) in self.columns.iter().zip(cells) {
            rows = rows.raw("<td data-label=\"").raw(column).raw("\">").html(cell).raw("</td>");
        }
        self.rows = rows.raw("</tr>");
        self.count = self.count.saturating_add(1);
        self
    }

    /// The table, or what there is to say where it is empty.
    pub(crate) fn finish(self, caption: &'static str, nothing: &'static str) -> Html {
        if self.count == 0 {
            return Html::new().raw("<p class=\"nothing\">").raw(nothing).raw("</p>");
        }
        let start = Html::new().raw("<table><caption>").raw(caption).raw("</caption><thead><tr>");
        let heads = self
            .columns
            .iter()
            .fold(start, |html, column| html.raw("<th scope=\"col\">").raw(column).raw("</th>"));
        heads.raw("</tr></thead><tbody>").html(&self.rows).raw("</tbody></table>")
    }
}

/// A list of facts.
#[derive(Debug, Default)]
pub(crate) struct Facts(Html);

impl Facts {
    pub(crate) fn fact(self, name: &'static str, value: &Html) -> Self {
        if value.as_str().is_empty() {
            return self;
        }
        Self(self.0.raw("<div><dt>").raw(name).raw("</dt><dd>").html(value).raw("</dd></div>"))
    }

    /// A fact whose name comes from outside.
    pub(crate) fn named(self, name: &str, value: &Html) -> Self {
        Self(self.0.raw("<div><dt>").text(name).raw("</dt><dd>").html(value).raw("</dd></div>"))
    }

    /// The same over the whole width: for texts of several lines.
    pub(crate) fn wide(self, name: &str, value: &Html) -> Self {
        Self(
            self.0.raw("<div class=\"wide\"><dt>").text(name).raw("</dt><dd>").html(value).raw("</dd></div>"),
        )
    }

    pub(crate) fn finish(self) -> Html {
        if self.0.as_str().is_empty() {
            return self.0;
        }
        Html::new().raw("<dl>").html(&self.0).raw("</dl>")
    }
}

/// The longest part of a word that stays on one line, in characters.
const LONGEST_RUN: usize = 18;

/// A text, with places where a long word may go on in the next line: columns of tables stay as wide as they have to be,
/// and nobody reads `productio` and `n`. The places are no characters: what is copied is what was written.
pub(crate) fn text(text: &str) -> Html {
    let mut html = Html::new();
    let (mut run, mut length) = (String::new(), 0_usize);
    for one in text.chars() {
        run.push(one);
        // Browsers break a line at these by themselves.
        length = if matches!(one, ' ' | '-') { 0 } else { length.saturating_add(1) };
        if length >= LONGEST_RUN {
            let rest = run.rfind(['/', '_', '.', '|', '@', ':', '#', '=']).and_then(|at| {
                let own = run.get(at.saturating_add(1)..)?;
                (own.len() < LONGEST_RUN).then(|| own.to_owned())
            });
            let rest = rest.unwrap_or_default();
            run.truncate(run.len().saturating_sub(rest.len()));
            html = html.text(&run).raw("<wbr>");
            length = rest.chars().count();
            run = rest;
        }
    }
    html.text(&run)
}

pub(crate) fn code(text: &str) -> Html {
    if text.is_empty() {
        Html::new()
    } else {
        Html::new().raw("<code>").html(&self::text(text)).raw("</code>")
    }
}

/// A link within the console; the address is ours, so that its parts are escaped already.
pub(crate) fn link(address: &str, words: &str) -> Html {
    Html::new().raw("<a href=\"").text(address).raw("\">").html(&text(words)).raw("</a>")
}

/// The address of a card.
pub(crate) fn card_address(environment: &str, name: &str) -> String {
    format!("/console/bindings/{environment}/{name}")
}

/// A status as a word with a colour; the word says it all.
pub(crate) fn badge(word: &str) -> Html {
    let class = match word {
        "active" | "allow" | "decides" | "complete" | "answers" | "answered" | "yours" => "badge good",
        "pending" | "draft" | "disabled" | "expired" | "staged" | "probing" | "draining" | "outstanding"
        | "due" | "review due" | "left alone" | "failed" | "unanswered" => "badge wait",
        "revoked" | "deny" | "refused" | "destructive" | "overdue" | "review overdue" | "unreachable" => {
            "badge bad"
        }
        _ => "badge",
    };
    Html::new().raw("<span class=\"").raw(class).raw("\">").text(word).raw("</span>")
}

/// A time for people, to the second, in UTC.
pub(crate) fn time(stamp: &str) -> Html {
    if stamp.is_empty() {
        return Html::new();
    }
    let second: String = stamp.chars().take("2026-11-26T18:15:00".len()).collect();
    let shown = format!("{} UTC", second.replace('T', " "));
    Html::new().raw("<time datetime=\"").text(stamp).raw("\">").text(&shown).raw("</time>")
}

/// A declared value in words.
pub(crate) fn words(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(words).collect::<Vec<_>>().join(", "),
        Value::Object(fields) => {
            let told = fields.iter().filter(|(_, value)| !value.is_null());
            told.map(|(name, value)| format!("{name}: {}", words(value))).collect::<Vec<_>>().join("; ")
        }
    }
}

/// The field of a form that says what its page showed: acts that let something through are done on that alone.
pub(crate) const SEEN: &str = "seen";

/// How pressing a button looks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Weight {
    /// What one came for.
    Main,
    /// One of several.
    Plain,
    /// Cannot be undone.
    Final,
}

/// A form that does one act.
pub(crate) fn act(
    visit: &Visit,
    name: &'static str,
    hidden: &[(&'static str, &str)],
    visible: &Html,
    button: (&str, Weight),
) -> Html {
    let action = format!("/console/act/{name}");
    let token = visit.console.login.form_token(&visit.signed.cookie, &action);
    let mut form = Html::new().raw("<form method=\"post\" action=\"").text(&action).raw("\">");
    for (field, value) in hidden {
        form = form.hidden(field, value);
    }
    let class = match button.1 {
        Weight::Main => "<button class=\"main\">",
        Weight::Plain => "<button>",
        Weight::Final => "<button class=\"final\">",
    };
    form.hidden(FIELD, &token).html(visible).raw(class).text(button.0).raw("</button></form>")
}

/// A labelled field of one line.
pub(crate) fn field(name: &'static str, label: &str, value: &str, hint: &str) -> Html {
    field_of("", name, label, value, hint)
}

/// The same in one of several forms that have a field of this name.
pub(crate) fn field_of(form: &'static str, name: &'static str, label: &str, value: &str, hint: &str) -> Html {
    let html = labelled(form, name, label).raw("<input autocomplete=\"off\" spellcheck=\"false\"");
    let mut html = named(html, form, name).raw(" value=\"").text(value).raw("\"");
    if !hint.is_empty() {
        html = html.raw(" placeholder=\"").text(hint).raw("\"");
    }
    html.raw("></p>")
}

fn labelled(form: &'static str, name: &'static str, label: &str) -> Html {
    let start = Html::new().raw("<p class=\"field\"><label for=\"").raw(form).raw(name).raw("\">");
    start.text(label).raw("</label>")
}

fn named(html: Html, form: &'static str, name: &'static str) -> Html {
    html.raw(" id=\"").raw(form).raw(name).raw("\" name=\"").raw(name).raw("\"")
}

/// A labelled choice.
pub(crate) fn choice(name: &'static str, label: &str, chosen: &str, options: &[(&str, &str)]) -> Html {
    let mut html = named(labelled("", name, label).raw("<select"), "", name).raw(">");
    for (value, words) in options {
        html = html.raw("<option value=\"").text(value).raw("\"");
        if *value == chosen {
            html = html.raw(" selected");
        }
        html = html.raw(">").text(words).raw("</option>");
    }
    html.raw("</select></p>")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_word_goes_on_in_the_next_line_and_a_short_one_never_does() {
        assert_eq!(text("production service_account").as_str(), "production service_account");
        assert_eq!(text("bao://kv/console/release#token").as_str(), "bao://kv/console/<wbr>release#token");
        assert_eq!(
            text("idp.example.com|somebody@example.com").as_str(),
            "idp.example.com|<wbr>somebody@example.<wbr>com"
        );
        let long = "x".repeat(50);
        assert_eq!(text(&long).as_str().replace("<wbr>", ""), long);
        assert_eq!(text(&long).as_str().matches("<wbr>").count(), 2);
        assert!(text("é<b>ééééééééééééééééééééééé").as_str().starts_with("é&lt;b&gt;"));
    }
}

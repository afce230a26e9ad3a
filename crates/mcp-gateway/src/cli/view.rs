//! What is shown to people: blocks of text, fields and tables, rendered for a terminal or as Markdown.

use super::fit;

/// Something to show, block by block.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct View(Vec<Block>);

/// One block.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Block {
    Title(String),
    Fields(Vec<(String, String)>),
    Table(Table),
    Text(String),
}

/// Rows under headings.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Table {
    headings: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// An empty table.
    pub(super) fn new(headings: &[&'static str]) -> Self {
        Self { headings: headings.to_vec(), rows: Vec::new() }
    }

    /// Adds a row.
    pub(super) fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.iter().map(|cell| cell_text(cell)).collect());
    }

    /// Whether there is no row.
    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

impl View {
    /// A heading.
    #[must_use]
    pub(super) fn title(mut self, text: impl Into<String>) -> Self {
        self.0.push(Block::Title(text.into()));
        self
    }

    /// A line or several.
    #[must_use]
    pub(super) fn text(mut self, text: impl Into<String>) -> Self {
        self.0.push(Block::Text(text.into()));
        self
    }

    /// Names and values; fields without a value are left out.
    #[must_use]
    pub(super) fn fields<const N: usize>(mut self, fields: [(&str, String); N]) -> Self {
        let kept = fields.into_iter().filter(|(_, value)| !value.is_empty());
        let kept: Vec<_> = kept.map(|(name, value)| (name.to_owned(), cell_text(&value))).collect();
        if !kept.is_empty() {
            self.0.push(Block::Fields(kept));
        }
        self
    }

    /// A table; left out where it is empty.
    #[must_use]
    pub(super) fn table(mut self, title: &str, table: Table) -> Self {
        if !table.is_empty() {
            if !title.is_empty() {
                self.0.push(Block::Title(title.to_owned()));
            }
            self.0.push(Block::Table(table));
        }
        self
    }

    /// For a terminal of this width, in columns.
    pub(super) fn within(&self, width: usize) -> String {
        self.shown(|text, block| match block {
            Block::Title(title) => push_line(text, &fit::paragraph(&cell_text(title), width, 2)),
            Block::Text(words) if is_prose(words) => {
                words.lines().for_each(|line| push_line(text, &fit::paragraph(line, width, 2)));
            }
            // Policies, manifests and differences stay as they are written: somebody may copy them.
            Block::Text(words) => words.lines().for_each(|line| push_line(text, line)),
            Block::Fields(fields) => {
                let widest = fields.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
                for (name, value) in fields {
                    push_line(text, &fit::field(name, widest, value, width));
                }
            }
            Block::Table(table) => {
                let headings: Vec<String> =
                    table.headings.iter().map(|heading| heading.to_uppercase()).collect();
                push_line(text, &fit::table(&headings, &table.rows, width));
            }
        })
    }

    /// For a pipe or a file: each row on one line.
    pub(super) fn plain(&self) -> String {
        self.shown(|text, block| match block {
            Block::Title(title) => push_line(text, &cell_text(title)),
            Block::Text(words) => words.lines().for_each(|line| push_line(text, line)),
            Block::Fields(fields) => plain_fields(text, fields),
            Block::Table(table) => plain_table(text, table),
        })
    }

    /// Every block by its own rule, with an empty line before each further title.
    fn shown(&self, show: impl Fn(&mut String, &Block)) -> String {
        let mut text = String::new();
        for (place, block) in self.0.iter().enumerate() {
            if place > 0 && matches!(block, Block::Title(_)) {
                text.push('\n');
            }
            show(&mut text, block);
        }
        text
    }

    /// As Markdown, for reviews and tickets.
    pub(super) fn markdown(&self) -> String {
        let mut text = String::new();
        for (place, block) in self.0.iter().enumerate() {
            if place > 0 {
                text.push('\n');
            }
            match block {
                Block::Title(title) => {
                    let mark = if place == 0 { "#" } else { "##" };
                    push_line(&mut text, &format!("{mark} {}", escaped(title)));
                }
                Block::Text(words) => words.lines().for_each(|line| push_line(&mut text, &escaped(line))),
                Block::Fields(fields) => {
                    let rows = fields.iter().map(|(name, value)| vec![name.clone(), value.clone()]).collect();
                    markdown_table(&mut text, &Table { headings: vec!["field", "value"], rows });
                }
                Block::Table(table) => markdown_table(&mut text, table),
            }
        }
        text
    }
}

/// One line, or lines that each begin with a mark.
fn is_prose(words: &str) -> bool {
    words.lines().nth(1).is_none() || words.lines().all(|line| line.starts_with("* "))
}

fn push_line(text: &mut String, line: &str) {
    text.push_str(line.trim_end());
    text.push('\n');
}

fn plain_fields(text: &mut String, fields: &[(String, String)]) {
    let widest = fields.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    for (name, value) in fields {
        push_line(text, &format!("  {name:<widest$}  {value}"));
    }
}

fn plain_table(text: &mut String, table: &Table) {
    let mut widths: Vec<usize> = table.headings.iter().map(|heading| heading.chars().count()).collect();
    for row in &table.rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut line = |cells: &mut dyn Iterator<Item = &str>| {
        let mut row = String::from("  ");
        for (cell, width) in cells.zip(&widths) {
            row.push_str(&format!("{cell:<width$}  "));
        }
        push_line(text, &row);
    };
    let headings: Vec<String> = table.headings.iter().map(|heading| heading.to_uppercase()).collect();
    line(&mut headings.iter().map(String::as_str));
    table.rows.iter().for_each(|row| line(&mut row.iter().map(String::as_str)));
}

fn markdown_table(text: &mut String, table: &Table) {
    let mut line = |cells: Vec<String>| push_line(text, &format!("| {} |", cells.join(" | ")));
    line(table.headings.iter().map(|heading| (*heading).to_owned()).collect());
    line(table.headings.iter().map(|_| "---".to_owned()).collect());
    table.rows.iter().for_each(|row| line(row.iter().map(|cell| escaped(cell)).collect()));
}

/// Takes Markdown's and HTML's meaning from characters: what a card shows may come from anybody who
/// can write a manifest.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in clean(text).chars() {
        match character {
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '&' => safe.push_str("&amp;"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '#' | '!' => safe.extend(['\\', character]),
            other => safe.push(other),
        }
    }
    safe
}

/// One line, without control characters.
fn cell_text(text: &str) -> String {
    clean(text).replace(['\n', '\t'], " ")
}

/// Shows control and direction-changing characters as escapes, so that nothing that was written
/// elsewhere can steer the terminal or disguise itself.
pub(super) fn clean(text: &str) -> String {
    let steers = |character: char| {
        let ours = matches!(character, '\n' | '\t');
        let hidden = matches!(character, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}');
        (character.is_control() && !ours) || hidden
    };
    if !text.contains(steers) {
        return text.to_owned();
    }
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        if steers(character) {
            shown.extend(character.escape_unicode());
        } else {
            shown.push(character);
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view() -> View {
        let mut table = Table::new(&["revision", "status"]);
        table.row(["1".to_owned(), "superseded".to_owned()]);
        table.row(["12".to_owned(), "active".to_owned()]);
        View::default()
            .title("Binding production/triage")
            .fields([
                ("who", "agents: triage-bot".to_owned()),
                ("owner", "support".to_owned()),
                ("limits", String::new()),
            ])
            .table("History", table)
            .table("Shadows", Table::new(&["binding"]))
            .text("Read it before you sign.")
    }

    #[test]
    fn aligns_columns_and_leaves_out_what_is_empty() {
        insta::assert_snapshot!(view().plain(), @r"
        Binding production/triage
          who    agents: triage-bot
          owner  support

        History
          REVISION  STATUS
          1         superseded
          12        active
        Read it before you sign.
        ");
    }

    #[test]
    fn fits_a_narrow_terminal_and_leaves_what_is_copied_as_it_is() {
        let mut table = Table::new(&["who", "because"]);
        table.row(["bot".to_owned(), "the policies say that it may not do that".to_owned()]);
        let policy = "permit (principal, action, resource)\nwhen { context.risk == \"read\" };";
        let shown =
            view().table("Nearly", table).text("* one word after another\n* two").text(policy).within(28);
        insta::assert_snapshot!(shown, @r#"
        Binding production/triage
          who    agents: triage-bot
          owner  support

        History
          REVISION  STATUS
          1         superseded
          12        active
        Read it before you sign.

        Nearly
          WHO  BECAUSE
          bot  the policies say that
               it may not do that
        * one word after another
        * two
        permit (principal, action, resource)
        when { context.risk == "read" };
        "#);
    }

    #[test]
    fn renders_markdown() {
        insta::assert_snapshot!(view().markdown(), @r"
        # Binding production/triage

        | field | value |
        | --- | --- |
        | who | agents: triage-bot |
        | owner | support |

        ## History

        | revision | status |
        | --- | --- |
        | 1 | superseded |
        | 12 | active |

        Read it before you sign.
        ");
    }

    #[test]
    fn what_others_wrote_can_neither_steer_the_terminal_nor_break_out_of_a_cell() {
        let hostile = "a\u{1b}[2J|b\n<script>\u{202e}`x`";
        let view = View::default().fields([("reason", hostile.to_owned())]);
        let plain = view.plain();
        assert_eq!(plain.lines().count(), 1, "{plain:?}");
        assert!(!plain.contains('\u{1b}') && !plain.contains('\u{202e}'), "{plain:?}");
        let markdown = view.markdown();
        assert!(markdown.contains(r"\|b &lt;script&gt;"), "{markdown:?}");
        assert!(markdown.contains(r"\`x\`"), "{markdown:?}");
    }
}

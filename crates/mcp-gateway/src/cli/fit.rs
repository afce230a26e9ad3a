//! What fits the width of a terminal. A line that a terminal breaks by itself takes a table apart; one that is broken
//! here, between words, stays readable. A word is never broken: what is copied is what was written.

/// Two columns are this far apart, and every line begins this far in.
const GAP: usize = 2;

/// The words of a text in lines of this width; a longer word has a line of its own.
pub(super) fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let (mut line, mut length) = (String::new(), 0_usize);
    for word in text.split(' ') {
        let size = word.chars().count();
        if length > 0 && length.saturating_add(size).saturating_add(1) > width {
            lines.push(std::mem::take(&mut line));
            length = 0;
        }
        if length > 0 {
            line.push(' ');
            length = length.saturating_add(1);
        }
        line.push_str(word);
        length = length.saturating_add(size);
    }
    lines.push(line);
    lines
}

/// A paragraph; its further lines begin where `hanging` says.
pub(super) fn paragraph(text: &str, width: usize, hanging: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    wrapped(text, width.saturating_sub(hanging)).join(&format!("\n{:hanging$}", ""))
}

/// A name and its value, which goes on below itself.
pub(super) fn field(name: &str, widest: usize, value: &str, width: usize) -> String {
    let start = widest.saturating_add(GAP).saturating_add(GAP);
    let lines = wrapped(value, width.saturating_sub(start).max(1));
    format!("  {name:<widest$}  {}", lines.join(&format!("\n{:start$}", "")))
}

/// A table: as it is where it fits, with cells of several lines where that makes it fit, and else row by row, each cell
/// beside its heading.
pub(super) fn table(headings: &[String], rows: &[Vec<String>], width: usize) -> String {
    match widths(headings, rows, width) {
        Some(widths) => {
            let mut lines = row(headings, &widths);
            for cells in rows {
                lines.extend(row(cells, &widths));
            }
            lines.join("\n")
        }
        None => records(headings, rows, width),
    }
}

/// The widths of the columns, where there are any that fit.
fn widths(headings: &[String], rows: &[Vec<String>], width: usize) -> Option<Vec<usize>> {
    let column = |place: usize| rows.iter().filter_map(move |cells| cells.get(place));
    let longest_word = |text: &String| text.split(' ').map(|word| word.chars().count()).max().unwrap_or(0);
    let mut columns: Vec<(usize, usize)> = headings
        .iter()
        .enumerate()
        .map(|(place, heading)| {
            let own = heading.chars().count();
            let whole = column(place).map(|cell| cell.chars().count()).max().unwrap_or(0).max(own);
            (whole, column(place).map(longest_word).max().unwrap_or(0).max(own))
        })
        .collect();
    let room = width.checked_sub(columns.len().saturating_mul(GAP))?;
    loop {
        let sum: usize = columns.iter().map(|(wanted, _)| *wanted).sum();
        if sum <= room {
            return Some(columns.into_iter().map(|(wanted, _)| wanted).collect());
        }
        // The widest gives way first.
        let widest =
            columns.iter_mut().filter(|(wanted, least)| wanted > least).max_by_key(|(wanted, _)| *wanted)?;
        widest.0 = widest.0.saturating_sub(1);
    }
}

fn row(cells: &[String], widths: &[usize]) -> Vec<String> {
    let cells: Vec<Vec<String>> =
        cells.iter().zip(widths).map(|(cell, width)| wrapped(cell, *width)).collect();
    let height = cells.iter().map(Vec::len).max().unwrap_or(0);
    let line = |place: usize| {
        let mut text = String::new();
        for (lines, width) in cells.iter().zip(widths) {
            let part = lines.get(place).map_or("", String::as_str);
            text.push_str(&format!("  {part:<width$}"));
        }
        text.trim_end().to_owned()
    };
    (0..height).map(line).collect()
}

fn records(headings: &[String], rows: &[Vec<String>], width: usize) -> String {
    let widest = headings.iter().map(|heading| heading.chars().count()).max().unwrap_or(0);
    let record = |cells: &Vec<String>| {
        let said = headings.iter().zip(cells).filter(|(_, cell)| !cell.is_empty());
        said.map(|(heading, cell)| field(heading, widest, cell, width)).collect::<Vec<_>>().join("\n")
    };
    rows.iter().map(record).collect::<Vec<_>>().join("\n\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owned(cells: &[&str]) -> Vec<String> {
        cells.iter().map(|cell| (*cell).to_owned()).collect()
    }

    #[test]
    fn a_table_that_fits_stays_on_its_lines() {
        let shown = table(&owned(&["WHO", "WHY"]), &[owned(&["a bot", "it may"])], 20);
        assert_eq!(shown, "  WHO    WHY\n  a bot  it may");
    }

    #[test]
    fn a_cell_of_many_words_goes_on_below_itself() {
        let rows = [owned(&["bot", "one two three four"]), owned(&["other", "five"])];
        let shown = table(&owned(&["WHO", "WHY"]), &rows, 18);
        assert_eq!(shown, "  WHO    WHY\n  bot    one two\n         three\n         four\n  other  five");
    }

    #[test]
    fn a_table_whose_words_do_not_fit_is_told_row_by_row_and_no_word_is_broken() {
        let path = "bao://kv/a/rather/long/path#token";
        let rows = [owned(&["bot", path, ""]), owned(&["other", "x", "one two three four five six"])];
        let shown = table(&owned(&["WHO", "REFERENCE", "IF"]), &rows, 24);
        assert_eq!(
            shown,
            "  WHO        bot\n  REFERENCE  bao://kv/a/rather/long/path#token\n\n  WHO        other\n  REFERENCE  x\n  \
             IF         one two\n             three four\n             five six"
        );
    }

    #[test]
    fn every_line_fits_at_any_width_that_the_words_allow() {
        let rows = vec![owned(&["an agent of ours", "é ü because of this", "to change it"]); 3];
        for width in 24..60 {
            let shown = table(&owned(&["WHO", "BECAUSE", "CHANGE"]), &rows, width);
            for line in shown.lines() {
                assert!(line.chars().count() <= width, "{width}: {shown}");
            }
        }
        assert_eq!(paragraph("one two three", 8, 2), "one\n  two\n  three");
        assert_eq!(paragraph("one two", 8, 2), "one two");
    }
}

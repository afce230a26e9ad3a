//! Two versions of a text, line by line.

use gateway_login::page::Html;

/// Above so many lines the versions are shown one after the other: comparing takes time by the square.
const MOST: usize = 400;

/// Where a line comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Side {
    Both,
    Before,
    After,
}

/// What became of each line, as a block of text.
pub(crate) fn difference(before: &str, after: &str) -> Html {
    let start = Html::new().raw("<pre tabindex=\"0\"><code>");
    let lines = compare(&before.lines().collect::<Vec<_>>(), &after.lines().collect::<Vec<_>>());
    let shown = lines.into_iter().fold(start, |html, (side, line)| match side {
        Side::Both => html.raw("  ").text(line).raw("\n"),
        Side::Before => html.raw("<del>- ").text(line).raw("</del>\n"),
        Side::After => html.raw("<ins>+ ").text(line).raw("</ins>\n"),
    });
    shown.raw("</code></pre>")
}

/// A text as it stands, line by line: within a text a line break would be a control character.
pub(crate) fn block(text: &str) -> Html {
    let start = Html::new().raw("<pre tabindex=\"0\"><code>");
    text.lines().fold(start, |html, line| html.text(line).raw("\n")).raw("</code></pre>")
}

/// The longest common subsequence, and what is beside it.
fn compare<'a>(before: &[&'a str], after: &[&'a str]) -> Vec<(Side, &'a str)> {
    if before.len() > MOST || after.len() > MOST {
        let old = before.iter().map(|line| (Side::Before, *line));
        return old.chain(after.iter().map(|line| (Side::After, *line))).collect();
    }
    // `common[i][j]`: how many lines the rests from `i` and from `j` have in common.
    let mut common = vec![vec![0_u32; after.len().saturating_add(1)]; before.len().saturating_add(1)];
    let at = |common: &[Vec<u32>], i: usize, j: usize| {
        common.get(i).and_then(|row| row.get(j)).copied().unwrap_or_default()
    };
    for (i, old) in before.iter().enumerate().rev() {
        for (j, new) in after.iter().enumerate().rev() {
            let (next_i, next_j) = (i.saturating_add(1), j.saturating_add(1));
            let longest = if old == new {
                at(&common, next_i, next_j).saturating_add(1)
            } else {
                at(&common, next_i, j).max(at(&common, i, next_j))
            };
            if let Some(cell) = common.get_mut(i).and_then(|row| row.get_mut(j)) {
                *cell = longest;
            }
        }
    }
    let (mut i, mut j, mut lines) = (0_usize, 0_usize, Vec::new());
    loop {
        match (before.get(i), after.get(j)) {
            (Some(old), Some(new)) if old == new => {
                lines.push((Side::Both, *old));
                (i, j) = (i.saturating_add(1), j.saturating_add(1));
            }
            (Some(old), new)
                if new.is_none()
                    || at(&common, i.saturating_add(1), j) >= at(&common, i, j.saturating_add(1)) =>
            {
                lines.push((Side::Before, *old));
                i = i.saturating_add(1);
            }
            (_, Some(new)) => {
                lines.push((Side::After, *new));
                j = j.saturating_add(1);
            }
            (_, None) => return lines,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_stays_is_told_once_and_others_with_their_side() {
        let html = difference("permit (a);\nwhen x;\n}", "permit (a);\nwhen y;\nand z;\n}");
        let shown = html.as_str();
        assert!(
            shown.contains(
                "  permit (a);\n<del>- when x;</del>\n<ins>+ when y;</ins>\n<ins>+ and z;</ins>\n  }\n"
            ),
            "{shown}"
        );
    }

    #[test]
    fn texts_without_anything_in_common_and_empty_ones_come_whole() {
        assert_eq!(compare(&["a"], &[]), [(Side::Before, "a")]);
        assert_eq!(compare(&[], &["b"]), [(Side::After, "b")]);
        let long: Vec<&str> = vec!["x"; MOST + 1];
        assert_eq!(compare(&long, &["x"]).len(), MOST + 2, "no comparison by the square of that");
    }

    #[test]
    fn what_a_policy_says_is_text() {
        assert!(!difference("<script>", "<b>").as_str().contains("<script>"));
        assert!(!block("<script>").as_str().contains("<script>"));
    }
}

//! Rows as a table: aligned, numbers to the right, no wider than the terminal.

use crate::types::TypeKind;

/// Characters that the values of a column have at most where the width is bounded and there is more than one column.
const WIDEST_CELL: usize = 60;

/// Characters that a column keeps however narrow the terminal is.
const NARROWEST: usize = 6;

/// Between two columns.
const GAP: &str = "  ";

/// A table that is being printed, maybe in several pieces.
#[derive(Debug)]
pub(super) struct Table {
    heads: Vec<String>,
    right: Vec<bool>,
    widths: Vec<usize>,
    bounded: Option<usize>,
}

impl Table {
    /// A table with these columns; `right`: which of them hold numbers. `width`: the terminal's.
    pub(super) fn new(heads: Vec<String>, right: Vec<bool>, width: Option<usize>) -> Self {
        let widths = heads.iter().map(|head| head.chars().count()).collect();
        Self { heads, right, widths, bounded: width }
    }

    /// Makes room for these rows, as far as there is room.
    pub(super) fn fit(&mut self, rows: &[Vec<String>]) {
        for row in rows {
            for (width, cell) in self.widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        let Some(bound) = self.bounded else { return };
        if self.widths.len() > 1 {
            self.widths.iter_mut().for_each(|width| *width = (*width).min(WIDEST_CELL));
        }
        // The widest column gives way first.
        loop {
            let total: usize = self.widths.iter().sum::<usize>() + GAP.len() * self.widths.len().saturating_sub(1);
            let Some(widest) = self.widths.iter_mut().max().filter(|w| total > bound && **w > NARROWEST) else { return };
            *widest -= 1;
        }
    }

    /// The line above the rows.
    pub(super) fn head(&self) -> String {
        self.line(&self.heads)
    }

    /// One row.
    pub(super) fn line(&self, row: &[String]) -> String {
        let mut line = String::new();
        for (at, cell) in row.iter().enumerate() {
            if at > 0 {
                line.push_str(GAP);
            }
            let width = self.widths.get(at).copied().unwrap_or(0);
            let text = self.cut(cell, width);
            let room = width.saturating_sub(text.chars().count());
            if self.right.get(at) == Some(&true) {
                line.extend(std::iter::repeat_n(' ', room));
                line.push_str(&text);
            } else {
                line.push_str(&text);
                line.extend(std::iter::repeat_n(' ', room));
            }
        }
        line.truncate(line.trim_end().len());
        line
    }

    fn cut(&self, cell: &str, width: usize) -> String {
        if self.bounded.is_none() || cell.chars().count() <= width {
            return cell.to_owned();
        }
        let mut text: String = cell.chars().take(width.saturating_sub(1)).collect();
        text.push('…');
        text
    }
}

/// Prints a whole table.
pub(super) fn lines(heads: &[&str], right: &[bool], rows: &[Vec<String>], width: Option<usize>) -> Vec<String> {
    let mut table = Table::new(heads.iter().map(|h| (*h).to_owned()).collect(), right.to_vec(), width);
    table.fit(rows);
    std::iter::once(table.head()).chain(rows.iter().map(|row| table.line(row))).collect()
}

/// A text without line ends and other control characters.
pub(super) fn plain(text: String) -> String {
    if text.chars().any(char::is_control) {
        text.chars().flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] }).collect()
    } else {
        text
    }
}

/// True for types whose values are set to the right.
pub(super) fn is_number(kind: &TypeKind) -> bool {
    use TypeKind::{BigInt, Decimal, Double, Float, Int, SmallInt, TinyInt};
    matches!(kind, TinyInt | SmallInt | Int | BigInt | Float | Double | Decimal(..))
}

/// `12.3 MB`
pub(super) fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KB", "MB", "GB", "TB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let (mut value, mut unit) = (bytes as f64 / 1024.0, 0);
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(cells: &[&str]) -> Vec<String> {
        cells.iter().map(|c| (*c).to_owned()).collect()
    }

    #[test]
    fn columns_are_aligned_and_numbers_stand_to_the_right() {
        let rows = [row(&["UA", "7"]), row(&["Zürich", "1234"])];
        assert_eq!(lines(&["carrier", "n"], &[false, true], &rows, None), ["carrier     n", "UA          7", "Zürich   1234"]);
    }

    #[test]
    fn a_terminal_is_never_overrun_while_a_file_gets_everything() {
        let long = "x".repeat(200);
        let rows = [row(&["a", &long, "7"])];
        for bound in [20, 40, 80] {
            let cut = lines(&["k", "text", "n"], &[false, false, true], &rows, Some(bound));
            assert!(cut.iter().all(|line| line.chars().count() <= bound), "{cut:?}");
            assert!(cut[1].contains('…') && cut[1].ends_with('7'), "{cut:?}");
        }
        assert!(lines(&["k", "text", "n"], &[false, false, true], &rows, None)[1].contains(&long));
    }

    #[test]
    fn control_characters_are_shown_and_not_carried_out() {
        assert_eq!(plain("a\nb\u{1b}[31m".to_owned()), "a\\nb\\u{1b}[31m");
        assert_eq!(plain("Zürich".to_owned()), "Zürich");
    }

    #[test]
    fn sizes_are_said_in_a_unit_that_fits() {
        assert_eq!([size(0), size(1023), size(1536), size(5 << 20)], ["0 B", "1023 B", "1.5 KB", "5.0 MB"]);
    }
}

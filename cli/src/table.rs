//! Tables for people: columns as wide as what is in them.

use unicode_width::UnicodeWidthStr;

use crate::terminal::{Colour, Terminal};

/// One cell.
#[derive(Debug)]
pub(crate) struct Cell {
    text: String,
    colour: Option<Colour>,
}

impl Cell {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), colour: None }
    }

    pub(crate) fn coloured(text: impl Into<String>, colour: Colour) -> Self {
        Self { text: text.into(), colour: Some(colour) }
    }
}

/// The lines of a table under a line of titles.
pub(crate) fn render<const N: usize>(titles: [&str; N], rows: Vec<[Cell; N]>, terminal: &Terminal) -> String {
    let titles = titles.map(|title| Cell::coloured(title, Colour::Dim));
    let rows: Vec<[Cell; N]> = std::iter::once(titles).chain(rows).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].text.width()).max().unwrap_or_default();
    let widths: [usize; N] = std::array::from_fn(width);
    let line = |row: &[Cell; N]| {
        let mut line = String::new();
        for (column, (cell, width)) in row.iter().zip(widths).enumerate() {
            // Padded outside of the colour, which has no width.
            line += &cell.colour.map_or_else(|| cell.text.clone(), |colour| terminal.paint(colour, &cell.text));
            if column + 1 < N {
                line += &" ".repeat(width - cell.text.width() + 2);
            }
        }
        line
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = vec![[Cell::new("日本"), Cell::new("1")], [Cell::coloured("Acme", Colour::Bold), Cell::new("20")]];
        let table = render(["NAME", "KEYS"], rows, &Terminal::plain());
        assert_eq!(table, "NAME  KEYS\n日本  1\nAcme  20");
    }
}

//! Tables for people, with columns as wide as their widest cell.

use console::{Alignment, measure_text_width, pad_str};

use crate::terminal::{Colour, Terminal};

/// The lines of a table below a line of titles. Cells may have colours.
pub(crate) fn render<const N: usize>(titles: [&str; N], rows: Vec<[String; N]>, terminal: &Terminal) -> String {
    render_numbers(&titles, N, rows.into_iter().map(Vec::from).collect(), terminal)
}

/// As [`render`], with numbers from the column `first_number` on: they are aligned to the right. Each row has as many cells
/// as there are titles.
pub(crate) fn render_numbers(
    titles: &[&str],
    first_number: usize,
    rows: Vec<Vec<String>>,
    terminal: &Terminal,
) -> String {
    let titles: Vec<String> = titles.iter().map(|title| terminal.paint(Colour::Dim, title)).collect();
    let columns = titles.len();
    let rows: Vec<Vec<String>> = std::iter::once(titles).chain(rows).collect();
    let width = |column: usize| rows.iter().map(|row| measure_text_width(&row[column])).max().unwrap_or_default();
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, width))| {
            if column >= first_number {
                pad_str(cell, *width, Alignment::Right, None)
            } else {
                pad_str(cell, if column + 1 < columns { *width } else { 0 }, Alignment::Left, None)
            }
        });
        cells.collect::<Vec<_>>().join("  ")
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let bold = "\u{1b}[1mAcme\u{1b}[0m";
        let rows = vec![["日本", "1"], [bold, "20"]].into_iter().map(|row| row.map(str::to_owned)).collect();
        let table = render(["NAME", "KEYS"], rows, &Terminal::plain());
        assert_eq!(table, format!("NAME  KEYS\n日本  1\n{bold}  20"));
    }

    #[test]
    fn numbers_are_aligned_to_the_right() {
        let bold = "\u{1b}[1m1,234\u{1b}[0m";
        let rows = [["Acme", "7", "–"], ["B", bold, "0.10"]].map(|row| row.map(str::to_owned).to_vec());
        let table = render_numbers(&["NAME", "TOKENS", "COST"], 1, rows.to_vec(), &Terminal::plain());
        assert_eq!(table, format!("NAME  TOKENS  COST\nAcme       7     –\nB      {bold}  0.10"));
    }
}

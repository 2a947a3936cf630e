//! Tables for people, with columns as wide as their widest cell.

use console::{Alignment, measure_text_width, pad_str};

use crate::terminal::{Colour, Terminal};

/// The lines of a table below a line of titles. Cells may have colours.
pub(crate) fn render<const N: usize>(titles: [&str; N], rows: Vec<[String; N]>, terminal: &Terminal) -> String {
    let titles = titles.map(|title| terminal.paint(Colour::Dim, title));
    let rows: Vec<[String; N]> = std::iter::once(titles).chain(rows).collect();
    let width = |column: usize| rows.iter().map(|row| measure_text_width(&row[column])).max().unwrap_or_default();
    let widths: [usize; N] = std::array::from_fn(width);
    let line = |row: &[String; N]| {
        let cells = row.iter().zip(widths).enumerate().map(|(column, (cell, width))| {
            let width = if column + 1 < N { width } else { 0 };
            pad_str(cell, width, Alignment::Left, None)
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
}

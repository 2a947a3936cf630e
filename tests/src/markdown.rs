//! Reads commands and tables out of the project's documents, so that tests run what the documents say.

use std::{collections::BTreeMap, fs};

use crate::Options;

/// A document, or a section of one.
#[derive(Debug)]
pub struct Document {
    name: String,
    text: String,
}

impl Document {
    /// Reads a file of the workspace.
    #[must_use]
    pub fn read(path: &str) -> Self {
        let text = fs::read_to_string(Options::binaries().workspace.join(path));
        Self { name: path.to_owned(), text: text.unwrap_or_else(|error| panic!("{path}: {error}")) }
    }

    /// The section with this heading, such as `## Quick start`, up to the next heading of its level.
    #[must_use]
    pub fn section(&self, heading: &str) -> Self {
        let level = heading.split(' ').next().unwrap_or_default();
        let mut lines = self.text.lines().skip_while(|line| *line != heading);
        assert!(lines.next().is_some(), "{} has no section {heading:?}", self.name);
        let lines = lines.take_while(|line| line.split(' ').next() != Some(level));
        Self { name: format!("{} {heading}", self.name), text: lines.collect::<Vec<_>>().join("\n") }
    }

    /// The fenced blocks in a language; in none with `""`.
    #[must_use]
    pub fn blocks(&self, language: &str) -> Vec<String> {
        let mut blocks = Vec::new();
        let mut open: Option<(String, Vec<&str>)> = None;
        for line in self.text.lines() {
            match (line.strip_prefix("```"), &mut open) {
                (Some(language), None) => open = Some((language.to_owned(), Vec::new())),
                (Some(_), Some(_)) => blocks.extend(open.take()),
                (None, Some((_, lines))) => lines.push(line),
                (None, None) => {}
            }
        }
        let blocks = blocks.into_iter().filter(|(found, _)| found == language);
        blocks.map(|(_, lines)| lines.join("\n")).collect()
    }

    /// The first table: its second column by the first, without backticks.
    #[must_use]
    pub fn table(&self) -> BTreeMap<String, String> {
        let rows = self.text.lines().skip_while(|line| !line.starts_with("|---"));
        let rows = rows.skip(1).take_while(|line| line.starts_with('|'));
        let table: BTreeMap<String, String> = rows
            .map(|row| {
                let mut cells = row.split('|').skip(1).map(|cell| cell.trim().trim_matches('`').to_owned());
                (cells.next().expect("a row has cells"), cells.next().expect("a row has two cells"))
            })
            .collect();
        assert!(!table.is_empty(), "{} has no table", self.name);
        table
    }
}

/// Replaces a text that must be there.
#[must_use]
pub fn replace(text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "{from:?} is not in {text}");
    text.replace(from, to)
}

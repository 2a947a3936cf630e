//! An estimate of tokens, for what no model has counted.

/// How many tokens a text is, roughly: each model has its own vocabulary. Four letters of English are about one
/// (<https://help.openai.com/en/articles/4936856>), a character of other scripts is one, an emoji up to three. The
/// estimate is on the high side: a model refuses what is too long.
#[must_use]
pub fn estimated_tokens(text: &str) -> u32 {
    let quarters: usize = text
        .chars()
        .map(|character| match character.len_utf8() {
            1 => 1,
            2 | 3 => 4,
            _ => 12,
        })
        .sum();
    u32::try_from(quarters.div_ceil(4)).unwrap_or(u32::MAX)
}

/// The most tokens that a text of this many bytes of UTF-8 is estimated to be: those of emoji.
#[must_use]
pub fn most_tokens_of(bytes: usize) -> u32 {
    u32::try_from((bytes * 3).div_ceil(4)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_scripts_take_more_tokens_than_english() {
        assert_eq!(estimated_tokens("word word word w"), 4);
        assert_eq!(estimated_tokens("東京都"), 3);
        assert_eq!(estimated_tokens("👩"), 3);
        assert_eq!(estimated_tokens(""), 0);
        for text in ["word", "東京都", "👩👩", "é"] {
            assert!(estimated_tokens(text) <= most_tokens_of(text.len()), "{text}");
        }
    }
}

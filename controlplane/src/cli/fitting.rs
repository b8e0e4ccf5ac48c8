//! Text of others in a table: it keeps its column and cannot move the cursor.

/// At most `width` characters of a text, of which one that is no visible ASCII is a `?`; one that was cut ends with `…`.
pub fn fitting(text: &str, width: usize) -> String {
    let visible = |c: char| if c == ' ' || c.is_ascii_graphic() { c } else { '?' };
    if text.chars().count() <= width {
        return text.chars().map(visible).collect();
    }
    text.chars().take(width.saturating_sub(1)).map(visible).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_long_is_cut_and_what_cannot_be_seen_is_replaced() {
        assert_eq!(fitting("curl/8.5", 8), "curl/8.5");
        assert_eq!(fitting("curl/8.5.0", 8), "curl/8.…");
        assert_eq!(fitting("a\u{1b}[2J\u{202e}é", 20), "a?[2J??");
    }
}

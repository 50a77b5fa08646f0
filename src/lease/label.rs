//! What a holder is called.

/// How much of a label is kept, in characters.
const MAX_LABEL: usize = 128;

/// A label on one line that does nothing to a terminal: what is not printable is escaped, and the end cut off.
pub(super) fn printable(label: &str) -> String {
    let mut kept = String::new();
    let mut room = MAX_LABEL;
    for char in label.chars() {
        let escaped = match char {
            // Harmless here, and common.
            '"' | '\'' => char.to_string(),
            _ => char.escape_debug().to_string(),
        };
        let Some(rest) = room.checked_sub(escaped.chars().count()) else { break };
        room = rest;
        kept.push_str(&escaped);
    }
    kept
}

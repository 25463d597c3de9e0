//! Sanitises a receiver's text for display.

use crate::glucose::reorders;

/// Returns at most `most` characters of a text, the last of them `…` if it had more. Control
/// characters become spaces; those that turn the direction of writing are left out, because they
/// can make a text read as another.
pub(crate) fn shown(text: &str, most: usize) -> String {
    let spaced =
        text.chars().filter(|c| !reorders(*c)).map(|c| if c.is_control() { ' ' } else { c });
    let mut shown = String::new();
    for (count, letter) in spaced.enumerate() {
        if count == most {
            shown.pop();
            shown.push('…');
            break;
        }
        shown.push(letter);
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_at_its_cap_and_loses_what_disturbs() {
        for (text, expected) in [
            ("abc", "abc"),
            ("abcd", "abcd"),
            ("abcde", "abc…"),
            ("a\u{7}b", "a b"),
            ("a\u{202e}b\u{2066}\u{61c}c\u{200f}", "abc"),
            ("éèàù", "éèàù"),
            ("", ""),
        ] {
            assert_eq!(shown(text, 4), expected, "{text:?}");
        }
    }
}

//! Tells texts that people can see from blank ones.

/// Whether `text` has a visible character. A name or a street of spaces, controls and zero-width
/// characters counts as none.
pub fn has_visible(text: &str) -> bool {
    text.chars().any(is_visible)
}

fn is_visible(char: char) -> bool {
    let code = u32::from(char);
    let is_blank = BLANK
        .binary_search_by(|(first, last)| {
            if *last < code {
                std::cmp::Ordering::Less
            } else if *first > code {
                std::cmp::Ordering::Greater
            } else {
                std::cmp::Ordering::Equal
            }
        })
        .is_ok();
    !is_blank && !char.is_whitespace() && !char.is_control()
}

/// First and last code point of each range that has no visible character. Ranges may overlap.
pub fn blank() -> impl Iterator<Item = (u32, u32)> {
    SPACES.into_iter().chain(BLANK)
}

/// First and last of each range of white space and controls.
const SPACES: [(u32, u32); 7] = [
    (0x0000, 0x0020),
    (0x007F, 0x00A0),
    (0x1680, 0x1680),
    (0x2000, 0x200A),
    (0x202F, 0x202F),
    (0x205F, 0x205F),
    (0x3000, 0x3000),
];

/// First and last of each range, ascending: the code points that are `Default_Ignorable_Code_Point` in
/// Unicode 16.0's `DerivedCoreProperties.txt`, the other format characters (general category Cf) except
/// the visible ones, private use and non-characters, and the Braille pattern without dots.
const BLANK: [(u32, u32); 26] = [
    (0x00AD, 0x00AD),
    (0x034F, 0x034F),
    (0x061C, 0x061C),
    (0x115F, 0x1160),
    (0x17B4, 0x17B5),
    (0x180B, 0x180F),
    (0x200B, 0x200F),
    (0x2028, 0x202E),
    (0x2060, 0x206F),
    (0x2800, 0x2800),
    (0x3164, 0x3164),
    (0xE000, 0xF8FF),
    (0xFE00, 0xFE0F),
    (0xFEFF, 0xFEFF),
    (0xFFA0, 0xFFA0),
    (0xFFF0, 0xFFFB),
    (0xFFFE, 0xFFFF),
    (0x13430, 0x1343F),
    (0x1BCA0, 0x1BCA3),
    (0x1D173, 0x1D17A),
    (0x1FFFE, 0x1FFFF),
    (0x2FFFE, 0x2FFFF),
    (0x3FFFE, 0x3FFFF),
    (0xE0000, 0xE0FFF),
    (0xEFFFE, 0xEFFFF),
    (0xF0000, 0x10_FFFF),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ranges_are_what_nobody_sees() {
        for char in '\0'..=char::MAX {
            let code = u32::from(char);
            let is_blank = blank().any(|(first, last)| (first..=last).contains(&code));
            assert_eq!(is_blank, !is_visible(char), "U+{code:04X}");
        }
    }

    #[test]
    fn a_text_needs_one_character_that_is_seen() {
        assert!(BLANK.is_sorted() && BLANK.iter().all(|(first, last)| first <= last));
        for seen in ["a", "\u{200b}1", "東京", "Łódź", "\u{1f355}", ".", "ـ", "क्"] {
            assert!(has_visible(seen), "{seen:?}");
        }
        for blank in [
            "",
            " ",
            "\t\n",
            "\u{200b}\u{200c}\u{200d}",
            "\u{feff}",
            "\u{2060}\u{ad}",
            "\u{3164}",
            "\u{2800} \u{a0}",
            "\u{202e}",
            "\u{7f}\u{1b}",
            "\u{e0001}",
            "\u{fe0f}",
        ] {
            assert!(!has_visible(blank), "{blank:?}");
        }
    }
}

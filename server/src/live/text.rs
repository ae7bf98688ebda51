//! Cleaning of what people write. The result is data to be shown as text; it must never be taken for markup, and cleaning
//! must never break a script: joiners, vowel signs and the parts of an emoji stay.

use unicode_normalization::char::is_combining_mark;

use super::reject::{Code, Reject};

/// Combining marks that one character may carry. Indic syllables need three or four.
const MAX_MARKS: usize = 8;

const FIRST_ISOLATE: char = '\u{2066}';
const LAST_ISOLATE: char = '\u{2068}';
const POP_ISOLATE: char = '\u{2069}';
const BLACK_FLAG: char = '\u{1f3f4}';

/// Cleans a text that must have something to read, at most `max` characters (Unicode scalars) after trimming.
///
/// # Errors
/// `bad_request` if nothing is left to read, `too_large` if it is longer; both name `field`.
pub fn clean(field: &str, text: &str, max: usize) -> Result<String, Reject> {
    let text = tidy(text);
    if !text.chars().any(is_visible) {
        return Err(Reject::field(field, "a text with something to read"));
    }
    if text.chars().nth(max).is_some() {
        return Err(Reject::new(Code::TooLarge, format!("\"{field}\" is longer than {max} characters")));
    }
    Ok(text)
}

/// The first `max` characters.
pub fn truncate(text: &str, max: usize) -> &str {
    text.char_indices().nth(max).map_or(text, |(end, _)| text.get(..end).unwrap_or(text))
}

/// Takes out what is no text, or only there to disturb the text of others.
fn tidy(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut marks = 0;
    let mut tags = false;
    let mut isolates = 0_usize;
    for symbol in text.trim().chars() {
        // The tags that spell a region stand right behind a black flag; elsewhere they are an invisible text.
        let tag = matches!(symbol, '\u{e0020}'..='\u{e007f}');
        if is_noise(symbol) || tag && !tags {
            continue;
        }
        tags = symbol == BLACK_FLAG || tag && symbol != '\u{e007f}';
        marks = if is_combining_mark(symbol) { marks + 1 } else { 0 };
        if marks > MAX_MARKS {
            continue;
        }
        match symbol {
            FIRST_ISOLATE..=LAST_ISOLATE => isolates += 1,
            POP_ISOLATE if isolates == 0 => continue,
            POP_ISOLATE => isolates -= 1,
            _ => {}
        }
        match symbol {
            '\u{2028}' | '\u{2029}' => out.push(' '),
            symbol => out.push(symbol),
        }
    }
    if isolates > 0 {
        // One that is not closed would turn the direction of whatever is shown behind it.
        out.retain(|symbol| !matches!(symbol, FIRST_ISOLATE..=POP_ISOLATE));
    }
    let trimmed = out.trim();
    if trimmed.len() == out.len() { out } else { trimmed.to_owned() }
}

/// Controls, embeddings and overrides of direction, and what is invisible without joining anything.
fn is_noise(symbol: char) -> bool {
    symbol.is_control()
        || matches!(symbol,
            '\u{00ad}' | '\u{200b}' | '\u{2060}'..='\u{2065}' | '\u{206a}'..='\u{206f}' | '\u{feff}'
            | '\u{202a}'..='\u{202e}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e001f}')
}

/// Whether a reader sees anything of it on its own.
fn is_visible(symbol: char) -> bool {
    !(symbol.is_whitespace()
        || is_combining_mark(symbol)
        || matches!(symbol,
            '\u{034f}' | '\u{061c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180e}'
            | '\u{200c}'..='\u{200f}' | '\u{2066}'..='\u{2069}' | '\u{2800}' | '\u{3164}' | '\u{ffa0}'
            | '\u{fe00}'..='\u{fe0f}' | '\u{e0020}'..='\u{e01ef}'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cleaned(text: &str) -> String {
        clean("text", text, 500).unwrap()
    }

    #[test]
    fn scripts_and_emoji_stay_as_they_are() {
        let texts = [
            "क्षत्रिय ने कहा: नमस्ते, क्‍या हाल है? र्‍य",    // Hindi, with ZWJ forms
            "வணக்கம், இந்த புடவை விலை என்ன? ஸ்ரீ க்ஷ",     // Tamil
            "നമസ്കാരം, അവന്‍ പറഞ്ഞു: വില എത്ര? ന്‍റെ",       // Malayalam, with ZWJ chillus
            "یہ کپڑا کتنے کا ہے؟ می‌خواہم بِسْمِ اللّٰهِ", // Urdu, with ZWNJ and vowel marks
            "বাংলা ক্‌ষ ধন্যবাদ",
            "👩‍👩‍👧‍👦 👍🏽 🏳️‍🌈 ❤️ 🏴\u{e0067}\u{e0062}\u{e0065}\u{e006e}\u{e0067}\u{e007f}",
            "<script>alert(1)</script> ${x} {{y}} =cmd() ' OR 1=1",
            "left \u{2067}שלום\u{2069} right",
            "a\u{0301}\u{0327} é ñ",
        ];
        for text in texts {
            assert_eq!(cleaned(text), text, "{text:?}");
        }
    }

    #[test]
    fn what_disturbs_is_taken_out() {
        let table = [
            ("  hello \u{3000}", "hello"),
            ("a\u{0}b\u{7}c\u{1b}[31m\u{85}d\u{7f}", "abc[31md"),
            ("safe\u{202e}gpj.exe\u{202c}", "safegpj.exe"),
            ("\u{202a}x\u{202b}y\u{202d}z", "xyz"),
            ("open \u{2068}never closed", "open never closed"),
            ("closed \u{2069}never opened", "closed never opened"),
            ("\u{feff}byte order", "byte order"),
            ("soft\u{ad}hy\u{200b}phen", "softhyphen"),
            ("hid\u{e0068}\u{e0069}den", "hidden"),
            ("two\u{2028}lines", "two lines"),
            ("\u{7} edge \u{7}", "edge"),
        ];
        for (text, wanted) in table {
            assert_eq!(cleaned(text), wanted, "{text:?}");
        }
    }

    #[test]
    fn towers_of_marks_are_cut() {
        let tower = format!("z{}a\u{300}", "\u{0335}".repeat(40));
        assert_eq!(cleaned(&tower), format!("z{}a\u{300}", "\u{0335}".repeat(8)));
    }

    #[test]
    fn a_text_that_nobody_can_read_is_refused() {
        for text in [
            "",
            "   ",
            "\u{200b}\u{200b}",
            "\u{200d}",
            "\u{200c} \u{feff}",
            "\u{3164}",
            "\u{2800}",
            "\u{fe0f}",
            "\u{301}",
            "\n\t",
        ] {
            assert_eq!(clean("text", text, 500).unwrap_err().code, Code::BadRequest, "{text:?}");
        }
    }

    #[test]
    fn the_limit_counts_characters_after_trimming() {
        let full = "क".repeat(500);
        assert_eq!(cleaned(&format!("  {full}  ")), full);
        assert_eq!(clean("text", &format!("{full}क"), 500).unwrap_err().code, Code::TooLarge);
        assert_eq!(truncate("नमस्ते", 2), "नम");
        assert_eq!(truncate("ab", 2), "ab");
    }

    proptest! {
        #[test]
        fn cleaning_twice_changes_nothing(text in any::<String>()) {
            if let Ok(once) = clean("text", &text, 500) {
                prop_assert_eq!(clean("text", &once, 500).unwrap(), once);
            }
        }

        #[test]
        fn nothing_that_turns_the_direction_is_left_open(text in "[a\u{202a}-\u{202e}\u{2066}-\u{2069}]{0,20}") {
            if let Ok(text) = clean("text", &text, 500) {
                let mut open = 0_i32;
                for symbol in text.chars() {
                    let overrides = '\u{202a}'..='\u{202e}';
                    prop_assert!(!overrides.contains(&symbol));
                    open += i32::from(('\u{2066}'..='\u{2068}').contains(&symbol)) - i32::from(symbol == '\u{2069}');
                    prop_assert!(open >= 0);
                }
                prop_assert_eq!(open, 0);
            }
        }
    }
}

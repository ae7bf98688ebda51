//! Words that a stream does not want, and where they are in a text. Words match whole words, literally, without regard to
//! case; look-alikes that Unicode itself calls compatible, and joiners in between, do not hide one. It must never match
//! part of a word: in Indic scripts a vowel sign belongs to the word that it is written at.

use serde::{Deserialize, Serialize};
use unicode_normalization::{UnicodeNormalization, char::is_combining_mark};

/// What becomes of a message with such a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Action {
    /// It is not sent.
    Reject,
    /// It is sent with asterisks in place of the word.
    Mask,
    /// It waits for a moderator.
    Hold,
}

/// The words of a stream.
#[derive(Debug, Clone)]
pub(super) struct Words {
    words: Vec<Vec<char>>,
    pub action: Action,
}

/// A text as it is compared: folded characters, each with its place in the original.
struct Skeleton {
    chars: Vec<char>,
    places: Vec<usize>,
}

impl Skeleton {
    fn of(text: &str) -> Self {
        let (mut chars, mut places) = (Vec::with_capacity(text.len()), Vec::with_capacity(text.len()));
        for (place, symbol) in text.chars().enumerate() {
            if is_joiner(symbol) {
                continue;
            }
            for folded in std::iter::once(symbol).nfkd().flat_map(char::to_lowercase) {
                chars.push(folded);
                places.push(place);
            }
        }
        Self { chars, places }
    }
}

/// What joins characters or chooses their looks, and is nothing to read.
fn is_joiner(symbol: char) -> bool {
    matches!(symbol, '\u{200c}' | '\u{200d}' | '\u{fe00}'..='\u{fe0f}' | '\u{e0020}'..='\u{e01ef}')
}

fn is_word(symbol: char) -> bool {
    symbol.is_alphanumeric() || is_combining_mark(symbol)
}

impl Words {
    /// These words; those with nothing to compare are left out.
    pub(super) fn new(words: &[String], action: Action) -> Self {
        let words = words.iter().map(|word| Skeleton::of(word.trim()).chars).filter(|word| !word.is_empty());
        Self { words: words.collect(), action }
    }

    /// The places of the text's characters that belong to such a word.
    fn hits(&self, text: &str) -> Vec<usize> {
        let skeleton = Skeleton::of(text);
        let chars = &skeleton.chars;
        let mut hits = Vec::new();
        for word in &self.words {
            for (start, window) in chars.windows(word.len()).enumerate() {
                let end = start + word.len();
                if window == word.as_slice() && is_edge(chars, start) && is_edge(chars, end) {
                    hits.extend_from_slice(skeleton.places.get(start..end).unwrap_or_default());
                }
            }
        }
        hits.sort_unstable();
        hits.dedup();
        hits
    }

    /// Whether there is such a word in the text.
    pub(super) fn found(&self, text: &str) -> bool {
        !self.hits(text).is_empty()
    }

    /// The text with an asterisk for each character of such a word; `None` if there is none.
    pub(super) fn masked(&self, text: &str) -> Option<String> {
        let hits = self.hits(text);
        if hits.is_empty() {
            return None;
        }
        let masked = text.chars().enumerate().map(
            |(place, symbol)| {
                if hits.binary_search(&place).is_ok() { '*' } else { symbol }
            },
        );
        Some(masked.collect())
    }
}

/// Whether no word goes on across this place.
fn is_edge(chars: &[char], place: usize) -> bool {
    let before = place.checked_sub(1).and_then(|before| chars.get(before));
    let after = chars.get(place);
    !(before.is_some_and(|symbol| is_word(*symbol)) && after.is_some_and(|symbol| is_word(*symbol)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[&str]) -> Words {
        Words::new(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>(), Action::Mask)
    }

    #[test]
    fn whole_words_are_found_whatever_their_case() {
        let table = [
            ("spam", "spam", true),
            ("spam", "SPAM!", true),
            ("Spam", "no (spaM), please", true),
            ("spam", "_spam_", true),
            ("spam", "spammer", false),
            ("spam", "antispam", false),
            ("spam", "sp am", false),
            ("spam2", "spam2", true),
            ("spam", "spam2", false),
            ("buy now", "Buy Now!", true),
            ("buy now", "buy  now", false),
            ("a.b", "a.b", true),
            ("a.b", "axb", false),
            ("$$$", "win $$$ today", true),
            ("straße", "STRASSE", false),
            ("ÉTÉ", "un été chaud", true),
            ("été", "un e\u{301}te\u{301} chaud", true),
            ("spam", "ｓｐａｍ", true),
            ("spam", "sp\u{200d}am", true),
            ("बुरा", "वह बुरा है", true),
            ("बुर", "वह बुरा है", false),
            ("கெட்ட", "கெட்ட சொல்", true),
            ("கெட்", "கெட்ட சொல்", false),
            ("", "anything", false),
            ("\u{200d}", "any\u{200d}thing", false),
        ];
        for (word, text, found) in table {
            assert_eq!(words(&[word]).found(text), found, "{word:?} in {text:?}");
        }
    }

    #[test]
    fn masks_cover_the_word_and_nothing_else() {
        let words = words(&["spam", "बुरा", "ﬁ"]);
        let table = [
            ("some Spam here, spam", Some("some **** here, ****")),
            ("spammers", None),
            ("वह बुरा है", Some("वह **** है")),
            ("sp\u{200d}am", Some("**\u{200d}**")),
            ("fi ﬁ", Some("** *")),
        ];
        for (text, masked) in table {
            assert_eq!(words.masked(text).as_deref(), masked, "{text:?}");
        }
    }

    #[test]
    fn overlapping_words_are_both_masked() {
        assert_eq!(words(&["a b", "b c"]).masked("a b c").as_deref(), Some("*****"));
    }
}

//! The table of keys as a page for operators. `server/guide/configuration.md` is what this says; a test compares them.

use std::fmt::Write;

use super::table::{KEYS, Key, SECTIONS};

/// What stands above the tables.
const HEAD: &str = "# Configuration reference

<!-- Made by `haat defaults --markdown` from server/src/config/table.rs. Change it there, then write this file anew. -->

Every setting, with its default. `haat check` says what a configuration comes to and where each value is from;
`haat defaults` prints a `haat.toml` with all of them. How to run a gateway is in the [operator's guide][operate].

A value comes from the first of these that has one: a flag, a variable `HAAT_…`, `haat.toml` (another file: `--config` or
`HAAT_CONFIG`), the default. A setting or a variable `HAAT_…` that there is not is an error that names it. In a variable a
list is one text with commas: `HAAT_ORIGINS=https://shop.example,https://www.shop.example`. An empty text is as good as none.
Secrets are never shown.
";

/// What stands below them: where the links lead.
const TAIL: &str = "\n[operate]: operate.md\n";

/// All settings as Markdown, a table for each table of the file.
pub fn markdown() -> String {
    let mut text = String::from(HEAD);
    section(&mut text, "Top of the file", "What stands before the first table of `haat.toml`.", |key| {
        !key.path.contains('.')
    });
    for (name, doc) in SECTIONS {
        section(&mut text, &format!("`[{name}]`"), doc, |key| {
            key.path.split_once('.').is_some_and(|(section, _)| section == *name)
        });
    }
    text.push_str(TAIL);
    text
}

fn section(text: &mut String, title: &str, doc: &str, holds: impl Fn(&Key) -> bool) {
    let _ = write!(text, "\n## {title}\n\n{doc}\n\n| setting | variable | default | values | what it does |\n");
    text.push_str("| --- | --- | --- | --- | --- |\n");
    for key in KEYS.iter().filter(|key| holds(key)) {
        let name = key.path.rsplit('.').next().unwrap_or(key.path);
        let default = key.default.map_or_else(|| "not set".to_owned(), |default| format!("`{default}`"));
        let (values, does) = (plain(&key.kind.allowed()), plain(key.doc));
        let _ = writeln!(text, "| `{name}` | `{}` | {default} | {values} | {does} |", key.variable());
    }
}

/// A text for a cell of a table. Addresses are shown as they are, and lead nowhere.
fn plain(text: &str) -> String {
    let word = |word: &str| {
        let bare = word.trim_end_matches([',', '.', ';', ':']);
        let end = word.strip_prefix(bare).unwrap_or_default();
        if bare.contains("://") || bare.contains(['*', '[']) { format!("`{bare}`{end}") } else { word.to_owned() }
    };
    text.split(' ').map(word).collect::<Vec<_>>().join(" ").replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_has_a_row() {
        let text = markdown();
        for key in KEYS {
            assert_eq!(text.matches(&format!("| `{}` |", key.variable())).count(), 1, "{}", key.path);
        }
    }

    #[test]
    fn addresses_are_no_links() {
        assert_eq!(plain("such as https://shop.example, or * alone"), "such as `https://shop.example`, or `*` alone");
        assert_eq!(plain("or [::]:3000"), "or `[::]:3000`");
        assert_eq!(plain("a | b"), "a \\| b");
    }
}

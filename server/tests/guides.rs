//! The guides say what the code does: no setting, command, member or error code of it is missing there.

use haat_server::{
    config::{reference, table::KEYS},
    live::{reject::Code, table::COMMANDS},
};

const APP: &str = include_str!("../guide/app.md");
const BACKEND: &str = include_str!("../guide/backend.md");
const CONFIGURATION: &str = include_str!("../guide/configuration.md");
const MIGRATE: &str = include_str!("../guide/migrate.md");
const OPERATE: &str = include_str!("../guide/operate.md");
const README: &str = include_str!("../../README.md");

#[test]
fn the_configuration_reference_is_that_of_the_code() {
    assert!(
        CONFIGURATION == reference::markdown(),
        "server/guide/configuration.md is stale: haat defaults --markdown > server/guide/configuration.md"
    );
}

#[test]
fn every_command_has_a_row_with_its_members() {
    for command in COMMANDS {
        let name = format!("`{}`", command.name);
        let rows: Vec<&str> = APP.lines().filter(|line| line.starts_with('|') && line.contains(&name)).collect();
        assert!(!rows.is_empty(), "{} has no row in app.md", command.name);
        for member in command.takes.split_whitespace().chain(command.adds.split_whitespace()) {
            let (member, _) = member.split_once(':').unwrap_or((member, ""));
            let member = member.trim_end_matches('?');
            // A row may say that its members are those of another command.
            let named = rows.iter().any(|row| row.contains(member) || row.contains("as `stream:start`"));
            assert!(named, "{}: {member} is not in its row of app.md", command.name);
        }
    }
}

#[test]
fn every_error_code_is_explained() {
    for code in Code::ALL {
        let name = format!("`{}`", code.as_str());
        assert!(APP.contains(&format!("| {name}")) || APP.contains(&format!(", {name} |")), "{name} in app.md");
        let row = format!("| {} |", code.status());
        let row = BACKEND.lines().find(|line| line.starts_with(&row)).unwrap_or_default();
        assert!(row.contains(&name), "{name} in backend.md, as {}", code.status());
    }
}

#[test]
fn every_metric_that_is_named_is_one() {
    let metrics = include_str!("../guide/metrics.md");
    for page in [OPERATE, MIGRATE, README] {
        let words = page.split(|symbol: char| !(symbol.is_ascii_lowercase() || symbol == '_'));
        for word in words.filter(|word| word.starts_with("haat_") && !["haat_adapter", "haat_server"].contains(word)) {
            assert!(metrics.contains(&format!("| `{word}` |")), "there is no metric {word}");
        }
    }
}

#[test]
fn every_setting_that_is_named_is_one() {
    for page in [APP, BACKEND, OPERATE, MIGRATE, README] {
        for word in page.split(|symbol: char| !(symbol.is_ascii_uppercase() || matches!(symbol, '_' | '0'..='9'))) {
            // HAAT_LIMITS_ and the like are the beginnings of several.
            if word.starts_with("HAAT_") && !word.ends_with('_') && word != "HAAT_CONFIG" {
                assert!(KEYS.iter().any(|key| key.variable() == word), "there is no variable {word}");
            }
        }
        for word in page.split('`').skip(1).step_by(2) {
            let (path, _) = word.split_once(" = ").unwrap_or((word, ""));
            let section = path.split_once('.').map_or("", |(section, _)| section);
            let sections = ["engine", "auth", "peer", "limits", "outbox", "fanout", "webhooks"];
            let is_path = path.chars().all(|symbol| symbol.is_ascii_lowercase() || matches!(symbol, '.' | '_'));
            if sections.contains(&section) && is_path {
                assert!(KEYS.iter().any(|key| key.path == path), "there is no setting {path}");
            }
        }
    }
}

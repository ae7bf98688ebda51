//! [`Layers`]: where the values of a run come from, later ones winning: defaults, `haat.toml`, `HAAT_…` variables, flags.

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
};

use toml::{Table, Value};

use super::{
    Config, ConfigError, ConfigErrors, check,
    raw::Raw,
    table::{KEYS, Key, find},
};

/// The variable that names the file; not a key, since the file cannot name itself.
pub const FILE_VARIABLE: &str = "HAAT_CONFIG";
/// The file that is read if none is named.
pub const DEFAULT_FILE: &str = "haat.toml";
/// Bytes of a configuration file. A larger one is something else.
const MAX_FILE: u64 = 1 << 20;

/// Where a value was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// The default.
    Default,
    /// A configuration file.
    File(PathBuf),
    /// A variable of the environment.
    Variable(String),
    /// A flag of the command line.
    Flag(String),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Variable(name) | Self::Flag(name) => f.write_str(name),
        }
    }
}

/// What a run was given. Not `Debug`: the environment holds secrets.
#[derive(Default)]
pub struct Layers {
    /// The file that was named; `None` reads [`DEFAULT_FILE`] if there is one.
    pub file: Option<PathBuf>,
    /// The environment.
    pub variables: Vec<(String, String)>,
    /// Flags: the path of the key, and the value.
    pub flags: Vec<(&'static str, String)>,
    /// Whether this is a run for development, which needs no key.
    pub dev: bool,
}

impl Layers {
    /// With the environment of this process. What is not Unicode there is no setting of ours.
    pub fn of_process() -> Self {
        let unicode = |text: std::ffi::OsString| text.into_string().ok();
        let variables = std::env::vars_os().filter_map(|(name, value)| Some((unicode(name)?, unicode(value)?)));
        Self { variables: variables.collect(), ..Self::default() }
    }

    /// Reads everything and checks it.
    ///
    /// # Errors
    /// Every mistake that was found.
    pub fn load(&self) -> Result<Loaded, ConfigErrors> {
        let mut found = Found::default();
        for key in KEYS {
            let default = key.default.and_then(literal).and_then(|value| key.kind.read(value).ok().flatten());
            found.values.insert(key.path, (default, Source::Default));
        }
        self.read_file(&mut found);
        self.read_variables(&mut found);
        for (path, text) in &self.flags {
            if let Some(key) = find(path) {
                found.text(key, text, Source::Flag(key.flag()));
            }
        }
        let Found { values, mut errors } = found;
        let set = values.iter().filter_map(|(path, (value, _))| Some((*path, value.clone()?)));
        let config = match tree(set).try_into::<Raw>() {
            Ok(raw) => check::check(raw, self.dev, &mut errors),
            // The values are of the kinds that the fields have, which a test proves for every key.
            Err(error) => {
                let problem = error.message().to_owned();
                errors.push(ConfigError::Rule { key: "haat.toml", problem });
                None
            }
        };
        match config {
            Some(config) if errors.is_empty() => Ok(Loaded { config, values }),
            _ => Err(ConfigErrors(errors)),
        }
    }

    fn read_file(&self, found: &mut Found) {
        let variable = self.variables.iter().find(|(name, value)| name == FILE_VARIABLE && !value.is_empty());
        let named = self.file.clone().or_else(|| variable.map(|(_, value)| PathBuf::from(value)));
        let path = match named {
            Some(path) => path,
            None if Path::new(DEFAULT_FILE).exists() => PathBuf::from(DEFAULT_FILE),
            None => return,
        };
        match read_text(&path).and_then(|text| parse(&text)) {
            Ok(table) => found.table("", table, &path),
            Err(problem) => found.errors.push(ConfigError::File { path, problem }),
        }
    }

    fn read_variables(&self, found: &mut Found) {
        for (name, text) in self.variables.iter().filter(|(name, _)| name.starts_with("HAAT_") && name != FILE_VARIABLE)
        {
            match KEYS.iter().find(|key| key.variable() == *name) {
                Some(key) => found.text(key, text, Source::Variable(name.clone())),
                None => {
                    let names = KEYS.iter().map(Key::variable).chain([FILE_VARIABLE.to_owned()]);
                    let origin = Source::Variable(String::from("environment"));
                    found.errors.push(ConfigError::Unknown {
                        name: name.clone(),
                        origin,
                        nearest: nearest(name, names),
                    });
                }
            }
        }
    }
}

/// A configuration that was checked, and where its values came from. Not `Debug`: see [`describe`](Self::describe).
pub struct Loaded {
    /// What the code uses.
    pub config: Config,
    values: Values,
}

type Values = BTreeMap<&'static str, (Option<Value>, Source)>;

impl Loaded {
    /// The effective values as TOML, with where each came from; secrets are masked.
    pub fn describe(&self) -> String {
        let lines = |key: &Key| {
            let (value, source) = self.values.get(key.path).cloned().unwrap_or((None, Source::Default));
            let name = key.path.rsplit('.').next().unwrap_or(key.path);
            match value {
                Some(_) if key.is_secret() => format!("{name} = \"***\"  # {source}\n"),
                Some(value) => format!("{name} = {}  # {source}\n", shown(&value)),
                None => format!("# {name} is not set\n"),
            }
        };
        let hops = match self.config.fleet_secret() {
            Ok(_) => "are passed on to the one that holds the session".to_owned(),
            Err(why) => format!("are refused: {why}"),
        };
        let text = document(|section, _| format!("\n[{section}]\n"), lines);
        format!("{text}\n# Requests that a load balancer brings to the wrong gateway {hops}.\n")
    }
}

/// A `haat.toml` that says what is so without it, with a comment for every key.
pub fn defaults() -> String {
    let head = "# Every setting of haat with its default. A variable HAAT_… sets the same: HAAT_LIMITS_ROOMS is rooms of [limits].\n\n";
    let lines = |key: &Key| {
        let name = key.path.rsplit('.').next().unwrap_or(key.path);
        match key.default {
            Some(default) => format!("# {}\n{name} = {default}\n", key.doc),
            None => format!("# {}\n# {name} = {}\n", key.doc, key.example),
        }
    };
    format!("{head}{}", document(|section, doc| format!("\n# {doc}\n[{section}]\n"), lines))
}

/// The table of keys as a TOML document.
fn document(section: impl Fn(&str, &str) -> String, line: impl Fn(&Key) -> String) -> String {
    let mut text = String::new();
    for key in KEYS.iter().filter(|key| !key.path.contains('.')) {
        text.push_str(&line(key));
    }
    for (name, doc) in super::table::SECTIONS {
        text.push_str(&section(name, doc));
        for key in KEYS.iter().filter(|key| key.path.split_once('.').is_some_and(|(section, _)| section == *name)) {
            text.push_str(&line(key));
        }
    }
    text
}

/// The values under their paths.
pub(super) fn tree(values: impl Iterator<Item = (&'static str, Value)>) -> Table {
    // A section whose keys are all unset is still one.
    let mut root: Table =
        super::table::SECTIONS.iter().map(|(name, _)| ((*name).to_owned(), Value::Table(Table::new()))).collect();
    for (path, value) in values {
        match path.split_once('.') {
            Some((section, name)) => {
                if let Some(Value::Table(table)) = root.get_mut(section) {
                    table.insert(name.to_owned(), value);
                }
            }
            None => drop(root.insert(path.to_owned(), value)),
        }
    }
    root
}

#[derive(Default)]
struct Found {
    values: Values,
    errors: Vec<ConfigError>,
}

impl Found {
    fn table(&mut self, prefix: &str, table: Table, file: &Path) {
        let origin = Source::File(file.to_owned());
        for (name, value) in table {
            let path = format!("{prefix}{name}");
            let is_section = super::table::SECTIONS.iter().any(|(section, _)| *section == path);
            match (find(&path), value) {
                (Some(key), value) => {
                    let shown = shown(&value);
                    self.set(key, key.kind.read(value), &shown, origin.clone());
                }
                (None, Value::Table(inner)) if is_section => self.table(&format!("{path}."), inner, file),
                (None, _) => {
                    let nearest = nearest(&path, KEYS.iter().map(|key| key.path.to_owned()));
                    self.errors.push(ConfigError::Unknown { name: path, origin: origin.clone(), nearest });
                }
            }
        }
    }

    fn text(&mut self, key: &'static Key, text: &str, origin: Source) {
        self.set(key, key.kind.parse(text), &format!("{text:?}"), origin);
    }

    fn set(&mut self, key: &'static Key, read: Result<Option<Value>, String>, shown: &str, origin: Source) {
        match read {
            // An empty text unsets: deployments pass variables on that are set to nothing.
            Ok(None) if key.default.is_some() => {}
            Ok(value) => drop(self.values.insert(key.path, (value, origin))),
            Err(allowed) => {
                let value = if key.is_secret() { "***".into() } else { cut(shown) };
                self.errors.push(ConfigError::Value { key: key.path, origin, value, allowed });
            }
        }
    }
}

/// A value as TOML. Floats without a fraction are shown without one.
fn shown(value: &Value) -> String {
    match value {
        Value::Float(number) => number.to_string(),
        value => value.to_string(),
    }
}

/// No more than a line's worth of what somebody wrote.
fn cut(text: &str) -> String {
    const MOST: usize = 100;
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

pub(super) fn literal(text: &str) -> Option<Value> {
    let mut table: Table = format!("value = {text}").parse().ok()?;
    table.remove("value")
}

fn read_text(path: &Path) -> Result<String, String> {
    let size = std::fs::metadata(path).map_err(|error| error.to_string())?.len();
    if size > MAX_FILE {
        return Err(format!("it has {size} bytes; allowed are {MAX_FILE}"));
    }
    std::fs::read_to_string(path).map_err(|error| error.to_string())
}

fn parse(text: &str) -> Result<Table, String> {
    text.parse::<Table>().map_err(|error| {
        // The error's own text quotes the line, which may hold a secret.
        let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        format!("line {}: {}", before.matches('\n').count() + 1, error.message())
    })
}

/// The name that was probably meant, if one is near.
fn nearest(name: &str, names: impl Iterator<Item = String>) -> Option<String> {
    let best = names.map(|known| (distance(name, &known), known)).min()?;
    (best.0 <= 1 + name.len() / 4).then_some(best.1)
}

/// In how many places two names differ: characters added, removed or changed.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.iter().enumerate() {
            let changed = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

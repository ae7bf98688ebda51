//! The recording of a show: one cue a line, in JSON. People edit it, or make it from a stream's history and ledger.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use serde::Deserialize;
use serde_json::{Map, Value};

/// The show that is played where none is named.
const DEFAULT: &str = include_str!("../../shows/sale.jsonl");
/// Cues of a show.
const MAX_CUES: usize = 1_000_000;

/// A line, as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    at: f64,
    event: String,
    #[serde(default)]
    body: Map<String, Value>,
    share: Option<f64>,
    rate: Option<f64>,
    #[serde(default)]
    over: f64,
}

/// Who acts, and how often.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Often {
    /// One, once.
    Once,
    /// This share of those who watch, each once, spread over the cue's time.
    Share(f64),
    /// So many a second, one viewer after the other, for the cue's time.
    Rate(f64),
}

/// Something that happens.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Cue {
    /// Line of the file.
    pub(crate) line: usize,
    /// When, from the beginning.
    pub(crate) at: Duration,
    /// A command, or `audience`, or `kill`.
    pub(crate) event: String,
    /// The command's body, without the stream.
    pub(crate) body: Map<String, Value>,
    /// Who, and how often.
    pub(crate) often: Often,
    /// For how long.
    pub(crate) over: Duration,
}

/// A show.
#[derive(Debug)]
pub(crate) struct Script {
    /// What happens, in order.
    pub(crate) cues: Vec<Cue>,
}

impl Script {
    /// Reads a file, or the show that comes with the tool; for so many viewers, and so many times as fast.
    ///
    /// # Errors
    /// If the file cannot be read, or says something that is no cue.
    pub(crate) fn read(path: Option<&Path>, viewers: usize, speed: f64) -> anyhow::Result<Self> {
        match path {
            None => Self::parse(DEFAULT, viewers, speed).context("the default show"),
            Some(path) => {
                let text = std::fs::read_to_string(path).with_context(|| format!("show {}", path.display()))?;
                Self::parse(&text, viewers, speed).with_context(|| format!("show {}", path.display()))
            }
        }
    }

    fn parse(text: &str, viewers: usize, speed: f64) -> anyhow::Result<Self> {
        let mut cues = Vec::new();
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let cue = cue(line, viewers, speed).with_context(|| format!("line {}", number + 1))?;
            cues.push(Cue { line: number + 1, ..cue });
        }
        if cues.is_empty() || cues.len() > MAX_CUES {
            bail!("1 to {MAX_CUES} cues make a show");
        }
        cues.sort_by_key(|cue| cue.at);
        Ok(Self { cues })
    }
}

impl Cue {
    /// Whether this is a kill by which messages may be lost for good.
    pub(crate) fn allows_resets(&self) -> bool {
        self.event == "kill" && self.body.get("resets") == Some(&Value::Bool(true))
    }

    /// A text of the body; empty if there is none.
    pub(crate) fn text(&self, member: &str) -> String {
        self.body.get(member).and_then(Value::as_str).unwrap_or_default().to_owned()
    }

    /// Whether viewers do this; if not, the supplier does.
    pub(crate) fn is_of_viewers(&self) -> bool {
        matches!(
            &*self.event,
            "chat:send"
                | "reaction:send"
                | "drop:claim"
                | "wheel:spin"
                | "poll:vote"
                | "question:ask"
                | "question:upvote"
        )
    }
}

fn cue(line: &str, viewers: usize, speed: f64) -> anyhow::Result<Cue> {
    let Written { at, event, mut body, share, rate, over } = serde_json::from_str(line)?;
    let time = |seconds: f64| {
        Duration::try_from_secs_f64(seconds / speed).map_err(|_| anyhow::anyhow!("{seconds} s is no time"))
    };
    let often = match (share, rate) {
        (None, None) => Often::Once,
        (Some(share), None) if (0.0..=1.0).contains(&share) => Often::Share(share),
        (None, Some(rate)) if rate > 0.0 && over > 0.0 => Often::Rate(rate * speed),
        _ => bail!("either a share of 0 to 1, or a rate above 0 over some seconds"),
    };
    if event == "audience" && !matches!(often, Often::Share(_)) {
        bail!("audience needs a share");
    }
    for value in body.values_mut() {
        fill(value, viewers)?;
    }
    Ok(Cue { line: 0, at: time(at)?, event, body, often, over: time(over)? })
}

/// Replaces stocks such as `"50%"` by that share of the viewers, at least 1.
fn fill(value: &mut Value, viewers: usize) -> anyhow::Result<()> {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                match value {
                    Value::String(text) if name == "stock" => {
                        let percent = text.strip_suffix('%').and_then(|text| text.parse::<f64>().ok());
                        let percent =
                            percent.with_context(|| format!("a stock is a number or a percentage: {text}"))?;
                        *value = Value::from(((viewers as f64 * percent / 100.0).round() as u64).max(1));
                    }
                    value => fill(value, viewers)?,
                }
            }
            Ok(())
        }
        Value::Array(values) => values.iter_mut().try_for_each(|value| fill(value, viewers)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_show_has_all_that_a_rehearsal_needs() {
        let script = Script::read(None, 200, 10.0).unwrap();
        for event in ["stream:start", "audience", "chat:send", "reaction:send", "drop:claim", "wheel:spin", "kill"] {
            assert!(script.cues.iter().any(|cue| cue.event == event), "{event}");
        }
        assert!(!script.cues.iter().any(Cue::allows_resets));
    }

    #[test]
    fn speed_and_audience_scale_what_is_written() {
        let text = concat!(
            "# a comment\n\n",
            r#"{"at":20,"event":"chat:send","body":{"text":"hi"},"rate":3,"over":10}"#,
            "\n",
            r#"{"at":10,"event":"drop:open","body":{"drop":{"id":"d","stock":"50%"}}}"#,
        );
        let script = Script::parse(text, 30, 2.0).unwrap();
        assert_eq!(script.cues[0].body["drop"]["stock"], 15);
        assert_eq!(script.cues[0].at, Duration::from_secs(5));
        assert_eq!(script.cues[1].often, Often::Rate(6.0));
        assert_eq!((script.cues[1].over, script.cues[1].line), (Duration::from_secs(5), 3));
    }

    #[test]
    fn what_is_no_cue_is_refused_with_its_line() {
        for bad in [
            r#"{"event":"kill"}"#,
            r#"{"at":-1,"event":"kill"}"#,
            r#"{"at":1,"event":"chat:send","rate":3}"#,
            r#"{"at":1,"event":"audience"}"#,
            r#"{"at":1,"event":"audience","share":2}"#,
            r#"{"at":1,"event":"kill","who":"me"}"#,
            r#"{"at":1,"event":"drop:open","body":{"drop":{"stock":"many"}}}"#,
            "",
        ] {
            assert!(Script::parse(bad, 10, 1.0).is_err(), "{bad}");
        }
        let error = Script::parse("\n{}", 10, 1.0).unwrap_err();
        assert!(error.to_string().contains("line 2"), "{error}");
    }
}

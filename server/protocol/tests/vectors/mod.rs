//! Reads the recordings of the official packages that lie beside this file.
#![allow(clippy::unwrap_used)]

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

#[derive(Deserialize)]
struct Recording<'a> {
    count: usize,
    #[serde(borrow)]
    vectors: Vec<&'a RawValue>,
}

/// The vectors of one recording. Half a surrogate pair, which this language has no text for, becomes `<half>`: the
/// truth about such a vector is in its `hex`.
pub(crate) fn read<T: DeserializeOwned>(json: &str) -> Vec<T> {
    let recording: Recording<'_> = serde_json::from_str(json).unwrap();
    let vectors: Vec<T> = recording
        .vectors
        .iter()
        .map(|vector| serde_json::from_str(&vector.get().replace(r#""\ud800""#, r#""<half>""#)).unwrap())
        .collect();
    assert!(vectors.len() == recording.count && recording.count > 0, "the recording is incomplete");
    vectors
}

pub(crate) fn from_hex(hex: &str) -> Vec<u8> {
    assert!(hex.len().is_multiple_of(2), "{hex}");
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

pub(crate) fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

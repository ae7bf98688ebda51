//! The operator's keys. Each is for one algorithm, which its type chooses: a token must never be checked by an algorithm
//! that was not meant for the key (a public key taken for an HS256 secret lets everybody sign).

use base64::{Engine as _, engine::general_purpose::STANDARD};
use jsonwebtoken::{
    Algorithm, DecodingKey, DecodingKeyKind,
    crypto::{self, rust_crypto},
};
use serde::{Deserialize, de::IgnoredAny};

use super::{AuthSetupError, KeySource, SECRET_BYTES};

/// Keys that a set may hold.
const SET_KEYS: usize = 64;
/// Bits of an RSA modulus: fewer can be broken, more cost too much.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=4096;

/// A key, for one algorithm.
pub(super) struct Key {
    algorithm: Algorithm,
    material: DecodingKey,
    place: Place,
}

enum Place {
    /// Given by itself: it has no name, whatever a token says.
    Alone,
    /// In a set, where a token can name it.
    Set(Option<Box<str>>),
}

impl Key {
    /// Whether it is for the algorithm of this name.
    pub(super) fn is_for(&self, algorithm: &str) -> bool {
        let name = match self.algorithm {
            Algorithm::HS256 => "HS256",
            Algorithm::RS256 => "RS256",
            Algorithm::ES256 => "ES256",
            Algorithm::EdDSA => "EdDSA",
            _ => return false,
        };
        name == algorithm
    }

    /// Whether a token with this `kid` can mean it.
    pub(super) fn is_meant(&self, kid: Option<&str>) -> bool {
        match (&self.place, kid) {
            (Place::Alone, _) | (Place::Set(_), None) => true,
            (Place::Set(name), kid) => name.as_deref() == kid,
        }
    }

    /// Whether it made the signature (base64url) of a message.
    pub(super) fn has_signed(&self, message: &str, signature: &str) -> bool {
        crypto::verify(signature, message.as_bytes(), &self.material, self.algorithm).unwrap_or(false)
    }

    fn new(algorithm: Algorithm, material: DecodingKey, place: Place) -> Result<Self, &'static str> {
        let sound = match algorithm {
            Algorithm::RS256 => rsa_problem(&material),
            // The library takes the first 32 bytes without looking how many there are.
            Algorithm::EdDSA if material.try_get_as_bytes().map_or(0, <[u8]>::len) != 32 => {
                Some("it is not an Ed25519 key")
            }
            // An error means that the key is not a point of the curve; a wrong signature is none.
            algorithm => crypto::verify("", b"", &material, algorithm).err().map(|_| "it is not a key of its curve"),
        };
        match sound {
            Some(problem) => Err(problem),
            None => Ok(Self { algorithm, material, place }),
        }
    }
}

/// All keys of the sources.
///
/// # Errors
/// The first that cannot be used, or that there is none.
pub(super) fn read(sources: &[KeySource]) -> Result<Box<[Key]>, AuthSetupError> {
    let mut keys = Vec::new();
    for source in sources {
        match source {
            KeySource::Secret(secret) => keys.push(self::secret(secret)?),
            KeySource::Pem { text } => keys.push(pem(text)?),
            KeySource::Jwks { text } => set(text, &mut keys)?,
        }
    }
    if keys.is_empty() { Err(AuthSetupError::NoKey) } else { Ok(keys.into()) }
}

fn secret(secret: &[u8]) -> Result<Key, AuthSetupError> {
    if secret.len() < SECRET_BYTES {
        return Err(AuthSetupError::ShortSecret(secret.len()));
    }
    Ok(Key { algorithm: Algorithm::HS256, material: DecodingKey::from_secret(secret), place: Place::Alone })
}

fn pem(text: &str) -> Result<Key, AuthSetupError> {
    let mut labels = text.split("-----BEGIN ").skip(1).filter_map(|rest| rest.split("-----").next());
    let problem = match (labels.next(), labels.next()) {
        (Some(label), _) if label.contains("PRIVATE") => return Err(AuthSetupError::Private),
        (Some("PUBLIC KEY" | "RSA PUBLIC KEY"), None) => None,
        (Some("CERTIFICATE"), None) => Some("it is a certificate; give its key (openssl x509 -pubkey -noout)"),
        (Some(_), Some(_)) => Some("there is more than one key in it"),
        _ => Some("there is no public key in it"),
    };
    if let Some(problem) = problem {
        return Err(AuthSetupError::Pem(problem));
    }
    if !is_whole(text) {
        return Err(AuthSetupError::Pem("what it holds is damaged"));
    }
    let bytes = text.as_bytes();
    let (algorithm, material) = if let Ok(material) = DecodingKey::from_rsa_pem(bytes) {
        (Algorithm::RS256, material)
    } else if let Ok(material) = DecodingKey::from_ec_pem(bytes) {
        (Algorithm::ES256, material)
    } else if let Ok(material) = DecodingKey::from_ed_pem(bytes) {
        (Algorithm::EdDSA, material)
    } else {
        return Err(AuthSetupError::Pem("it is neither an RSA, nor a P-256, nor an Ed25519 key"));
    };
    Key::new(algorithm, material, Place::Alone).map_err(AuthSetupError::Pem)
}

/// Whether the text between its lines of dashes is one DER sequence, with nothing missing and nothing behind it: the
/// library takes a key from wherever it finds one.
fn is_whole(pem: &str) -> bool {
    let base64: String = pem.split("-----").nth(2).unwrap_or_default().split_whitespace().collect();
    match STANDARD.decode(base64).as_deref() {
        Ok([0x30, 0x81, len, rest @ ..]) => rest.len() == usize::from(*len),
        Ok([0x30, 0x82, high, low, rest @ ..]) => rest.len() == usize::from(u16::from_be_bytes([*high, *low])),
        Ok([0x30, len @ 0..=0x7f, rest @ ..]) => rest.len() == usize::from(*len),
        _ => false,
    }
}

#[derive(Deserialize)]
struct Set {
    keys: Vec<Jwk>,
}

#[derive(Deserialize)]
struct Jwk {
    kty: String,
    #[serde(rename = "use")]
    usage: Option<String>,
    key_ops: Option<Vec<String>>,
    alg: Option<String>,
    kid: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
    d: Option<IgnoredAny>,
}

fn set(text: &str, keys: &mut Vec<Key>) -> Result<(), AuthSetupError> {
    let refuse = |problem: &str| AuthSetupError::Jwks(problem.to_owned());
    // The parser's own message would show what is written there.
    let set: Set = serde_json::from_str(text).map_err(|_| refuse("it is not a JSON Web Key Set"))?;
    if set.keys.len() > SET_KEYS {
        return Err(refuse("it has more than 64 keys"));
    }
    let before = keys.len();
    for (index, jwk) in set.keys.into_iter().enumerate() {
        if jwk.d.is_some() {
            return Err(AuthSetupError::Private);
        }
        let numbered = |problem: &str| AuthSetupError::Jwks(format!("key {}: {problem}", index + 1));
        let Some(key) = jwk.key().map_err(numbered)? else { continue };
        let twin =
            |other: &Key| matches!((&key.place, &other.place), (Place::Set(Some(a)), Place::Set(Some(b))) if a == b);
        if keys.iter().any(twin) {
            return Err(numbered("another key has the same kid"));
        }
        keys.push(key);
    }
    if keys.len() == before { Err(refuse("none of its keys is for RS256, ES256 or EdDSA signatures")) } else { Ok(()) }
}

impl Jwk {
    /// `None`: it is for something else.
    fn key(self) -> Result<Option<Key>, &'static str> {
        let (algorithm, name) = match (self.kty.as_str(), self.crv.as_deref()) {
            ("RSA", _) => (Algorithm::RS256, "RS256"),
            ("EC", Some("P-256")) => (Algorithm::ES256, "ES256"),
            ("OKP", Some("Ed25519")) => (Algorithm::EdDSA, "EdDSA"),
            ("oct", _) => return Err("it is a secret, which is given by itself"),
            _ => return Ok(None),
        };
        let other = self.usage.is_some_and(|usage| usage != "sig")
            || self.key_ops.is_some_and(|operations| !operations.iter().any(|operation| operation == "verify"))
            || self.alg.is_some_and(|alg| alg != name);
        if other {
            return Ok(None);
        }
        let material = match (algorithm, &self.n, &self.e, &self.x, &self.y) {
            (Algorithm::RS256, Some(n), Some(e), ..) => DecodingKey::from_rsa_components(n, e),
            (Algorithm::ES256, _, _, Some(x), Some(y)) => DecodingKey::from_ec_components(x, y),
            (Algorithm::EdDSA, _, _, Some(x), _) => DecodingKey::from_ed_components(x),
            _ => return Err("a part is missing"),
        };
        let material = material.map_err(|_| "a part is not base64url")?;
        Key::new(algorithm, material, Place::Set(self.kid.map(Into::into))).map(Some)
    }
}

fn rsa_problem(material: &DecodingKey) -> Option<&'static str> {
    let parts = match material.kind() {
        DecodingKeyKind::RsaModulusExponent { n, e } => Ok((n.clone(), e.clone())),
        DecodingKeyKind::SecretOrDer(der) => {
            (rust_crypto::DEFAULT_PROVIDER.key_utils.rsa_pub_components_from_public_key)(der)
        }
    };
    let Ok((n, e)) = parts else { return Some("it is not an RSA key of 2,048 to 4,096 bits") };
    let bits = |number: &[u8]| {
        let zeros = number.iter().take_while(|byte| **byte == 0).count();
        let first = number.get(zeros).map_or(0, |byte| 8 - byte.leading_zeros() as usize);
        (number.len() - zeros).saturating_sub(1) * 8 + first
    };
    let odd = |number: &[u8]| number.last().is_some_and(|byte| byte % 2 == 1);
    if !RSA_BITS.contains(&bits(&n)) || !odd(&n) {
        return Some("it is not an RSA key of 2,048 to 4,096 bits");
    }
    // The library takes exponents of up to 33 bits; 1 would make every message its own signature.
    ((!(2..=33).contains(&bits(&e))) || !odd(&e)).then_some("its exponent is not one of RSA")
}

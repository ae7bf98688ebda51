//! What a verifier takes and what it refuses, as tables of tokens. The time is always [`NOW`].

use std::time::{Duration, UNIX_EPOCH};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, crypto};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

const SECRET: &[u8] = b"a secret of tests, 32 bytes long";
const NOW: u64 = 1_800_000_000;

macro_rules! key {
    ($name:literal) => {
        include_str!(concat!("../../tests/fixtures/keys/", $name))
    };
}

fn secret() -> KeySource {
    KeySource::Secret(SECRET.to_vec())
}

fn pem(text: &str) -> KeySource {
    KeySource::Pem { text: text.to_owned() }
}

fn jwks(text: impl ToString) -> KeySource {
    KeySource::Jwks { text: text.to_string() }
}

fn settings(keys: impl Into<Vec<KeySource>>) -> AuthSettings {
    AuthSettings { keys: keys.into(), ..AuthSettings::default() }
}

fn verifier(keys: impl Into<Vec<KeySource>>) -> Verifier {
    Verifier::new(&settings(keys)).unwrap()
}

fn setup_error(key: KeySource) -> AuthSetupError {
    Verifier::new(&settings([key])).err().expect("the key is refused")
}

fn at(verifier: &Verifier, token: &str) -> Result<Identity, AuthError> {
    verifier.verify_at(token, UNIX_EPOCH + Duration::from_secs(NOW))
}

fn encode(part: impl ToString) -> String {
    URL_SAFE_NO_PAD.encode(part.to_string())
}

fn signed(header: impl ToString, payload: impl ToString, key: &EncodingKey, algorithm: Algorithm) -> String {
    let message = format!("{}.{}", encode(header), encode(payload));
    let signature = crypto::sign(message.as_bytes(), key, algorithm).unwrap();
    format!("{message}.{signature}")
}

fn hs256(header: impl ToString, payload: impl ToString) -> String {
    signed(header, payload, &EncodingKey::from_secret(SECRET), Algorithm::HS256)
}

/// A token with these claims beside a good `sub` and `exp`; `null` takes one away.
fn with(claims: Value) -> String {
    let mut payload = json!({ "sub": "asha", "exp": NOW + 60 });
    for (name, value) in claims.as_object().unwrap() {
        payload[name] = value.clone();
    }
    hs256(json!({ "alg": "HS256" }), payload)
}

fn good() -> Value {
    json!({ "sub": "asha", "exp": NOW + 60 })
}

fn rsa() -> EncodingKey {
    EncodingKey::from_rsa_pem(key!("rsa.private.pem").as_bytes()).unwrap()
}

fn p256() -> EncodingKey {
    EncodingKey::from_ec_pem(key!("p256.private.pem").as_bytes()).unwrap()
}

fn ed25519() -> EncodingKey {
    EncodingKey::from_ed_pem(key!("ed25519.private.pem").as_bytes()).unwrap()
}

// --- what is taken ---

#[test]
fn a_token_names_its_user() {
    let claims = json!({ "name": "Asha", "role": "supplier", "streams": ["main", "b_-9"] });
    let identity = at(&verifier([secret()]), &with(claims)).unwrap();
    assert_eq!((&*identity.user.id, &*identity.user.name, identity.guest), ("asha", "Asha", false));
    assert_eq!(
        ["main", "b_-9", "c"].map(|stream| identity.role_in(stream)),
        [Role::Supplier, Role::Supplier, Role::Viewer]
    );
    assert_eq!(identity.expires, Some(UNIX_EPOCH + Duration::from_secs(NOW + 60)));
}

#[test]
fn each_key_type_has_its_algorithm() {
    for (public, private, algorithm, name) in [
        (key!("rsa.public.pem"), rsa(), Algorithm::RS256, "RS256"),
        (key!("rsa.pkcs1.pem"), rsa(), Algorithm::RS256, "RS256"),
        (key!("p256.public.pem"), p256(), Algorithm::ES256, "ES256"),
        (key!("ed25519.public.pem"), ed25519(), Algorithm::EdDSA, "EdDSA"),
    ] {
        let verifier = verifier([pem(public)]);
        let token = signed(json!({ "alg": name }), good(), &private, algorithm);
        assert_eq!(&*at(&verifier, &token).unwrap().user.id, "asha", "{name}");
        let forged = signed(json!({ "alg": name }), json!({ "sub": "ravi", "exp": NOW + 60 }), &private, algorithm);
        let swapped = format!("{}.{}", forged.rsplit_once('.').unwrap().0, token.rsplit_once('.').unwrap().1);
        assert_eq!(at(&verifier, &swapped), Err(AuthError::Signature), "{name}");
    }
}

#[test]
fn several_keys_are_all_taken() {
    let verifier = verifier([secret(), KeySource::Secret(vec![7; 32]), pem(key!("p256.public.pem"))]);
    let second = EncodingKey::from_secret(&[7; 32]);
    let header = json!({ "alg": "HS256" });
    assert!(at(&verifier, &signed(&header, good(), &second, Algorithm::HS256)).is_ok());
    assert!(at(&verifier, &with(json!({}))).is_ok());
    assert!(at(&verifier, &signed(json!({ "alg": "ES256" }), good(), &p256(), Algorithm::ES256)).is_ok());
    let stranger = EncodingKey::from_secret(&[8; 32]);
    assert_eq!(at(&verifier, &signed(&header, good(), &stranger, Algorithm::HS256)), Err(AuthError::Signature));
}

// --- BP17: algorithms ---

#[test]
fn a_token_does_not_choose_how_it_is_checked() {
    let all = verifier([secret(), pem(key!("rsa.public.pem"))]);
    let rsa_only = verifier([pem(key!("rsa.public.pem"))]);
    let hmac_by_public_key =
        |pem: &[u8]| signed(json!({ "alg": "HS256" }), good(), &EncodingKey::from_secret(pem), Algorithm::HS256);
    let der = key!("rsa.public.pem").lines().filter(|line| !line.starts_with('-')).collect::<String>();
    let der = base64::engine::general_purpose::STANDARD.decode(der).unwrap();
    for public in [key!("rsa.public.pem").as_bytes(), key!("rsa.public.pem").trim_end().as_bytes(), &der] {
        assert_eq!(at(&rsa_only, &hmac_by_public_key(public)), Err(AuthError::Algorithm));
        assert_eq!(at(&all, &hmac_by_public_key(public)), Err(AuthError::Signature));
    }
    for name in
        ["none", "None", "NONE", "nOnE", "", "HS384", "HS512", "RS384", "RS512", "PS256", "ES384", "hs256", "HS256 "]
    {
        let unsigned = format!("{}.{}.", encode(json!({ "alg": name })), encode(good()));
        assert_eq!(at(&all, &unsigned), Err(AuthError::Algorithm), "{name:?}");
        assert_eq!(at(&all, &hs256(json!({ "alg": name }), good())), Err(AuthError::Algorithm), "{name:?}");
    }
    let key = EncodingKey::from_secret(SECRET);
    let strong = signed(json!({ "alg": "HS512" }), good(), &key, Algorithm::HS512);
    assert_eq!(at(&all, &strong), Err(AuthError::Algorithm), "one algorithm for a key");
    let relabelled = signed(json!({ "alg": "HS256" }), good(), &key, Algorithm::HS512);
    assert_eq!(at(&all, &relabelled), Err(AuthError::Signature));
    let other = signed(json!({ "alg": "RS256" }), good(), &rsa(), Algorithm::RS512);
    assert_eq!(at(&all, &other), Err(AuthError::Signature));
    let pss = signed(json!({ "alg": "RS256" }), good(), &rsa(), Algorithm::PS256);
    assert_eq!(at(&all, &pss), Err(AuthError::Signature));
}

#[test]
fn a_signature_is_needed_whole() {
    let verifier = verifier([secret()]);
    let token = with(json!({}));
    let (message, signature) = token.rsplit_once('.').unwrap();
    let flipped = |at: usize| {
        let mut bytes = URL_SAFE_NO_PAD.decode(signature).unwrap();
        bytes[at] ^= 1;
        URL_SAFE_NO_PAD.encode(bytes)
    };
    for bad in [
        String::new(),
        "A".to_owned(),
        signature[..42].to_owned(),
        format!("{signature}AAAA"),
        format!("{signature}="),
        format!(" {signature}"),
        encode(""),
        encode("\0".repeat(32)),
        flipped(0),
        flipped(31),
    ] {
        assert_eq!(at(&verifier, &format!("{message}.{bad}")), Err(AuthError::Signature), "{bad:?}");
    }
    assert!(at(&verifier, &token).is_ok());
}

#[test]
fn an_extension_that_must_be_understood_is_not() {
    let verifier = verifier([secret()]);
    for crit in [json!(["exp"]), json!(["b64"]), json!([]), json!("exp"), json!(null), json!(false), json!({})] {
        let token = hs256(json!({ "alg": "HS256", "crit": crit }), good());
        assert_eq!(at(&verifier, &token), Err(AuthError::Critical), "{crit}");
    }
}

// --- BP18: times ---

#[test]
fn times_are_whole_seconds_and_must_hold() {
    let verifier = verifier([secret()]);
    let exp = Err(AuthError::Claim("exp"));
    for (claims, outcome) in [
        (json!({ "exp": NOW + 1 }), Ok(())),
        (json!({ "exp": NOW - 29 }), Ok(())),
        (json!({ "exp": NOW - 30 }), Err(AuthError::Expired)),
        (json!({ "exp": 0 }), Err(AuthError::Expired)),
        (json!({ "exp": null }), exp),
        (json!({ "exp": (NOW + 60).to_string() }), exp),
        (json!({ "exp": (NOW + 60) as f64 + 0.5 }), exp),
        (json!({ "exp": (NOW + 60) as f64 }), exp),
        (json!({ "exp": -1 }), exp),
        (json!({ "exp": 1u64 << 63 }), exp),
        (json!({ "exp": u64::MAX }), exp),
        (json!({ "exp": 253_402_300_800u64 }), exp),
        (json!({ "exp": 253_402_300_799u64 }), Ok(())),
        (json!({ "exp": 1e300 }), exp),
        (json!({ "exp": [NOW + 60] }), exp),
        (json!({ "exp": true }), exp),
        (json!({ "exp": {} }), exp),
        (json!({ "nbf": NOW }), Ok(())),
        (json!({ "nbf": NOW + 30 }), Ok(())),
        (json!({ "nbf": NOW + 31 }), Err(AuthError::Early)),
        (json!({ "nbf": u64::MAX }), Err(AuthError::Early)),
        (json!({ "nbf": "0" }), Err(AuthError::Claim("nbf"))),
        (json!({ "nbf": (NOW + 3600).to_string() }), Err(AuthError::Claim("nbf"))),
        (json!({ "nbf": -1 }), Err(AuthError::Claim("nbf"))),
        (json!({ "iat": NOW }), Ok(())),
        (json!({ "iat": NOW + 3600 }), Err(AuthError::Early)),
        (json!({ "iat": "now" }), Err(AuthError::Claim("iat"))),
    ] {
        assert_eq!(at(&verifier, &with(claims.clone())).map(|_| ()), outcome, "{claims}");
    }
    let twice = format!(r#"{{"sub":"asha","exp":1,"exp":{}}}"#, NOW + 60);
    assert_eq!(at(&verifier, &hs256(json!({ "alg": "HS256" }), twice)), Err(AuthError::Malformed), "two exps");
}

#[test]
fn a_broken_clock_lets_nobody_in() {
    let before = UNIX_EPOCH - Duration::from_secs(1);
    assert_eq!(verifier([secret()]).verify_at(&with(json!({})), before), Err(AuthError::Expired));
}

#[test]
fn the_clock_of_the_system_counts() {
    let verifier = verifier([secret()]);
    let now = std::time::SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    assert!(verifier.verify(&with(json!({ "exp": now + 600 }))).is_ok());
    assert_eq!(verifier.verify(&with(json!({ "exp": now - 600 }))), Err(AuthError::Expired));
}

// --- BP19: claims ---

#[test]
fn claims_are_of_their_type_and_size() {
    let verifier = verifier([secret()]);
    let bad = |claim| Err(AuthError::Claim(claim));
    for (claims, outcome) in [
        (json!({ "sub": null }), bad("sub")),
        (json!({ "sub": "" }), bad("sub")),
        (json!({ "sub": 7 }), bad("sub")),
        (json!({ "sub": ["asha"] }), bad("sub")),
        (json!({ "sub": "a\nb" }), bad("sub")),
        (json!({ "sub": "a\u{0}" }), bad("sub")),
        (json!({ "sub": "é".repeat(128) }), Ok(())),
        (json!({ "sub": "é".repeat(129) }), bad("sub")),
        (json!({ "name": "n".repeat(64) }), Ok(())),
        (json!({ "name": "n".repeat(65) }), bad("name")),
        (json!({ "name": 7 }), bad("name")),
        (json!({ "role": "admin" }), bad("role")),
        (json!({ "role": "Supplier" }), bad("role")),
        (json!({ "role": "" }), bad("role")),
        (json!({ "role": ["supplier"] }), bad("role")),
        (json!({ "streams": "*" }), Ok(())),
        (json!({ "streams": ["*"] }), Ok(())),
        (json!({ "streams": [] }), Ok(())),
        (json!({ "streams": ["s".repeat(64)] }), Ok(())),
        (json!({ "streams": ["s".repeat(65)] }), bad("streams")),
        (json!({ "streams": [""] }), bad("streams")),
        (json!({ "streams": ["a b"] }), bad("streams")),
        (json!({ "streams": ["é"] }), bad("streams")),
        (json!({ "streams": ["main", 7] }), bad("streams")),
        (json!({ "streams": "main" }), bad("streams")),
        (json!({ "streams": true }), bad("streams")),
        (json!({ "unknown": { "deep": [1, 2] } }), Ok(())),
    ] {
        assert_eq!(at(&verifier, &with(claims.clone())).map(|_| ()), outcome, "{claims}");
    }
    for payload in ["[]", "null", "7", "\"asha\"", "", "{", "{} {}"] {
        assert_eq!(at(&verifier, &hs256(json!({ "alg": "HS256" }), payload)), Err(AuthError::Malformed), "{payload}");
    }
}

#[test]
fn a_role_is_a_viewers_and_nowhere_unless_it_says_so() {
    let verifier = verifier([secret()]);
    let role = |claims| at(&verifier, &with(claims)).unwrap().role_in("main");
    assert_eq!(role(json!({})), Role::Viewer);
    assert_eq!(role(json!({ "role": "supplier" })), Role::Viewer);
    assert_eq!(role(json!({ "role": "supplier", "streams": ["other"] })), Role::Viewer);
    assert_eq!(role(json!({ "role": "moderator", "streams": ["main"] })), Role::Moderator);
    assert_eq!(role(json!({ "role": "service", "streams": "*" })), Role::Service);
    assert_eq!(role(json!({ "role": "service", "streams": ["other", "*"] })), Role::Service);
    assert_eq!(role(json!({ "streams": "*" })), Role::Viewer);
}

#[test]
fn a_name_can_be_shown() {
    let verifier = verifier([secret()]);
    let name = |claims| at(&verifier, &with(claims)).unwrap().user.name.to_string();
    assert_eq!(name(json!({})), "asha");
    assert_eq!(name(json!({ "name": "" })), "asha");
    assert_eq!(name(json!({ "name": " \u{202e} " })), "asha");
    assert_eq!(name(json!({ "name": " A\u{202e}\u{2066}s\nh\u{2028}a\u{7f} " })), "Asha");
    assert_eq!(name(json!({ "name": "👩‍🌾 آشا" })), "👩‍🌾 آشا");
    assert_eq!(name(json!({ "sub": "x".repeat(128) })), "x".repeat(64));
    assert_eq!(name(json!({ "sub": "\u{202e}" })), "?");
}

#[test]
fn audience_and_issuer_count_where_they_are_configured() {
    let both = AuthSettings { audience: Some("haat".into()), issuer: Some("shop".into()), ..settings([secret()]) };
    let both = Verifier::new(&both).unwrap();
    let neither = verifier([secret()]);
    let (audience, issuer) = (Err(AuthError::Audience), Err(AuthError::Issuer));
    for (aud, iss, outcome) in [
        (json!("haat"), json!("shop"), Ok(())),
        (json!(["other", "haat"]), json!("shop"), Ok(())),
        (json!("other"), json!("shop"), audience),
        (json!("HAAT"), json!("shop"), audience),
        (json!("haat "), json!("shop"), audience),
        (json!([]), json!("shop"), audience),
        (json!(["other"]), json!("shop"), audience),
        (json!(null), json!("shop"), audience),
        (json!("haat"), json!("other"), issuer),
        (json!("haat"), json!(null), issuer),
        (json!("haat"), json!(["shop"]), Err(AuthError::Claim("iss"))),
        (json!(["haat", 7]), json!("shop"), Err(AuthError::Claim("aud"))),
        (json!({ "haat": 1 }), json!("shop"), Err(AuthError::Claim("aud"))),
    ] {
        let token = with(json!({ "aud": aud, "iss": iss }));
        assert_eq!(at(&both, &token).map(|_| ()), outcome, "{aud} {iss}");
        assert!(at(&neither, &token).is_ok(), "{aud} {iss}");
    }
}

// --- BP20: keys by name ---

#[test]
fn a_name_chooses_among_the_keys_of_a_set_only() {
    let verifier = verifier([jwks(key!("jwks.json"))]);
    let token = |kid: Value, key: &EncodingKey, algorithm, name: &str| {
        let header = if kid.is_null() { json!({ "alg": name }) } else { json!({ "alg": name, "kid": kid }) };
        at(&verifier, &signed(header, good(), key, algorithm)).map(|_| ())
    };
    let rs256 = |kid| token(kid, &rsa(), Algorithm::RS256, "RS256");
    let other = EncodingKey::from_rsa_pem(key!("rsa-other.private.pem").as_bytes()).unwrap();
    assert_eq!(rs256(json!("rsa-1")), Ok(()));
    assert_eq!(token(json!("rsa-2"), &other, Algorithm::RS256, "RS256"), Ok(()));
    assert_eq!(token(json!("ec-1"), &p256(), Algorithm::ES256, "ES256"), Ok(()));
    assert_eq!(token(json!("ed-1"), &ed25519(), Algorithm::EdDSA, "EdDSA"), Ok(()));
    assert_eq!(rs256(json!("rsa-2")), Err(AuthError::Signature), "another's name");
    assert_eq!(rs256(json!("ec-1")), Err(AuthError::UnknownKey), "a key of another algorithm");
    assert_eq!(rs256(json!("enc-1")), Err(AuthError::UnknownKey), "a key that is not for signatures");
    for kid in ["", "rsa-1 ", "RSA-1", "../../etc/passwd", "https://x.example/key", "' OR 1=1 --", &"k".repeat(5000)] {
        assert_eq!(rs256(json!(kid)), Err(AuthError::UnknownKey), "{kid}");
    }
    assert_eq!(rs256(json!(7)), Err(AuthError::Malformed));
    assert_eq!(rs256(json!(["rsa-1"])), Err(AuthError::Malformed));
    assert_eq!(rs256(json!("k".repeat(10_240))), Err(AuthError::TooLong));
    for (key, algorithm, name) in [
        (rsa(), Algorithm::RS256, "RS256"),
        (other, Algorithm::RS256, "RS256"),
        (p256(), Algorithm::ES256, "ES256"),
        (ed25519(), Algorithm::EdDSA, "EdDSA"),
    ] {
        assert_eq!(token(json!(null), &key, algorithm, name), Ok(()), "without a name all keys of {name} are tried");
    }
}

#[test]
fn a_key_given_by_itself_has_no_name() {
    let token = hs256(json!({ "alg": "HS256", "kid": "anything" }), good());
    assert!(at(&verifier([secret()]), &token).is_ok());
    assert!(at(&verifier([jwks(key!("jwks.json")), secret()]), &token).is_ok());
}

#[test]
fn no_more_than_eight_keys_are_tried() {
    let mut keys: Vec<_> = (0..8).map(|n| KeySource::Secret(vec![n; 32])).collect();
    keys.push(secret());
    assert_eq!(at(&verifier(keys.clone()), &with(json!({}))), Err(AuthError::Signature));
    keys.remove(0);
    assert!(at(&verifier(keys), &with(json!({}))).is_ok());
}

#[test]
fn keys_in_a_token_are_not_looked_at() {
    let verifier = verifier([pem(key!("rsa.public.pem"))]);
    let set: Value = serde_json::from_str(key!("jwks.json")).unwrap();
    let header = json!({
        "alg": "RS256",
        "jwk": set["keys"][1],
        "jku": "https://attacker.example/jwks.json",
        "x5u": "https://attacker.example/cert.pem",
        "x5c": ["not even a certificate"],
    });
    let other = EncodingKey::from_rsa_pem(key!("rsa-other.private.pem").as_bytes()).unwrap();
    assert_eq!(at(&verifier, &signed(&header, good(), &other, Algorithm::RS256)), Err(AuthError::Signature));
    assert!(at(&verifier, &signed(&header, good(), &rsa(), Algorithm::RS256)).is_ok());
    for odd in [json!(7), json!("key"), json!([]), json!({ "kty": "x" })] {
        let header = json!({ "alg": "RS256", "jwk": odd, "jku": odd, "x5c": odd, "typ": odd });
        assert!(at(&verifier, &signed(&header, good(), &rsa(), Algorithm::RS256)).is_ok(), "{odd}");
    }
}

// --- BP21: forms ---

#[test]
fn what_is_no_signed_jwt_is_refused() {
    let verifier = verifier([secret()]);
    let token = with(json!({}));
    let (header, rest) = token.split_once('.').unwrap();
    let (payload, signature) = rest.split_once('.').unwrap();
    for bad in [
        String::new(),
        ".".to_owned(),
        "..".to_owned(),
        "...".to_owned(),
        "....".to_owned(),
        "asha".to_owned(),
        format!("{header}.{payload}"),
        format!("{payload}.{signature}"),
        format!("{header}..{signature}.x"),
        format!("{token}.x"),
        format!("{header}.{payload}.{payload}.{signature}"),
        format!("{}.a.b.c.d", encode(json!({ "alg": "dir", "enc": "A256GCM" }))),
        format!("=={header}.{payload}.{signature}"),
        format!("{header}=.{payload}.{signature}"),
        format!(" {token}"),
        format!("Bearer {token}"),
        format!("héader.{payload}.{signature}"),
        format!("{}.{payload}.{signature}", encode("[]")),
        format!("{}.{payload}.{signature}", encode("{}")),
        format!("{}.{payload}.{signature}", encode(r#"{"alg":"HS256","alg":"HS256"}"#)),
        format!("{}.{payload}.{signature}", encode(r#"{"alg":5}"#)),
        format!("{}.{payload}.{signature}", encode("[".repeat(3000))),
    ] {
        assert_eq!(at(&verifier, &bad), Err(AuthError::Malformed), "{bad:.80}");
    }
    for (bytes, outcome) in [(8192, AuthError::Malformed), (8193, AuthError::TooLong), (65_536, AuthError::TooLong)] {
        assert_eq!(at(&verifier, &"a".repeat(bytes)), Err(outcome), "{bytes} bytes");
    }
}

#[test]
fn four_parts_are_refused_even_with_a_signature() {
    let message = format!("{}.{}.more", encode(json!({ "alg": "HS256" })), encode(good()));
    let signature = crypto::sign(message.as_bytes(), &EncodingKey::from_secret(SECRET), Algorithm::HS256).unwrap();
    assert_eq!(at(&verifier([secret()]), &format!("{message}.{signature}")), Err(AuthError::Malformed));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn no_altered_token_is_taken(place in 0usize..1000, to in any::<char>()) {
        let verifier = verifier([secret()]);
        let token = with(json!({ "name": "Asha", "role": "viewer" }));
        let mut altered: Vec<char> = token.chars().collect();
        let place = place % altered.len();
        prop_assume!(altered[place] != to);
        altered[place] = to;
        prop_assert!(at(&verifier, &altered.into_iter().collect::<String>()).is_err());
    }

    #[test]
    fn any_payload_gives_an_answer(payload in ".{0,200}", header in ".{0,80}") {
        let verifier = verifier([secret()]);
        let plain = hs256(json!({ "alg": "HS256" }), payload);
        prop_assert!(at(&verifier, &plain).is_err());
        prop_assert!(at(&verifier, &hs256(header, good())).is_err());
    }
}

// --- keys ---

#[test]
fn keys_that_cannot_be_used_are_refused_at_start() {
    use AuthSetupError as E;
    assert_eq!(Verifier::new(&AuthSettings::default()).err(), Some(E::NoKey));
    assert_eq!(setup_error(KeySource::Secret(vec![1; 31])), E::ShortSecret(31));
    for private in [key!("rsa.private.pem"), key!("p256.private.pem"), key!("ed25519.private.pem")] {
        assert_eq!(setup_error(pem(private)), E::Private);
    }
    let two = format!("{}{}", key!("rsa.public.pem"), key!("p256.public.pem"));
    let cut = key!("rsa.public.pem").replace("\nMI", "\nAA");
    for text in
        ["", "no key", key!("rsa.certificate.pem"), key!("p384.public.pem"), key!("rsa-1024.public.pem"), &two, &cut]
    {
        assert!(matches!(setup_error(pem(text)), E::Pem(_)), "{text:.60}");
    }
    let both = format!("{}{}", key!("rsa.public.pem"), key!("rsa.private.pem"));
    assert!(matches!(setup_error(pem(&both)), E::Pem(_)));
}

#[test]
fn sets_that_cannot_be_used_are_refused_at_start() {
    let good: Value = serde_json::from_str(key!("jwks.json")).unwrap();
    let rsa = &good["keys"][0];
    let with = |name: &str, value: Value| {
        let mut key = rsa.clone();
        key[name] = value;
        json!({ "keys": [key] })
    };
    let set = |key: Value| json!({ "keys": [key] });
    let many: Vec<_> =
        (0..65).map(|n| json!({ "kty": "RSA", "kid": n.to_string(), "n": rsa["n"], "e": "AQAB" })).collect();
    for bad in [
        json!(null),
        json!({}),
        json!([rsa]),
        json!({ "keys": [] }),
        json!({ "keys": [rsa, rsa] }),
        json!({ "keys": many }),
        with("n", json!("AQAB")),
        with("n", json!("!!")),
        with("n", json!(null)),
        with("e", json!("AQ")),
        with("e", json!("Ag")),
        with("e", json!("")),
        with("e", json!("AQAAAAAB")),
        with("use", json!("enc")),
        with("alg", json!("PS256")),
        set(json!({ "kty": "oct", "k": URL_SAFE_NO_PAD.encode(SECRET) })),
        set(json!({ "kty": "OKP", "crv": "Ed25519", "x": "AAAA" })),
        set(json!({ "kty": "OKP", "crv": "Ed25519", "x": "" })),
        set(json!({ "kty": "OKP", "crv": "Ed25519", "x": URL_SAFE_NO_PAD.encode([2; 33]) })),
        set(json!({ "kty": "OKP", "crv": "Ed448", "x": "AAAA" })),
        set(json!({ "kty": "EC", "crv": "P-256", "x": "AA", "y": "AA" })),
        set(json!({ "kty": "EC", "crv": "P-256", "x": "", "y": "" })),
        set(json!({ "kty": "EC", "crv": "P-256" })),
    ] {
        assert!(matches!(setup_error(jwks(&bad)), AuthSetupError::Jwks(_)), "{bad:.80}");
    }
    assert_eq!(setup_error(jwks(with("d", json!("AQAB")))), AuthSetupError::Private);
}

#[test]
fn what_is_secret_is_not_shown() {
    let canary = "canary-canary-canary-canary-canary";
    let keys = [KeySource::Secret(canary.into()), pem(canary), jwks(canary)];
    assert!(!format!("{:?}", settings(keys.clone())).contains("canary"));
    for key in &keys[1..] {
        let error = setup_error(key.clone());
        assert!(!format!("{error} {error:?}").contains("canary"));
    }
}

// --- guests and minting ---

#[test]
fn without_a_token_one_is_a_guest_or_nobody() {
    let open = verifier([secret()]);
    let closed = Verifier::new(&AuthSettings { guests: false, ..settings([secret()]) }).unwrap();
    assert!(open.guests() && !closed.guests());
    assert!(open.admit(None).unwrap().is_guest());
    assert_eq!(closed.admit(None), Err(AuthError::Missing));
    for verifier in [open, closed] {
        assert_eq!(verifier.admit(Some("")), Err(AuthError::Malformed), "a bad token is no missing token");
        assert!(!verifier.admit(Some(&with(json!({ "exp": 253_402_300_799u64 })))).unwrap().is_guest());
    }
}

fn claims() -> Claims {
    let (sub, role, streams) = ("meera".to_owned(), "supplier".to_owned(), vec!["main".to_owned()]);
    Claims { sub, name: Some("Meera".to_owned()), role, streams, exp: NOW + 60 }
}

#[test]
fn a_minted_token_is_taken() {
    let token = mint(SECRET, &claims()).unwrap();
    let identity = at(&verifier([secret()]), &token).unwrap();
    assert_eq!((&*identity.user.id, &*identity.user.name), ("meera", "Meera"));
    assert_eq!(identity.role_in("main"), Role::Supplier);
    let nameless = mint(SECRET, &Claims { name: None, streams: vec!["*".to_owned()], ..claims() }).unwrap();
    let identity = at(&verifier([secret()]), &nameless).unwrap();
    assert_eq!((&*identity.user.name, identity.role_in("any")), ("meera", Role::Supplier));
}

#[test]
fn settings_mint_what_they_take() {
    let strict = AuthSettings { audience: Some("haat".into()), issuer: Some("shop".into()), ..settings([secret()]) };
    let verifier = Verifier::new(&strict).unwrap();
    assert!(at(&verifier, &strict.mint(&claims()).unwrap()).is_ok());
    assert_eq!(at(&verifier, &mint(SECRET, &claims()).unwrap()), Err(AuthError::Issuer));
    assert_eq!(settings([pem(key!("rsa.public.pem"))]).mint(&claims()), Err(MintError::Secret));
}

#[test]
fn nothing_is_minted_that_would_be_refused() {
    let refused = |claims| mint(SECRET, &claims).unwrap_err();
    assert_eq!(mint(&SECRET[1..], &claims()), Err(MintError::Secret));
    assert_eq!(refused(Claims { sub: String::new(), ..claims() }), MintError::Claims(AuthError::Claim("sub")));
    assert_eq!(refused(Claims { role: "admin".into(), ..claims() }), MintError::Claims(AuthError::Claim("role")));
    assert_eq!(
        refused(Claims { streams: vec!["a b".into()], ..claims() }),
        MintError::Claims(AuthError::Claim("streams"))
    );
    assert_eq!(refused(Claims { name: Some("n".repeat(65)), ..claims() }), MintError::Claims(AuthError::Claim("name")));
    assert_eq!(refused(Claims { exp: u64::MAX, ..claims() }), MintError::Claims(AuthError::Claim("exp")));
}

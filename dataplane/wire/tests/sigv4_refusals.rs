//! Each way in which a signature can be unacceptable, and the edges of the ones that are.

#![cfg(test)]

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::digest::{SHA256, digest};
use aws_sigv4::sign::v4::{calculate_signature, generate_signing_key};
use holdfast_wire::refusal::Refusal;
use holdfast_wire::sigv4::{AuthError, Authenticated, ClockOffset, Day, Head, SigningKey, claim};
use http::header::{AUTHORIZATION, HOST, HeaderMap, HeaderValue};

/// A request over HTTP/1.1 whose parts a test changes before or after it is signed.
struct Call {
    headers: HeaderMap,
    authority: Option<&'static str>,
    access_key: &'static str,
    scope: &'static str,
    signed: &'static str,
}

impl Default for Call {
    fn default() -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, HeaderValue::from_static("xks.example.com"));
        headers.insert("x-amz-date", HeaderValue::from_static("20250102T030405Z"));
        headers.insert("x-other", HeaderValue::from_static("  some \t  value "));
        Self {
            headers,
            authority: None,
            access_key: ACCESS_KEY,
            scope: "20250102/eu-west-1/kms-xks-proxy/aws4_request",
            signed: "host;x-amz-date",
        }
    }
}

impl Call {
    fn head(&self) -> Head<'_> {
        Head { method: "POST", path: PATH, authority: self.authority, headers: &self.headers }
    }

    /// The canonical request is spelled out here from the SigV4 document, apart from the product's.
    fn sign(mut self) -> Self {
        let lines: String = self
            .signed
            .split(';')
            .map(|name| {
                let value = match name {
                    ":authority" => self.authority.unwrap_or_default(),
                    "host" if self.authority.is_some() => self.authority.unwrap_or_default(),
                    _ => self.headers.get(name).map_or("", |value| value.to_str().unwrap()),
                };
                let value: Vec<&str> = value.split(' ').filter(|word| !word.is_empty()).collect();
                format!("{name}:{}\n", value.join(" "))
            })
            .collect();
        let request = format!("POST\n{PATH}\n\n{lines}\n{}\n{}", self.signed, hex(&digest(&SHA256, BODY)));
        let to_sign = format!("AWS4-HMAC-SHA256\n20250102T030405Z\n{}\n{}", self.scope, hex(&digest(&SHA256, request.as_bytes())));
        let region = self.scope.split('/').nth(1).unwrap_or_default();
        let service = self.scope.split('/').nth(2).unwrap_or_default();
        let key = generate_signing_key(SECRET, at(0), region, service);
        let signature = calculate_signature(key, to_sign.as_bytes());
        let (access_key, scope, signed) = (self.access_key, self.scope, self.signed);
        self.authorization(&format!("AWS4-HMAC-SHA256 Credential={access_key}/{scope}, SignedHeaders={signed}, Signature={signature}"));
        self
    }

    fn authorization(&mut self, value: &str) {
        self.headers.insert(AUTHORIZATION, value.parse().unwrap());
    }

    fn edited(mut self, edit: impl FnOnce(&str) -> String) -> Self {
        let edited = edit(self.headers[AUTHORIZATION].to_str().unwrap());
        self.authorization(&edited);
        self
    }

    fn check_at(&self, now: SystemTime) -> Result<i64, AuthError> {
        let head = self.head();
        let claim = claim(&head)?;
        let offset = claim.check_scope("eu-west-1", now)?;
        let key = SigningKey::derive(SECRET, claim.day(), claim.region());
        let proof = claim.verify(&head, &key, BODY, offset)?;
        Ok(proof.clock_offset().seconds())
    }

    fn check(&self) -> Result<i64, AuthError> {
        self.check_at(at(0))
    }
}

#[test]
fn a_plain_call_is_accepted() {
    assert_eq!(Call::default().sign().check(), Ok(0));
}

#[test]
fn separators_and_order_of_parameters_may_vary() {
    let tight = Call::default().sign().edited(|text| text.replace(", ", ","));
    assert_eq!(tight.check(), Ok(0));
    let turned = Call::default().sign().edited(|text| {
        let (algorithm, rest) = text.split_once(' ').unwrap();
        let mut parts: Vec<&str> = rest.split(", ").collect();
        parts.reverse();
        format!("{algorithm}   {}", parts.join(" ,  "))
    });
    assert_eq!(turned.check(), Ok(0));
}

#[test]
fn runs_of_spaces_in_a_signed_value_count_as_one() {
    let call = Call { signed: "host;x-amz-date;x-other", ..Call::default() };
    assert_eq!(call.sign().check(), Ok(0));
}

#[test]
fn the_window_is_five_minutes_either_way_to_the_second() {
    let call = Call::default().sign();
    assert_eq!(call.check_at(at(300)), Ok(300));
    assert_eq!(call.check_at(at(301)), Err(AuthError::TooOld));
    assert_eq!(call.check_at(at(-300)), Ok(-300));
    assert_eq!(call.check_at(at(-301)), Err(AuthError::TooNew));
    assert_eq!(call.check_at(UNIX_EPOCH), Err(AuthError::TooNew));
}

#[test]
fn there_is_exactly_one_of_each_header() {
    for (name, none, many) in [
        ("authorization", AuthError::NoAuthorization, AuthError::ManyAuthorizations),
        ("host", AuthError::NoHost, AuthError::ManyHosts),
        ("x-amz-date", AuthError::NoDate, AuthError::ManyDates),
    ] {
        let mut call = Call::default().sign();
        let value = call.headers[name].clone();
        call.headers.append(name, value);
        assert_eq!(call.check(), Err(many), "two equal {name}");
        call.headers.remove(name);
        assert_eq!(call.check(), Err(none), "no {name}");
    }
}

#[test]
fn host_and_date_must_be_signed() {
    for (signed, error) in [
        ("x-amz-date", AuthError::HostNotSigned),
        ("host", AuthError::DateNotSigned),
        ("host;x-other", AuthError::DateNotSigned),
        ("host;x-absent;x-amz-date", AuthError::SignedHeaderMissing),
        ("host;x-amz-date;x-none", AuthError::SignedHeaderMissing),
    ] {
        let call = Call { signed, ..Call::default() };
        assert_eq!(call.sign().check(), Err(error), "{signed}");
    }
}

#[test]
fn the_list_of_signed_headers_is_canonical() {
    for signed in [
        "",
        ";host;x-amz-date",
        "host;x-amz-date;",
        "host;;x-amz-date",
        "Host;x-amz-date",
        "x-amz-date;host",
        "host;host;x-amz-date",
        "host;x-amz-date;x-amz-date",
        "host;x-amz-date;x@other",
        "host; x-amz-date",
    ] {
        let call = Call::default().sign().edited(|text| text.replace("host;x-amz-date", signed));
        let expected = Err(AuthError::MalformedSignedHeaders);
        assert_eq!(call.check(), expected, "{signed:?}");
    }
}

#[test]
fn over_http2_the_host_is_the_authority() {
    for signed in ["host;x-amz-date", ":authority;x-amz-date", ":authority;host;x-amz-date"] {
        let call = || Call { authority: Some("xks.example.com"), signed, ..Call::default() };
        let beside = call().sign();
        assert_eq!(beside.check(), Ok(0), "{signed}, equal host header");

        let mut alone = call();
        alone.headers.remove(HOST);
        assert_eq!(alone.sign().check(), Ok(0), "{signed}, no host header");

        let mut other = call();
        other.headers.insert(HOST, HeaderValue::from_static("other.example.com"));
        assert_eq!(other.sign().check(), Err(AuthError::HostMismatch), "{signed}");
    }
}

#[test]
fn over_http1_there_is_no_authority_to_sign() {
    let call = Call { signed: ":authority;host;x-amz-date", ..Call::default() };
    assert_eq!(call.sign().check(), Err(AuthError::MalformedSignedHeaders));
}

#[test]
fn scopes_are_exact() {
    let day = |rest: &str| format!("20250102{rest}");
    for (scope, error) in [
        (day("/eu-west-1/kms-xks-proxy"), AuthError::MalformedScope),
        (day("/eu-west-1/kms-xks-proxy/aws4_request/"), AuthError::MalformedScope),
        (day("/eu-west-1/kms-xks-proxy/aws5_request"), AuthError::MalformedScope),
        ("20250230/eu-west-1/kms-xks-proxy/aws4_request".to_owned(), AuthError::MalformedScope),
        ("2025012/eu-west-1/kms-xks-proxy/aws4_request".to_owned(), AuthError::MalformedScope),
        ("20250103/eu-west-1/kms-xks-proxy/aws4_request".to_owned(), AuthError::WrongDay),
        (day("/us-east-1/kms-xks-proxy/aws4_request"), AuthError::WrongRegion),
        (day("//kms-xks-proxy/aws4_request"), AuthError::WrongRegion),
        (day("/eu-west-1/kms/aws4_request"), AuthError::WrongService),
    ] {
        let call = Call::default().sign().edited(|text| text.replace(Call::default().scope, &scope));
        assert_eq!(call.check(), Err(error), "{scope}");
    }
}

#[test]
fn access_key_ids_are_20_to_30_base32_characters() {
    let with = |key: &str| Call::default().sign().edited(|text| text.replace(ACCESS_KEY, key)).check();
    for key in [
        "ABCDEFGHIJKLMNOPQRS",
        "ABCDEFGHIJKLMNOPQRST2345672345Z",
        "abcdefghijklmnopqrst",
        "ABCDEFGHIJKLMNOPQRS1",
        "ABCDEFGHIJKLMNOPQRS8",
        "",
    ] {
        assert_eq!(with(key), Err(AuthError::MalformedAccessKey), "{key}");
    }
    // The signature does not cover the access key id: it picks the secret, and that decides.
    assert_eq!(with("ABCDEFGHIJKLMNOPQRST2345672345"), Ok(0));
}

#[test]
fn signatures_are_64_lower_case_digits() {
    let edit = |edit: fn(&str) -> String| {
        Call::default().sign().edited(|text| {
            let (before, signature) = text.split_at(text.len() - 64);
            format!("{before}{}", edit(signature))
        })
    };
    for call in [
        edit(str::to_uppercase),
        edit(|text| text[..63].to_owned()),
        edit(|text| text[..32].to_owned()),
        edit(|text| format!("{text}0")),
        edit(|_| String::new()),
        edit(|text| format!("g{}", &text[1..])),
    ] {
        assert_eq!(call.check(), Err(AuthError::MalformedSignature));
    }
    let other = edit(|text| text.chars().rev().collect());
    assert_eq!(other.check(), Err(AuthError::WrongSignature));
}

#[test]
fn authorization_has_three_known_parameters_once() {
    for (from, to, error) in [
        ("AWS4-HMAC-SHA256 ", "AWS4-HMAC-SHA512 ", AuthError::WrongAlgorithm),
        ("AWS4-HMAC-SHA256 ", "aws4-hmac-sha256 ", AuthError::WrongAlgorithm),
        ("AWS4-HMAC-SHA256 ", "", AuthError::WrongAlgorithm),
        ("Credential=", "credential=", AuthError::MalformedAuthorization),
        ("SignedHeaders=", "Signed=", AuthError::MalformedAuthorization),
        (", Signature=", " Signature=", AuthError::MalformedAuthorization),
        (", Signature=", ", Extra=1, Signature=", AuthError::MalformedAuthorization),
        (", Signature=", ", Signature=00, Signature=", AuthError::MalformedAuthorization),
        (", Signature=", ",, Signature=", AuthError::MalformedAuthorization),
        ("AWS4-HMAC-SHA256 ", "AWS4-HMAC-SHA256 , ", AuthError::MalformedAuthorization),
    ] {
        let call = Call::default().sign().edited(|text| text.replace(from, to));
        assert_eq!(call.check(), Err(error), "{from:?} → {to:?}");
    }
}

#[test]
fn a_date_is_one_that_exists() {
    for date in [
        "2025-01-02T03:04:05Z",
        "20250102T030405",
        "20250102t030405z",
        "20250132T030405Z",
        "20250102T240405Z",
        "20250102T030460Z",
        "20250102T03040Z",
        "+0250102T030405Z",
        "20250102T030405ZZ",
        "",
    ] {
        let mut call = Call::default().sign();
        call.headers.insert("x-amz-date", date.parse().unwrap());
        assert_eq!(call.check(), Err(AuthError::MalformedDate), "{date:?}");
    }
}

#[test]
fn all_reasons_look_alike_to_a_client_and_differ_for_an_operator() {
    let mut labels = std::collections::BTreeSet::new();
    let bodies: std::collections::BTreeSet<_> = ALL
        .into_iter()
        .map(|error| {
            assert!(labels.insert(error.label()), "{error:?}");
            assert_eq!(Refusal::from(error).wire().0, 401);
            Refusal::from(error).body()
        })
        .collect();
    assert_eq!(bodies.len(), 1);
}

#[test]
fn proofs_and_keys_print_no_secret() {
    let call = Call::default().sign();
    let claim = claim(&call.head()).unwrap();
    let key = SigningKey::derive(SECRET, claim.day(), "eu-west-1");
    assert_eq!(format!("{key:?}"), "SigningKey(..)");
    let offset: ClockOffset = claim.check_scope("eu-west-1", at(0)).unwrap();
    let proof: Authenticated<'_> = claim.verify(&call.head(), &key, BODY, offset).unwrap();
    assert!(!format!("{proof:?}").contains(&format!("{:?}", BODY[0])));
}

#[test]
fn a_day_is_shown_as_it_is_read() {
    for text in ["00010101", "19700101", "20240229", "99991231"] {
        assert_eq!(Day::parse(text).unwrap().to_string(), text);
    }
    assert_eq!(Day::parse("20230229"), None);
    assert_eq!(Day::of(at(0)), Day::parse("20250102").unwrap());
}

/// Seconds from the moment that every call here is signed for, 2025-01-02 03:04:05 UTC.
fn at(seconds: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_735_787_045_u64.checked_add_signed(seconds).unwrap())
}

fn hex(bytes: &impl AsRef<[u8]>) -> String {
    bytes.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

const PATH: &str = "/demo/kms/xks/v1/keys/k1/encrypt";
const BODY: &[u8] = br#"{"requestMetadata":{}}"#;
const ACCESS_KEY: &str = "ABCDEFGHIJKLMNOPQRST";
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEYabcdefghij";

const ALL: [AuthError; 25] = [
    AuthError::NoAuthorization,
    AuthError::ManyAuthorizations,
    AuthError::NoHost,
    AuthError::ManyHosts,
    AuthError::MalformedHost,
    AuthError::HostMismatch,
    AuthError::NoDate,
    AuthError::ManyDates,
    AuthError::MalformedDate,
    AuthError::WrongAlgorithm,
    AuthError::MalformedAuthorization,
    AuthError::MalformedAccessKey,
    AuthError::MalformedScope,
    AuthError::MalformedSignedHeaders,
    AuthError::MalformedSignature,
    AuthError::HostNotSigned,
    AuthError::DateNotSigned,
    AuthError::SignedHeaderMissing,
    AuthError::WrongService,
    AuthError::WrongRegion,
    AuthError::WrongDay,
    AuthError::TooOld,
    AuthError::TooNew,
    AuthError::UnknownAccessKey,
    AuthError::WrongSignature,
];

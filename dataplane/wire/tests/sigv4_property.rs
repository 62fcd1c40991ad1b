//! SigV4 against an independent signer, `aws-sigv4`: what it signs verifies, and after any one change it
//! does not.

#![cfg(test)]

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4::SigningParams;
use holdfast_wire::sigv4::{AuthError, Head, SigningKey, claim};
use http::header::{AUTHORIZATION, HOST, HeaderMap, HeaderName, HeaderValue};
use proptest::prelude::*;

#[derive(Clone, Debug)]
struct Call {
    method: String,
    path: String,
    host: String,
    /// Names may repeat; values may have runs of spaces.
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    region: String,
    service: String,
    unix_seconds: u64,
    /// Whether it comes over HTTP/2: no `Host`, but `:authority`.
    http2: bool,
}

/// A call as it arrives: the head's parts, of which a test may change one.
#[derive(Clone, Debug)]
struct Arrived {
    call: Call,
    headers: HeaderMap,
}

impl Call {
    fn now(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(self.unix_seconds)
    }

    fn sign(&self) -> Arrived {
        let identity = Credentials::new(ACCESS_KEY, SECRET, None, None, "test").into();
        let params = SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name(&self.service)
            .time(self.now())
            .settings(SigningSettings::default())
            .build()
            .unwrap()
            .into();
        let uri = format!("https://{}{}", self.host, self.path);
        let pairs = self.headers.iter().map(|(n, v)| (n.as_str(), v.as_str()));
        let body = SignableBody::Bytes(&self.body);
        let request = SignableRequest::new(&self.method, uri, pairs, body).unwrap();
        let (instructions, _) = sign(request, &params).unwrap().into_parts();

        let mut headers = HeaderMap::new();
        if !self.http2 {
            headers.insert(HOST, self.host.parse().unwrap());
        }
        let added = instructions.headers().map(|(n, v)| (n.to_owned(), v.to_owned()));
        for (name, value) in self.headers.iter().cloned().chain(added) {
            let name: HeaderName = name.parse().unwrap();
            headers.append(name, HeaderValue::from_str(&value).unwrap());
        }
        Arrived { call: self.clone(), headers }
    }
}

impl Arrived {
    /// Everything that the server does, for a key store in `region` at `now`.
    fn check(&self, region: &str, now: SystemTime) -> Result<i64, AuthError> {
        let head = Head {
            method: &self.call.method,
            path: &self.call.path,
            authority: self.call.http2.then_some(self.call.host.as_str()),
            headers: &self.headers,
        };
        let claim = claim(&head)?;
        if claim.access_key() != ACCESS_KEY {
            return Err(AuthError::UnknownAccessKey);
        }
        let offset = claim.check_scope(region, now)?;
        let key = SigningKey::derive(SECRET, claim.day(), region);
        let proof = claim.verify(&head, &key, &self.call.body, offset)?;
        assert_eq!(proof.body(), self.call.body);
        assert_eq!(proof.access_key(), ACCESS_KEY);
        Ok(proof.clock_offset().seconds())
    }

    fn edit_authorization(&mut self, edit: impl FnOnce(&str) -> String) {
        let edited = edit(self.headers[AUTHORIZATION].to_str().unwrap());
        self.headers.insert(AUTHORIZATION, edited.parse().unwrap());
    }
}

prop_compose! {
    fn any_call()(
        prefix in "(/[a-zA-Z0-9_-]{1,12}){0,3}",
        key in "[A-Za-z0-9_-]{1,40}",
        operation in prop::sample::select(vec!["metadata", "encrypt", "decrypt"]),
        host in "[a-z]{1,10}\\.example\\.com(:8443)?",
        headers in prop::collection::vec(("x-[a-d]{1,3}", "[!-~]( {0,3}[!-~]){0,6} {0,2}"), 0..6),
        body in prop::collection::vec(any::<u8>(), 0..2_000),
        region in "[a-z]{2}-[a-z]{4,9}-[1-9]",
        unix_seconds in 1_600_000_000_u64..4_000_000_000,
        http2 in any::<bool>(),
    ) -> Call {
        Call {
            method: "POST".to_owned(),
            path: format!("{prefix}/kms/xks/v1/keys/{key}/{operation}"),
            host,
            headers,
            body,
            region,
            service: "kms-xks-proxy".to_owned(),
            unix_seconds,
            http2,
        }
    }
}

/// One change to a call after it was signed. Each must change what was signed.
#[derive(Clone, Debug)]
enum Change {
    Method,
    Path(prop::sample::Index),
    Host,
    Header,
    ExtraHeaderValue,
    BodyByte(prop::sample::Index, u8),
    BodyLonger,
    Date,
    ScopeDay,
    ScopeRegion,
    ScopeService,
    AccessKey,
    Signature(prop::sample::Index),
    UnsignHeader,
}

fn any_change() -> impl Strategy<Value = Change> {
    prop_oneof![
        Just(Change::Method),
        any::<prop::sample::Index>().prop_map(Change::Path),
        Just(Change::Host),
        Just(Change::Header),
        Just(Change::ExtraHeaderValue),
        (any::<prop::sample::Index>(), 1..=u8::MAX).prop_map(|(at, xor)| Change::BodyByte(at, xor)),
        Just(Change::BodyLonger),
        Just(Change::Date),
        Just(Change::ScopeDay),
        Just(Change::ScopeRegion),
        Just(Change::ScopeService),
        Just(Change::AccessKey),
        any::<prop::sample::Index>().prop_map(Change::Signature),
        Just(Change::UnsignHeader),
    ]
}

impl Change {
    fn make(&self, arrived: &mut Arrived) {
        match self {
            Self::Method => "PUT".clone_into(&mut arrived.call.method),
            Self::Path(at) => arrived.call.path = with_other_char(&arrived.call.path, at),
            Self::Host => {
                arrived.call.host.push('m');
                if let Some(host) = arrived.headers.get_mut(HOST) {
                    *host = arrived.call.host.parse().unwrap();
                }
            }
            Self::Header => {
                arrived.headers.insert("x-always", "changed".parse().unwrap());
            }
            Self::ExtraHeaderValue => {
                arrived.headers.append("x-always", "more".parse().unwrap());
            }
            Self::BodyByte(at, xor) if !arrived.call.body.is_empty() => {
                let at = at.index(arrived.call.body.len());
                arrived.call.body[at] ^= xor;
            }
            Self::BodyByte(..) | Self::BodyLonger => arrived.call.body.push(b' '),
            Self::Date => {
                let next = Call { unix_seconds: arrived.call.unix_seconds + 1, ..arrived.call.clone() };
                let date = next.sign().headers["x-amz-date"].clone();
                arrived.headers.insert("x-amz-date", date);
            }
            Self::ScopeDay => arrived.edit_authorization(|text| text.replacen("/20", "/21", 1)),
            Self::ScopeRegion => {
                let (from, to) = (arrived.call.region.clone(), format!("{}0", arrived.call.region));
                arrived.edit_authorization(|text| text.replacen(&from, &to, 1));
            }
            Self::ScopeService => {
                arrived.edit_authorization(|text| text.replacen("kms-xks-proxy", "kms", 1));
            }
            Self::AccessKey => {
                arrived.edit_authorization(|text| text.replacen(ACCESS_KEY, OTHER_ACCESS_KEY, 1));
            }
            Self::Signature(at) => arrived.edit_authorization(|text| {
                let (before, signature) = text.split_at(text.len() - 64);
                format!("{before}{}", with_other_char(signature, at))
            }),
            Self::UnsignHeader => {
                arrived.edit_authorization(|text| text.replacen(";x-always", "", 1));
            }
        }
    }
}

/// Another hexadecimal digit (and so also another character of a path) at a place that `at` picks.
fn with_other_char(text: &str, at: &prop::sample::Index) -> String {
    let at = at.index(text.len());
    let other = if &text[at..=at] == "0" { "1" } else { "0" };
    format!("{}{other}{}", &text[..at], &text[at + 1..])
}

proptest! {
    #[test]
    fn what_aws_sigv4_signs_verifies(call in any_call(), skew in -300_i64..=300) {
        let now = call.now().checked_add(Duration::from_secs(1_000)).unwrap();
        let now = now - Duration::from_secs(u64::try_from(1_000 - skew).unwrap());
        prop_assert_eq!(call.sign().check(&call.region, now), Ok(skew));
    }

    #[test]
    fn after_any_one_change_it_does_not(mut call in any_call(), change in any_change()) {
        call.headers.push(("x-always".to_owned(), "signed".to_owned()));
        let mut arrived = call.sign();
        prop_assert!(arrived.check(&call.region, call.now()).is_ok());
        change.make(&mut arrived);
        let checked = arrived.check(&call.region, call.now());
        prop_assert!(checked.is_err(), "{change:?} was not noticed");
    }

    /// The region is covered by the signature too, not only compared.
    #[test]
    fn a_scope_for_another_region_needs_another_key(call in any_call(), other in "[a-z]{2}-[a-z]{3}-1") {
        let mut arrived = call.sign();
        let from = format!("/{}/", call.region);
        arrived.edit_authorization(|text| text.replacen(&from, &format!("/{other}/"), 1));
        prop_assert_eq!(arrived.check(&other, call.now()), Err(AuthError::WrongSignature));
    }

    /// A header that nobody signed may come and go: proxies on the way add some.
    #[test]
    fn an_unsigned_header_changes_nothing(call in any_call()) {
        let mut arrived = call.sign();
        arrived.headers.insert("x-forwarded-for", "192.0.2.1".parse().unwrap());
        prop_assert_eq!(arrived.check(&call.region, call.now()), Ok(0));
    }

    #[test]
    fn no_authorization_makes_the_parser_panic(
        value in prop::collection::vec(any::<u8>(), 0..300),
        date in ".{0,20}",
    ) {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, "localhost".parse().unwrap());
        if let Ok(value) = HeaderValue::from_bytes(&value) {
            headers.insert(AUTHORIZATION, value);
        }
        if let Ok(date) = HeaderValue::from_str(&date) {
            headers.insert("x-amz-date", date);
        }
        let head = Head { method: "POST", path: "/kms/xks/v1/health", authority: None, headers: &headers };
        prop_assert!(claim(&head).is_err());
    }

    /// Near the grammar, where a parser has most to get wrong.
    #[test]
    fn a_claim_close_to_the_grammar_is_read_or_refused(
        algorithm in "AWS4-HMAC-SHA256 ?|[A-Z0-9-]{0,20} ",
        parts in prop::collection::vec("(Credential|SignedHeaders|Signature|X)?=?[a-zA-Z0-9/;_:-]{0,70}", 0..5),
    ) {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, "localhost".parse().unwrap());
        headers.insert("x-amz-date", "20250102T030405Z".parse().unwrap());
        let value = format!("{algorithm}{}", parts.join(", "));
        headers.insert(AUTHORIZATION, value.parse().unwrap());
        let head = Head { method: "POST", path: "/kms/xks/v1/health", authority: None, headers: &headers };
        if let Ok(claim) = claim(&head) {
            prop_assert!((20..=30).contains(&claim.access_key().len()));
        }
    }
}

const ACCESS_KEY: &str = "ABCDEFGHIJKLMNOPQRST234567";
const OTHER_ACCESS_KEY: &str = "ABCDEFGHIJKLMNOPQRST234566";
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEYabcdefghij";

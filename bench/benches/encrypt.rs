//! Encrypt in memory, stage by stage and whole: what a request costs without sockets, TLS and HTTP.
//!
//! The stages are the product's own public functions, in the order of its request path; the whole leaves out
//! looking up store and key, limits, metrics and audit.

use std::hint::black_box;
use std::process::ExitCode;
use std::time::SystemTime;

use criterion::Criterion;
use holdfast_bench::encrypt_body;
use holdfast_bench::plan::Shape;
use holdfast_bench::signer::{CONTENT_TYPE, Signer};
use holdfast_bench::target::Credential;
use holdfast_keys::KeyFault;
use holdfast_keys::local::{GenerateError, LocalKey, OpenLocalError, generate};
use holdfast_proto::records::KeyUsage;
use holdfast_proto::seal::{Seal, SealFailed, SealRing};
use holdfast_wire::aad::{CdivParts, CiphertextMetadata, TooLong, cdiv, gcm_aad};
use holdfast_wire::message::{EncryptRequest, EncryptResponse};
use holdfast_wire::path::{self, BadPath};
use holdfast_wire::refusal::Refusal;
use holdfast_wire::sigv4::{AuthError, Day, Head, SigningKey, claim};
use http::header::{AUTHORIZATION, CONTENT_TYPE as CONTENT_TYPE_NAME, HOST, InvalidHeaderValue};
use http::{HeaderMap, HeaderValue};

fn main() -> ExitCode {
    let made = Fixture::make();
    let done = made.and_then(|fixture| {
        // What does not work must not be measured.
        fixture.whole()?;
        let mut criterion = Criterion::default().configure_from_args();
        fixture.stages(&mut criterion);
        criterion.bench_function("whole", |b| b.iter(|| fixture.whole()));
        criterion.final_summary();
        Ok(())
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}", holdfast_bench::chain(&error));
            ExitCode::FAILURE
        }
    }
}

/// One signed Encrypt with AAD and CDIV, and what it takes to answer it.
struct Fixture {
    now: SystemTime,
    headers: HeaderMap,
    body: Vec<u8>,
    signing_key: SigningKey,
    key: LocalKey,
}

impl Fixture {
    fn make() -> Result<Self, Broken> {
        let now = SystemTime::now();
        let body = encrypt_body(Shape::default());
        let credential = Credential { access_key_id: "AKIA2222333344445555".into(), secret: SECRET.into(), region: REGION.into() };
        let mut signer = Signer::for_host(AUTHORITY.into(), credential);
        let signed = signer.sign(PATH, &body, now);
        let mut headers = HeaderMap::new();
        headers.insert(HOST, HeaderValue::from_static(AUTHORITY));
        headers.insert(CONTENT_TYPE_NAME, HeaderValue::from_static(CONTENT_TYPE));
        headers.insert("x-amz-date", HeaderValue::from_str(signed.date)?);
        headers.insert(AUTHORIZATION, HeaderValue::from_str(signed.authorization)?);
        let seals = SealRing::new(Seal::generate()?, Vec::new());
        let blob = generate(&seals, uuid::Uuid::new_v4(), KeyUsage { encrypt: true, decrypt: true }, true)?;
        Ok(Self { signing_key: SigningKey::derive(SECRET, Day::of(now), REGION), key: LocalKey::open(&seals, &blob)?, now, headers, body })
    }

    fn head(&self) -> Head<'_> {
        Head { method: "POST", path: PATH, authority: None, headers: &self.headers }
    }

    /// Claim, scope and signature.
    fn authenticate(&self) -> Result<&[u8], AuthError> {
        let head = self.head();
        let claim = claim(&head)?;
        let offset = claim.check_scope(REGION, self.now)?;
        Ok(claim.verify(&head, &self.signing_key, &self.body, offset)?.body())
    }

    /// Everything from the path to the answer's bytes, with the key decrypting what it encrypted.
    fn whole(&self) -> Result<Vec<u8>, Broken> {
        let route = path::parse(PATH)?;
        black_box(&route);
        let request = EncryptRequest::parse(self.authenticate()?).map_err(Broken::Refused)?;
        let metadata = METADATA.encode();
        let mut aad = Vec::new();
        gcm_aad(request.aad.as_bytes(), &metadata, &mut aad)?;
        let sealed = self.key.encrypt(&aad, request.plaintext.as_bytes()).map_err(Broken::Key)?;
        let (iv, ciphertext, tag) = (&sealed.iv, &sealed.ciphertext, &sealed.tag);
        let value = cdiv(&CdivParts { aad: request.aad.as_bytes(), metadata: &metadata, iv, ciphertext, tag });
        let opened = self.key.decrypt(iv, &aad, ciphertext, tag).map_err(Broken::Key)?;
        if *opened != request.plaintext.as_bytes() {
            return Err(Broken::Differs);
        }
        Ok(EncryptResponse { ciphertext, iv, tag, ciphertext_metadata: &metadata, cdiv: Some(&value) }.to_json())
    }

    fn stages(&self, criterion: &mut Criterion) {
        let plaintext = [0xa5; 32];
        let aad = [0x5a; 40];
        let metadata = METADATA.encode();
        let (iv, tag) = ([1; 12], [2; 16]);
        let parts = || CdivParts { aad: &aad, metadata: &metadata, iv: &iv, ciphertext: &plaintext, tag: &tag };
        let value = cdiv(&parts());
        let response =
            || EncryptResponse { ciphertext: &plaintext, iv: &iv, tag: &tag, ciphertext_metadata: &metadata, cdiv: Some(&value) };

        criterion.bench_function("path", |b| b.iter(|| path::parse(black_box(PATH)).is_ok()));
        criterion.bench_function("claim", |b| b.iter(|| claim(&self.head()).is_ok()));
        criterion.bench_function("claim and verify", |b| b.iter(|| self.authenticate().is_ok()));
        criterion.bench_function("derive a signing key", |b| b.iter(|| SigningKey::derive(SECRET, Day::of(self.now), REGION)));
        criterion.bench_function("parse the body", |b| b.iter(|| EncryptRequest::parse(black_box(&self.body)).is_ok()));
        criterion.bench_function("seal", |b| b.iter(|| self.key.encrypt(&aad, &plaintext)));
        if let Ok(sealed) = self.key.encrypt(&aad, &plaintext) {
            let open = || self.key.decrypt(&sealed.iv, &aad, &sealed.ciphertext, &sealed.tag);
            criterion.bench_function("open", |b| b.iter(open));
        }
        criterion.bench_function("cdiv", |b| b.iter(|| cdiv(black_box(&parts()))));
        criterion.bench_function("response", |b| b.iter(|| black_box(response()).to_json()));
    }
}

/// What is wrong with the fixture.
#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error("no header")]
    Header(#[from] InvalidHeaderValue),
    #[error("no path")]
    Path(#[from] BadPath),
    #[error("no seal")]
    Seal(#[from] SealFailed),
    #[error("no key")]
    Generate(#[from] GenerateError),
    #[error("no opened key")]
    Open(#[from] OpenLocalError),
    #[error("not authenticated")]
    Auth(#[from] AuthError),
    #[error("refused: {0:?}")]
    Refused(Refusal),
    #[error("AAD too long")]
    Aad(#[from] TooLong),
    #[error("the key fails: {0:?}")]
    Key(KeyFault),
    #[error("what was encrypted decrypts to something else")]
    Differs,
}

const PATH: &str = "/demo/kms/xks/v1/keys/1234abcd-12ab-34cd-56ef-1234567890ab/encrypt";
const AUTHORITY: &str = "xks.example.com";
const REGION: &str = "us-east-1";
const SECRET: &str = "PLauuk9iFNQNyJBfWbbSbLRXTnSkZZzt8gFwAdJvq2U";
const METADATA: CiphertextMetadata = CiphertextMetadata { version: 0, tag: [1, 2, 3, 4] };

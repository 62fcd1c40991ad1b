//! What 100,000 keys in 100 stores cost a data plane: memory, time to apply, to block one key, to write and to read back.
//!
//! `cargo run --release -p holdfast-dataplane --example snapshot_memory`. Linux only: resident memory is read from `/proc`.

use std::{
    error::Error,
    fs::{self, File},
    io::{BufWriter, Read, Write, stdout},
    path::Path,
    process::Command,
    sync::Arc,
    time::Instant,
};

use holdfast_dataplane::{
    cache::Cache,
    live::{Ledger, Live, Parts},
    metrics::Metrics,
    signing::SigningKeys,
    sync::session::{Effect, Session},
};
use holdfast_keys::{
    local,
    pkcs11::{Groups, settings::Pkcs11Settings},
};
use holdfast_proto::{
    ids::{AccessKeyId, CredentialId, ExternalKeyId, KeyId, Revision, StoreId, UriPath},
    records::{Change, Credential, Key, KeyUsage, Record, SourceKey, StoreHeader, Version},
    seal::{Seal, SealRing},
    secret::Secret,
    snapshot::RecordSet,
    state::VersionState,
    sync::{self as wire, ControlMessage, control_message::Body},
};
use uuid::Uuid;

const STORES: u64 = 100;
const KEYS_PER_STORE: u64 = 1_000;
const CHANGES_PER_CHUNK: usize = 4_000;

fn main() -> Result<(), Box<dyn Error>> {
    // The making of a push takes memory too, so another process makes it.
    if let Some(directory) = std::env::args_os().nth(1) {
        return make(Path::new(&directory));
    }
    let directory = std::env::temp_dir().join(format!("holdfast-memory-{}", std::process::id()));
    fs::create_dir(&directory)?;
    let made = Command::new(std::env::current_exe()?).arg(&directory).status()?;
    let measured = if made.success() { measure(&directory) } else { Err("no push was made".into()) };
    fs::remove_dir_all(directory)?;
    measured
}

fn make(directory: &Path) -> Result<(), Box<dyn Error>> {
    let seal = Seal::generate()?;
    fs::write(directory.join("seal"), &*seal.to_text())?;
    let mut push = BufWriter::new(File::create(directory.join("push"))?);
    for message in encoded_push(&SealRing::new(seal, Vec::new()))? {
        push.write_all(&u32::try_from(message.len())?.to_be_bytes())?;
        push.write_all(&message)?;
    }
    Ok(push.flush()?)
}

fn measure(directory: &Path) -> Result<(), Box<dyn Error>> {
    let seal = Seal::from_text(&fs::read_to_string(directory.join("seal"))?)?;
    let seals = Arc::new(SealRing::new(seal, Vec::new()));
    let cache = Cache::open(directory.join("state"), Arc::clone(&seals))?;
    let live = Live::start(Parts {
        seals: Arc::clone(&seals),
        groups: Groups::start(Pkcs11Settings::default()).map_err(|faults| format!("{faults:?}"))?,
        metrics: Arc::new(Metrics::register()),
        signing: Arc::<SigningKeys>::default(),
        ledger: Arc::new(Ledger::resume([], true)),
    })?;
    let mut session = Session::new(Revision::default(), RecordSet::default(), false);

    let before = resident()?;
    let began = Instant::now();
    let mut push = File::open(directory.join("push"))?;
    let mut length = [0; 4];
    while push.read_exact(&mut length).is_ok() {
        let mut message = vec![0; usize::try_from(u32::from_be_bytes(length))?];
        push.read_exact(&mut message)?;
        take(&mut session, &live, prost::Message::decode(message.as_slice())?)?;
    }
    line(&format!("applied {} keys in {:?}", live.load().records.stores().map(|s| s.keys().count()).sum::<usize>(), began.elapsed()))?;
    let after = resident()?;
    line(&format!("resident: {} MB in all, {} bytes per key", after >> 20, after.saturating_sub(before) / (STORES * KEYS_PER_STORE)))?;

    let held = live.load_full();
    let one = held.records.stores().next().and_then(|store| store.keys().next()).ok_or("a key")?.key().clone();
    let change = Change::Upsert(Record::Key(Key { blocked: true, ..one }));
    let blocked = held.records.apply([change.clone()])?.0;
    let began = Instant::now();
    let begin = wire::Begin { revision: Some(at(2).into()), base: Some(at(1).into()), changes: 1, committed_at_ms: 0 };
    let commit = wire::Commit { revision: Some(at(2).into()), digest: blocked.digest().to_vec() };
    let chunk = wire::Chunk { changes: vec![(&change).into()] };
    for body in [Body::Begin(begin), Body::Chunk(chunk), Body::Commit(commit)] {
        take(&mut session, &live, ControlMessage { body: Some(body) })?;
    }
    line(&format!("blocked one key in {:?}", began.elapsed()))?;
    drop((held, blocked));

    let began = Instant::now();
    cache.write_last_good(&live.load().records, at(2))?;
    line(&format!("last-good written in {:?}, resident {} MB", began.elapsed(), resident()? >> 20))?;
    let began = Instant::now();
    cache.restore(&live);
    line(&format!("last-good read back beside it in {:?}, resident {} MB", began.elapsed(), resident()? >> 20))?;
    Ok(())
}

fn take(session: &mut Session, live: &Live, message: ControlMessage) -> Result<(), Box<dyn Error>> {
    match session.handle(message) {
        Some(Effect::Install(install)) => drop(live.install(install.records, install.revision)),
        Some(Effect::Refuse(nack)) => return Err(nack.detail.into()),
        Some(Effect::RunTask(_) | Effect::SetFleet(_) | Effect::Confirm) | None => {}
    }
    Ok(())
}

fn encoded_push(seals: &SealRing) -> Result<Vec<Vec<u8>>, Box<dyn Error>> {
    let mut changes = Vec::new();
    for s in 0..STORES {
        let store = StoreId(Uuid::from_u64_pair(1, s));
        changes.push(Record::Store(header(seals, store, s)?));
        changes.push(Record::Credential(Credential {
            id: CredentialId(Uuid::from_u64_pair(2, s)),
            store,
            access_key_id: AccessKeyId::try_from("ABCDEFGHIJKLMNOP2345")?,
            secret: Secret::new("s".repeat(43)),
            generation: 0,
        }));
        for k in 0..KEYS_PER_STORE {
            let id = KeyId(Uuid::from_u64_pair(3 + s, k));
            let external_id = ExternalKeyId::try_from(id.0.to_string().as_str())?;
            changes.push(Record::Key(Key { id, store, external_id, blocked: false, legacy: None }));
            let source = source(seals)?;
            changes.push(Record::Version(Version { store, key: id, number: 0, tag: [7; 4], state: VersionState::Active, source }));
        }
    }
    let changes: Vec<Change> = changes.into_iter().map(Change::Upsert).collect();
    let digest = RecordSet::default().apply(changes.clone())?.0.digest().to_vec();
    let begin = wire::Begin { revision: Some(at(1).into()), base: None, changes: changes.len().try_into()?, committed_at_ms: 0 };
    let chunks =
        changes.chunks(CHANGES_PER_CHUNK).map(|chunk| Body::Chunk(wire::Chunk { changes: chunk.iter().map(Into::into).collect() }));
    let commit = wire::Commit { revision: Some(at(1).into()), digest };
    let bodies = std::iter::once(Body::Begin(begin)).chain(chunks).chain([Body::Commit(commit)]);
    Ok(bodies.map(|body| prost::Message::encode_to_vec(&ControlMessage { body: Some(body) })).collect())
}

fn header(seals: &SealRing, id: StoreId, n: u64) -> Result<StoreHeader, Box<dyn Error>> {
    Ok(StoreHeader {
        id,
        name: format!("store-{n}"),
        uri_path: UriPath::try_from(format!("/store-{n}/kms/xks/v1").as_str())?,
        region: "us-east-1".into(),
        blocked: false,
        mtls_enabled: false,
        success_audit: false,
        quota: None,
        in_flight: None,
        max_snapshot_age: None,
        health_key: source(seals)?,
    })
}

fn source(seals: &SealRing) -> Result<SourceKey, local::GenerateError> {
    local::generate(seals, Uuid::new_v4(), KeyUsage::BOTH, true).map(SourceKey::Local)
}

const fn at(counter: u64) -> Revision {
    Revision { epoch: 1, counter }
}

fn line(text: &str) -> std::io::Result<()> {
    writeln!(stdout(), "{text}")
}

/// Resident bytes of this process.
fn resident() -> Result<u64, Box<dyn Error>> {
    let statm = fs::read_to_string("/proc/self/statm")?;
    Ok(statm.split(' ').nth(1).ok_or("statm")?.parse::<u64>()? * 4096)
}

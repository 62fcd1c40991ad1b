//! One Encrypt on a token: `cryptoki`'s `Session::encrypt`, which asks for the length of the result first, against
//! Holdfast's own call, which brings a buffer that is large enough.
//!
//! `cargo bench -p holdfast-bench --bench pkcs11`, after `cargo build --release -p holdfast-sim-hsm`; needs SoftHSM. The
//! simulator takes 1 ms for each `C_Encrypt`, whatever it is for, and counts them. Holdfast's call is reached as the data
//! plane reaches it, through the queue of a partition with one session: *alone* one request waits for the other, which
//! adds the way to the thread and back; *kept busy* the session always has the next one, which leaves the calls.
//! Modules read their configuration from the environment, so everything runs in a child process that has it.

use std::{
    env,
    error::Error,
    io::{BufRead as _, BufReader, Write as _, stdout},
    num::NonZeroU32,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use criterion::Criterion;
use cryptoki::{
    context::{CInitializeArgs, CInitializeFlags, Pkcs11},
    mechanism::{Mechanism, aead::GcmParams},
    object::{Attribute, ObjectClass, ObjectHandle},
    session::{Session, UserType},
    types::AuthPin,
};
use holdfast_bench::driver::token::{CONTROL, HEALTH_KEY, LABEL, Made, PIN, Token};
use holdfast_keys::{
    KeyFault,
    pkcs11::{
        GroupKey, Groups, ToEncrypt,
        settings::{PartitionSettings, PinSource, Pkcs11Settings, TokenSelector},
    },
};
use holdfast_proto::records::PartitionKey;
use serde_json::Value;
use tokio::{runtime::Runtime, task::JoinSet};

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<ExitCode> {
    // Under `cargo test` benches are only built and started.
    if env::args().any(|argument| argument == "--test") {
        return Ok(ExitCode::SUCCESS);
    }
    match env::var_os(FOLDER) {
        Some(folder) => measure(Path::new(&folder)).map(|()| ExitCode::SUCCESS),
        None => start(),
    }
}

/// Makes the tokens and runs this program again with their environment.
fn start() -> Outcome<ExitCode> {
    let folder = tempfile::tempdir()?;
    let mut again = Command::new(env::current_exe()?);
    again.args(env::args_os().skip(1)).env(FOLDER, folder.path());
    for (name, token) in tokens()? {
        let place = folder.path().join(name);
        std::fs::create_dir(&place)?;
        let (variable, file) = token.make(&place)?.environment;
        again.env(variable, file);
    }
    Ok(if again.status()?.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn measure(folder: &Path) -> Outcome<()> {
    let mut criterion = Criterion::default().configure_from_args();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    for (name, token) in tokens()? {
        let place = folder.join(name);
        let made = token.made(&place);
        let calls = Calls(place.join(CONTROL));
        let direct = Direct::open(&made)?;
        direct.encrypt()?;
        let before = calls.count();
        direct.encrypt()?;
        let of_cryptoki = calls.since(before);
        criterion.bench_function(&format!("{name}: cryptoki"), |b| b.iter(|| direct.encrypt()));

        let served = Served::open(name, &made, &place)?;
        runtime.block_on(served.encrypt(1, 1))?;
        let before = calls.count();
        runtime.block_on(served.encrypt(1, 1))?;
        let of_holdfast = calls.since(before);
        for (how, at_once) in [("alone", 1), ("kept busy", BUSY)] {
            criterion.bench_function(&format!("{name}: Holdfast, {how}"), |b| b.iter_custom(|times| served.time(&runtime, times, at_once)));
        }
        served.faults()?;
        if let (Some(cryptoki), Some(holdfast)) = (of_cryptoki, of_holdfast) {
            writeln!(stdout(), "{name}: C_Encrypt calls for one Encrypt: cryptoki {cryptoki}, Holdfast {holdfast}\n")?;
        }
    }
    criterion.final_summary();
    Ok(())
}

fn tokens() -> Outcome<[(&'static str, Token); 2]> {
    // This program lies in `target/release/deps`, what was built for use in `target/release`.
    let program = env::current_exe()?;
    let mut folders = program.ancestors().skip(1).map(|folder| folder.join("libholdfast_sim_hsm.so"));
    let built = folders.find(|module| module.exists()).ok_or("no simulator: cargo build --release -p holdfast-sim-hsm")?;
    let simulator = Token::Simulator { module: built, latency: Duration::from_millis(1) };
    Ok([("simulator, 1 ms", simulator), ("SoftHSM", Token::SoftHsm { module: SOFTHSM.into() })])
}

/// A session of `cryptoki`'s and a key.
struct Direct {
    session: Session,
    key: ObjectHandle,
    // Dropped last.
    _module: Pkcs11,
}

impl Direct {
    fn open(made: &Made) -> Outcome<Self> {
        let module = Pkcs11::new(&made.module)?;
        module.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK))?;
        let labelled = |slot: &_| module.get_token_info(*slot).is_ok_and(|info| info.label() == LABEL);
        let slot = module.get_slots_with_token()?.into_iter().find(labelled).ok_or("the token is not there")?;
        let session = module.open_rw_session(slot)?;
        session.login(UserType::User, Some(&AuthPin::from(PIN)))?;
        let named = [Attribute::Label(HEALTH_KEY.into()), Attribute::Class(ObjectClass::SECRET_KEY)];
        let key = match session.find_objects(&named)?.first() {
            Some(key) => *key,
            None => session.generate_key(&Mechanism::AesKeyGen, &key_attributes())?,
        };
        Ok(Self { session, key, _module: module })
    }

    fn encrypt(&self) -> Outcome<Vec<u8>> {
        let mut iv = [0; 12];
        aws_lc_rs::rand::fill(&mut iv)?;
        let params = GcmParams::new(&mut iv, &AAD, 128_u64.into())?;
        Ok(self.session.encrypt(&Mechanism::AesGcm(params), self.key, &PLAINTEXT)?)
    }
}

fn key_attributes() -> [Attribute; 8] {
    [
        Attribute::Token(true),
        Attribute::Private(true),
        Attribute::Sensitive(true),
        Attribute::Encrypt(true),
        Attribute::Decrypt(true),
        Attribute::ValueLen(32_u64.into()),
        Attribute::Id(CKA_ID.to_vec()),
        Attribute::Label(HEALTH_KEY.into()),
    ]
}

/// The same key as Holdfast serves it, over one session.
struct Served {
    _groups: Arc<Groups>,
    key: Arc<GroupKey>,
    faults: AtomicU64,
}

impl Served {
    fn open(name: &str, made: &Made, place: &Path) -> Outcome<Self> {
        let (token, pin) = (TokenSelector::Label(LABEL.into()), PinSource::File(made.pin_file.clone()));
        let mut partition = PartitionSettings::new(name.into(), made.module.clone(), token, pin);
        partition.sessions = Some(NonZeroU32::MIN);
        let settings = Pkcs11Settings { partitions: vec![partition], state_dir: place.join("state"), keyhost: Vec::new() };
        let groups = Groups::start(settings).map_err(|faults| format!("{faults:?}"))?;
        let key = PartitionKey { group: name.into(), cka_id: CKA_ID.into(), label: HEALTH_KEY.into() };
        let key = groups.group(name).ok_or("the group is not there")?.key(&key);
        Ok(Self { _groups: groups, key, faults: AtomicU64::new(0) })
    }

    /// Encrypts so many times, with so many requests waiting at once.
    async fn encrypt(&self, times: u64, at_once: u64) -> Result<(), KeyFault> {
        let mut requests = JoinSet::new();
        for index in 0..at_once {
            let key = Arc::clone(&self.key);
            requests.spawn(async move {
                // Over all indices this is `times`.
                for _ in 0..(times + index) / at_once {
                    let what = ToEncrypt { aad: AAD.to_vec(), plaintext: PLAINTEXT.to_vec().into(), integrity: None };
                    key.encrypt(what, Instant::now() + PATIENCE).await?;
                }
                Ok(())
            });
        }
        while let Some(done) = requests.join_next().await {
            done.map_err(|_| KeyFault::Token)??;
        }
        Ok(())
    }

    fn time(&self, runtime: &Runtime, times: u64, at_once: u64) -> Duration {
        let begun = Instant::now();
        if runtime.block_on(self.encrypt(times, at_once)).is_err() {
            self.faults.fetch_add(1, Ordering::Relaxed);
        }
        begun.elapsed()
    }

    /// What failed must not count as measured.
    fn faults(&self) -> Outcome<()> {
        match self.faults.load(Ordering::Relaxed) {
            0 => Ok(()),
            runs => Err(format!("{runs} runs of Holdfast's failed").into()),
        }
    }
}

/// The simulator's counts, by its control socket; SoftHSM has none.
struct Calls(PathBuf);

impl Calls {
    /// `C_Encrypt` so far.
    fn count(&self) -> Option<u64> {
        let mut stream = UnixStream::connect(&self.0).ok()?;
        stream.write_all(b"{\"fault\":\"status\"}\n").ok()?;
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).ok()?;
        let status: Value = serde_json::from_str(&line).ok()?;
        status["partitions"][0]["calls"]["C_Encrypt"].as_u64()
    }

    fn since(&self, before: Option<u64>) -> Option<u64> {
        Some(self.count()? - before?)
    }
}

/// Names the folder of the tokens to the child.
const FOLDER: &str = "HOLDFAST_BENCH_TOKENS";
const SOFTHSM: &str = "/usr/lib/softhsm/libsofthsm2.so";
/// Of the simulator's first key.
const CKA_ID: [u8; 1] = [1];
const PLAINTEXT: [u8; 32] = [0xa5; 32];
const AAD: [u8; 40] = [0x5a; 40];
/// Requests that keep one session busy; its queue holds four.
const BUSY: u64 = 3;
const PATIENCE: Duration = Duration::from_secs(2);

//! The module in this process: the configuration, read once, and its partitions.
//!
//! Holds: the module is made at the first C_Initialize and lives as long as the process, since calls that hang and the control socket
//! use it after C_Finalize; a call finds its partition by an index, without a lock.

use std::{
    io,
    sync::{
        Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use cryptoki_sys::*;
use thiserror::Error;

use crate::{
    config::{Config, ConfigError, Mechanism, beside},
    control::Control,
    function::Function,
    ledger::LedgerFile,
    partition::{Partition, split},
    rv::{Rv, fail, rv},
};

/// All partitions of this process.
#[derive(Debug)]
pub(crate) struct Module {
    partitions: Vec<Partition>,
}

/// Why the module does not start.
#[derive(Debug, Error)]
enum StartError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("control: {0}")]
    Control(io::Error),
    #[error("partition {label}: {error}")]
    Partition { label: String, error: io::Error },
}

impl Module {
    /// The partitions, in slot order.
    pub(crate) fn partitions(&self) -> &[Partition] {
        &self.partitions
    }

    fn start() -> Result<(), StartError> {
        let config = Config::from_environment()?;
        // Faults that come from now on are told to this process; those before are in the ledgers that it reads next.
        let control = config.control.clone().map(Control::bind).transpose().map_err(StartError::Control)?;
        let mut partitions = Vec::new();
        for (index, partition) in config.partitions.into_iter().enumerate() {
            let label = partition.label.clone();
            let ledger = config.control.as_ref().map(|path| LedgerFile::new(beside(path, &format!(".{}.faults", partition.serial))));
            partitions.push(Partition::open(partition, index, ledger).map_err(|error| StartError::Partition { label, error })?);
        }
        let module = MODULE.get_or_init(|| Self { partitions });
        control.map_or(Ok(()), |control| control.start(module)).map_err(StartError::Control)
    }
}

/// C_Initialize.
pub(crate) fn initialize() -> Result<(), Rv> {
    let starting = STARTING.lock().unwrap_or_else(PoisonError::into_inner);
    if RUNNING.load(Ordering::Acquire) {
        return fail(CKR_CRYPTOKI_ALREADY_INITIALIZED);
    }
    if MODULE.get().is_none()
        && let Err(error) = Module::start()
    {
        eprintln!("holdfast-sim-hsm: {error}");
        return fail(CKR_ARGUMENTS_BAD);
    }
    RUNNING.store(true, Ordering::Release);
    drop(starting);
    Ok(())
}

/// C_Finalize.
pub(crate) fn finalize() -> Result<(), Rv> {
    let module = running()?;
    RUNNING.store(false, Ordering::Release);
    module.partitions.iter().for_each(|partition| partition.end_sessions(false));
    Ok(())
}

/// C_GetSlotList. Never meets a fault.
pub(crate) fn slots(with_token: bool) -> Result<Vec<CK_SLOT_ID>, Rv> {
    let partitions = running()?.partitions.iter().zip(0..);
    Ok(partitions.filter(|(partition, _)| !with_token || !partition.gate.is_removed()).map(|(_, slot)| slot).collect())
}

/// C_GetInfo. Never meets a fault.
pub(crate) fn info() -> Result<CK_INFO, Rv> {
    running()?;
    Ok(CK_INFO {
        cryptokiVersion: CRYPTOKI_VERSION,
        manufacturerID: padded("Holdfast Simulator"),
        flags: 0,
        libraryDescription: padded("holdfast-sim-hsm"),
        libraryVersion: CK_VERSION { major: 0, minor: 1 },
    })
}

/// The partition that a session handle belongs to, whether or not the session is open.
pub(crate) fn of_session(session: CK_SESSION_HANDLE) -> Result<&'static Partition, Rv> {
    let index = split(session).0.and_then(|index| usize::try_from(index).ok());
    let module = running()?;
    index.and_then(|index| module.partitions.get(index)).ok_or(rv(CKR_SESSION_HANDLE_INVALID))
}

/// The same, for a call that has passed the partition's faults.
pub(crate) fn entered(session: CK_SESSION_HANDLE, function: Function) -> Result<&'static Partition, Rv> {
    let partition = of_session(session)?;
    partition.enter(function)?;
    Ok(partition)
}

/// The partition in a slot, for a call that has passed its faults.
pub(crate) fn entered_slot(slot: CK_SLOT_ID, function: Function) -> Result<&'static Partition, Rv> {
    let index = usize::try_from(slot).map_err(|_| rv(CKR_SLOT_ID_INVALID))?;
    let partition = running()?.partitions.get(index).ok_or(rv(CKR_SLOT_ID_INVALID))?;
    partition.enter(function)?;
    Ok(partition)
}

impl Partition {
    /// C_GetSlotInfo.
    pub(crate) fn slot_info(&self) -> CK_SLOT_INFO {
        let present = if self.gate.is_removed() { 0 } else { CKF_TOKEN_PRESENT };
        CK_SLOT_INFO {
            slotDescription: padded(&self.config.label),
            manufacturerID: padded(&self.config.manufacturer),
            flags: CKF_HW_SLOT | CKF_REMOVABLE_DEVICE | present,
            hardwareVersion: CK_VERSION { major: 1, minor: 0 },
            firmwareVersion: self.config.firmware,
        }
    }

    /// C_GetTokenInfo.
    pub(crate) fn token_info(&self) -> Result<CK_TOKEN_INFO, Rv> {
        let pins = self.token.pins()?;
        let left = self.config.pin_tries.saturating_sub(pins.in_a_row);
        let mut flags = CKF_RNG | CKF_LOGIN_REQUIRED | CKF_USER_PIN_INITIALIZED | CKF_TOKEN_INITIALIZED;
        if pins.in_a_row > 0 {
            flags |= CKF_USER_PIN_COUNT_LOW;
        }
        if self.is_locked(&pins) {
            flags |= CKF_USER_PIN_LOCKED;
        } else if left == 1 {
            flags |= CKF_USER_PIN_FINAL_TRY;
        }
        let most = if self.config.sessions == 0 { CK_EFFECTIVELY_INFINITE } else { self.config.sessions as CK_ULONG };
        Ok(CK_TOKEN_INFO {
            label: padded(&self.config.label),
            manufacturerID: padded(&self.config.manufacturer),
            model: padded(&self.config.model),
            serialNumber: padded(&self.config.serial),
            flags,
            ulMaxSessionCount: most,
            ulSessionCount: self.sessions.count() as CK_ULONG,
            ulMaxRwSessionCount: most,
            ulRwSessionCount: self.sessions.count_read_write() as CK_ULONG,
            ulMaxPinLen: 64,
            ulMinPinLen: 1,
            ulTotalPublicMemory: CK_UNAVAILABLE_INFORMATION,
            ulFreePublicMemory: CK_UNAVAILABLE_INFORMATION,
            ulTotalPrivateMemory: CK_UNAVAILABLE_INFORMATION,
            ulFreePrivateMemory: CK_UNAVAILABLE_INFORMATION,
            hardwareVersion: CK_VERSION { major: 1, minor: 0 },
            firmwareVersion: self.config.firmware,
            utcTime: padded(""),
        })
    }

    /// C_GetMechanismList.
    pub(crate) fn mechanisms(&self) -> Vec<CK_MECHANISM_TYPE> {
        self.config.mechanisms.iter().map(|mechanism| mechanism.code()).collect()
    }

    /// C_GetMechanismInfo.
    pub(crate) fn mechanism_info(&self, kind: CK_MECHANISM_TYPE) -> Result<CK_MECHANISM_INFO, Rv> {
        let mechanism = self.config.mechanisms.iter().find(|mechanism| mechanism.code() == kind).ok_or(rv(CKR_MECHANISM_INVALID))?;
        let flags = match mechanism {
            Mechanism::AesGcm => CKF_HW | CKF_ENCRYPT | CKF_DECRYPT,
            Mechanism::AesKeyGen => CKF_HW | CKF_GENERATE,
        };
        Ok(CK_MECHANISM_INFO { ulMinKeySize: 16, ulMaxKeySize: 32, flags })
    }
}

fn running() -> Result<&'static Module, Rv> {
    let module = MODULE.get().filter(|_| RUNNING.load(Ordering::Acquire));
    module.ok_or(rv(CKR_CRYPTOKI_NOT_INITIALIZED))
}

/// Text as the fixed fields of PKCS#11 have it: blanks behind, no terminator.
fn padded<const N: usize>(text: &str) -> [u8; N] {
    let mut field = [b' '; N];
    field.iter_mut().zip(text.bytes()).for_each(|(to, from)| *to = from);
    field
}

/// What C_GetFunctionList and C_GetInfo say.
pub(crate) const CRYPTOKI_VERSION: CK_VERSION = CK_VERSION { major: 2, minor: 40 };

// PKCS#11 gives a module no place of its own to keep its state; these are it.
static MODULE: OnceLock<Module> = OnceLock::new();
static RUNNING: AtomicBool = AtomicBool::new(false);
static STARTING: Mutex<()> = Mutex::new(());

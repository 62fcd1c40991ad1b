//! One token of a module: found by its selector, and what it says of itself.
//!
//! Holds: nothing here waits or tries again; a token is looked for anew at each connection, since its slot may have changed, but first
//! where it was: another token of the module, which may hang, is not asked as long as this one is still there.

use std::sync::Arc;

use cryptoki::{
    mechanism::MechanismType,
    slot::{Slot, TokenInfo},
};
use uuid::Uuid;

use super::{
    fault::CallError, gate::Gate, module::Module, seen::Seen, session::Session, settings::TokenSelector, status::TokenFacts, vendor::Vendor,
};

/// A token that was found.
pub(crate) struct Token {
    module: Arc<Module>,
    slot: Slot,
    info: TokenInfo,
    vendor: &'static Vendor,
}

/// Why a token was not found.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TokenError {
    /// The module has no such token. Those that it has, as `label "a", serial number "1", slot 2`.
    #[error("no such token")]
    None(Vec<String>),
    /// More than one token is named so.
    #[error("more than one such token")]
    Many(Vec<String>),
    /// The module failed.
    #[error("{0}")]
    Call(#[from] CallError),
}

impl Token {
    /// Looks where the token was, then through all of the module's tokens.
    pub(crate) fn find(module: &Arc<Module>, selector: &TokenSelector, seen: Option<&Seen>) -> Result<Self, TokenError> {
        let slow = module.slow();
        let slots = slow.get_slots_with_token().map_err(|error| CallError::of("C_GetSlotList", &error))?;
        let found =
            |slot: Slot, info: TokenInfo| Self { module: Arc::clone(module), slot, vendor: Vendor::of(info.manufacturer_id()), info };
        let selected = |slot: Slot, info: &TokenInfo| match selector {
            TokenSelector::Label(label) => info.label() == label,
            TokenSelector::Serial(serial) => info.serial_number() == serial,
            TokenSelector::Slot(id) => slot.id() == *id,
        };
        if let Some(seen) = seen
            && let Some(slot) = slots.iter().copied().find(|slot| Some(slot.id()) == seen.slot)
            && let Ok(info) = slow.get_token_info(slot)
            && info.token_initialized()
            && selected(slot, &info)
            && (info.manufacturer_id(), info.serial_number()) == (&*seen.facts.manufacturer, &*seen.facts.serial)
        {
            return Ok(found(slot, info));
        }
        let mut all = Vec::new();
        let mut failed = None;
        for slot in slots {
            // Another slot's token may be broken without any harm to this one.
            match slow.get_token_info(slot) {
                Ok(info) if info.token_initialized() => all.push((slot, info)),
                Ok(_) => {}
                Err(error) => failed = Some(CallError::of("C_GetTokenInfo", &error)),
            }
        }
        let existing = || all.iter().map(|(slot, info)| describe(*slot, info)).collect();
        let mut matching = all.iter().filter(|(slot, info)| selected(*slot, info));
        match (matching.next(), matching.next(), failed) {
            (Some((slot, info)), None, _) => Ok(found(*slot, info.clone())),
            (Some(_), Some(_), _) => Err(TokenError::Many(existing())),
            (None, _, Some(call)) => Err(call.into()),
            (None, _, None) => Err(TokenError::None(existing())),
        }
    }

    /// With a row of the table that settings name, instead of the manufacturer's.
    pub(crate) fn with_vendor(self, vendor: Option<&'static Vendor>) -> Self {
        Self { vendor: vendor.unwrap_or(self.vendor), ..self }
    }

    /// Opens a session, by way of `gate`. `write`: keys can be made in it.
    pub(crate) fn open(&self, write: bool, gate: Arc<Gate>) -> Result<Session, CallError> {
        let slow = self.module.slow();
        let open = || match write || self.vendor.read_write_only {
            true => slow.open_rw_session(self.slot),
            false => slow.open_ro_session(self.slot),
        };
        Session::open(&self.module, self.vendor.iv, gate, open)
    }

    /// The number of its slot, which may be another after a restart of the host.
    pub(crate) fn slot(&self) -> u64 {
        self.slot.id()
    }

    /// How its maker's tokens behave.
    pub(crate) const fn vendor(&self) -> &'static Vendor {
        self.vendor
    }

    /// Most sessions that it allows this process; none: it sets no limit, or does not say.
    pub(crate) fn max_sessions(&self) -> Option<u32> {
        let all: Option<u64> = self.info.max_session_count().into();
        let writing: Option<u64> = self.info.max_rw_session_count().into();
        let limit = if self.vendor.read_write_only { [all, writing].into_iter().flatten().min() } else { all };
        limit.map(|limit| u32::try_from(limit).unwrap_or(u32::MAX))
    }

    /// What it says of itself. Its id is `id`, else made of manufacturer and serial number, so that all nodes report the same.
    pub(crate) fn facts(&self, id: Option<Uuid>) -> TokenFacts {
        let (manufacturer, serial) = (self.info.manufacturer_id().to_owned(), self.info.serial_number().to_owned());
        TokenFacts {
            id: id.unwrap_or_else(|| Uuid::new_v5(&NAMESPACE, format!("{manufacturer}\0{serial}").as_bytes())),
            label: self.info.label().to_owned(),
            model: self.info.model().to_owned(),
            firmware: self.info.firmware_version().to_string(),
            manufacturer,
            serial,
        }
    }

    /// What it lacks of what requests need, by the names of PKCS#11.
    pub(crate) fn missing_mechanisms(&self) -> Result<Vec<&'static str>, CallError> {
        let slow = self.module.slow();
        let has = slow.get_mechanism_list(self.slot).map_err(|error| CallError::of("C_GetMechanismList", &error))?;
        if !has.contains(&MechanismType::AES_GCM) {
            return Ok(vec!["CKM_AES_GCM"]);
        }
        let info = slow.get_mechanism_info(self.slot, MechanismType::AES_GCM);
        let info = info.map_err(|error| CallError::of("C_GetMechanismInfo", &error))?;
        let lacks = [(info.encrypt(), "CKM_AES_GCM for C_Encrypt"), (info.decrypt(), "CKM_AES_GCM for C_Decrypt")];
        Ok(lacks.into_iter().filter(|(has, _)| !has).map(|(_, name)| name).collect())
    }
}

fn describe(slot: Slot, info: &TokenInfo) -> String {
    format!("label {:?}, serial number {:?}, slot {}", info.label(), info.serial_number(), slot.id())
}

/// Of partition ids that no one configured. Changing it changes them all.
const NAMESPACE: Uuid = Uuid::from_u128(0x6f7e_1c52_43d8_4b0e_9d5a_2c8f_70b1_e3a4);

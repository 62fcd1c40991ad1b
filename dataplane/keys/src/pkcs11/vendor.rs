//! What differs between makers of tokens: one table, picked by the token's manufacturer, settable by name.
//!
//! Holds: a row is marked tested only where tests of this repository run against such a token; the others are from documents alone, named
//! in the row.

/// How tokens of one maker behave.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Vendor {
    /// What settings call it.
    pub(crate) name: &'static str,
    /// How `CK_TOKEN_INFO.manufacturerID` begins; none: only by setting.
    manufacturer: Option<&'static str>,
    /// Who makes the IV of an encryption.
    pub(crate) iv: IvRule,
    /// Sessions can't be opened read-only.
    pub(crate) read_write_only: bool,
    /// A key made on one token of a group comes to the others by itself.
    pub(crate) replicates: bool,
    /// A token's key is used by a copy of it that lives in a session: the token reads its own from a file at each use.
    pub(crate) session_copies: bool,
    /// Tests here run against it.
    pub(crate) tested: bool,
}

/// Who makes the IV of an encryption.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IvRule {
    /// We do: 96 random bits from the operating system.
    Caller,
    /// The token, into the 12 bytes of zeros that it is given.
    TokenFillsBuffer,
    /// The token, behind ciphertext and tag; it is given none.
    TokenAppends,
}

impl Vendor {
    /// The row of this name.
    pub(crate) fn named(name: &str) -> Option<&'static Self> {
        TABLE.iter().find(|row| row.name == name)
    }

    /// The row whose manufacturer this is, else `default`.
    pub(crate) fn of(manufacturer: &str) -> &'static Self {
        let matching = TABLE.iter().filter(|row| row.manufacturer.is_some_and(|prefix| manufacturer.starts_with(prefix)));
        // The most exact one.
        matching.max_by_key(|row| row.manufacturer.map_or(0, str::len)).unwrap_or(&DEFAULT)
    }

    /// All names that settings may use.
    pub(crate) fn names() -> Vec<&'static str> {
        TABLE.iter().map(|row| row.name).collect()
    }
}

/// As PKCS#11 v2.40 has it.
const DEFAULT: Vendor = Vendor {
    name: "default",
    manufacturer: None,
    iv: IvRule::Caller,
    read_write_only: false,
    replicates: false,
    session_copies: false,
    tested: false,
};

static TABLE: [Vendor; 10] = [
    DEFAULT,
    // SoftHSM 2.6. At each use of a token's key it locks and reads files, which costs twice as much as AES-GCM itself (measured); a
    // session's key lies in the same process's memory. Object handles are never given out twice in one process.
    Vendor { name: "softhsm", manufacturer: Some("SoftHSM project"), session_copies: true, tested: true, ..DEFAULT },
    // Kryoptic 1.5: `make test-kryoptic`.
    Vendor { name: "kryoptic", manufacturer: Some("Kryoptic Project"), tested: true, ..DEFAULT },
    // The simulator of this repository, one row for each IV rule; the names in brackets are for its configuration.
    Vendor { name: "holdfast-sim", manufacturer: Some("Holdfast Simulator"), tested: true, ..DEFAULT },
    Vendor {
        name: "holdfast-sim-fills",
        manufacturer: Some("Holdfast Simulator (fills IV)"),
        iv: IvRule::TokenFillsBuffer,
        tested: true,
        ..DEFAULT
    },
    Vendor {
        name: "holdfast-sim-appends",
        manufacturer: Some("Holdfast Simulator (appends IV)"),
        iv: IvRule::TokenAppends,
        tested: true,
        ..DEFAULT
    },
    // Thales Luna 7, documentation of CKM_AES_GCM: outside FIPS mode the caller must give an IV; in FIPS mode the HSM makes one of 16 bytes
    // and concatenates it at the end; from firmware 7.9.3 on, ulIvLen = 0 with ulIvBits = 0 asks for those 16 bytes. The manufacturer does
    // not tell the mode, so that the second row is by setting only.
    Vendor { name: "luna", ..DEFAULT },
    Vendor { name: "luna-fips", iv: IvRule::TokenAppends, ..DEFAULT },
    // AWS CloudHSM: "the HSM ignores the IV in the request and uses an IV that it generates", 12 bytes, written to the memory at pIv, which
    // must hold zeros (user guide, mechanism annotations). Client SDK 5 has no read-only sessions (known issues). A cluster copies its
    // keys to all of its HSMs (key synchronization).
    Vendor { name: "cloudhsm", iv: IvRule::TokenFillsBuffer, read_write_only: true, replicates: true, ..DEFAULT },
    // Thales ProtectServer 3, ProtectToolkit 7.1 and later: an IV of zeros is replaced by a random one as long, which is required in FIPS
    // mode (documentation of CKM_AES_GCM). Earlier versions append it: not here.
    Vendor { name: "protectserver", iv: IvRule::TokenFillsBuffer, ..DEFAULT },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manufacturer_picks_the_most_exact_row() {
        for (manufacturer, name) in [
            ("SoftHSM project", "softhsm"),
            ("Kryoptic Project", "kryoptic"),
            ("Holdfast Simulator", "holdfast-sim"),
            ("Holdfast Simulator (fills IV)", "holdfast-sim-fills"),
            ("Holdfast Simulator (appends IV)", "holdfast-sim-appends"),
            ("Somebody else", "default"),
            ("", "default"),
        ] {
            assert_eq!(Vendor::of(manufacturer).name, name, "{manufacturer}");
        }
    }

    #[test]
    fn every_name_names_one_row() {
        for name in Vendor::names() {
            assert_eq!(TABLE.iter().filter(|row| row.name == name).count(), 1, "{name}");
            assert_eq!(Vendor::named(name).unwrap().name, name);
        }
        assert_eq!(Vendor::named("SoftHSM"), None);
    }
}

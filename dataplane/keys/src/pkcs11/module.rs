//! PKCS#11 modules: shared libraries that are loaded once and stay initialised.
//!
//! Holds: in this process a file is loaded once, whatever paths lead to it; nothing is ever finalised or unloaded by us, since calls given up
//! on may still be inside; `C_Initialize` of one module is called by one thread at a time. Loading one module never waits for another.

use std::{
    collections::BTreeMap,
    fmt, fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use cryptoki::{
    context::{CInitializeArgs, CInitializeFlags, Pkcs11},
    error::{Error, RvError},
};

use super::{fault::CallError, ffi::Functions};

/// A module that was loaded and initialised.
pub(crate) struct Module {
    path: PathBuf,
    functions: Functions,
    slow: Pkcs11,
}

/// Why a module does not serve.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ModuleError {
    /// No such file, or it can't be reached.
    #[error("there is no such file: {0}")]
    Missing(String),
    /// No PKCS#11 module, or one that lacks what is needed.
    #[error("{0}")]
    Broken(String),
    /// `C_Initialize` failed.
    #[error("{0}")]
    Initialize(CallError),
}

impl Module {
    /// The module of this file, loaded if this is the first that asks for it, and initialised if it is not: at each connection, since
    /// some modules lose that with their device.
    pub(crate) fn load(path: &Path) -> Result<Arc<Self>, ModuleError> {
        let real = fs::canonicalize(path).map_err(|error| ModuleError::Missing(error.to_string()))?;
        let place = {
            let mut places = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(places.entry(real.clone()).or_default())
        };
        let mut place = place.lock().unwrap_or_else(PoisonError::into_inner);
        let module = match &*place {
            Some(module) => Arc::clone(module),
            // Stays loaded even if it can't be initialised: that is tried again.
            None => Arc::clone(place.insert(Arc::new(Self::open(real)?))),
        };
        module.initialize()?;
        Ok(module)
    }

    /// The calls of requests.
    pub(super) const fn functions(&self) -> &Functions {
        &self.functions
    }

    /// All other calls.
    pub(super) const fn slow(&self) -> &Pkcs11 {
        &self.slow
    }

    fn open(path: PathBuf) -> Result<Self, ModuleError> {
        // First ours, which looks at what `cryptoki` takes for granted.
        let functions = Functions::load(&path).map_err(|error| ModuleError::Broken(error.to_string()))?;
        let slow = Pkcs11::new(&path).map_err(|error| ModuleError::Broken(error.to_string()))?;
        Ok(Self { path, functions, slow })
    }

    fn initialize(&self) -> Result<(), ModuleError> {
        match self.slow.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
            // Already: by an earlier connection, or by another part of this process that loaded the same library.
            Ok(()) | Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => Ok(()),
            Err(error) => Err(ModuleError::Initialize(CallError::of("C_Initialize", &error))),
        }
    }
}

impl fmt::Debug for Module {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Module({})", self.path.display())
    }
}

/// One file's, while it is being loaded and after.
type Place = Mutex<Option<Arc<Module>>>;

/// What this process has loaded. A global, since what it tells of is one: PKCS#11 v2.40 section 5.4 allows a process one `C_Initialize`
/// per library, whoever calls it, and partitions that share a module start at the same time.
static LOADED: Mutex<BTreeMap<PathBuf, Arc<Place>>> = Mutex::new(BTreeMap::new());

#[cfg(test)]
mod tests {
    use std::{os::unix::fs::symlink, thread};

    use super::*;
    use crate::fixture::on_softhsm;

    #[test]
    fn a_file_is_loaded_once_whatever_path_leads_to_it() {
        on_softhsm(&["one"], |tokens| {
            let path = tokens.partition("one").module;
            let link = tokens.path("link.so");
            symlink(&path, &link).unwrap();
            let all: Vec<Arc<Module>> = thread::scope(|scope| {
                let paths = (0..8).map(|at| if at % 2 == 0 { &path } else { &link });
                let loading: Vec<_> = paths.map(|path| scope.spawn(move || Module::load(path))).collect();
                loading.into_iter().map(|module| module.join().unwrap().unwrap()).collect()
            });
            assert!(all.iter().all(|module| Arc::ptr_eq(module, &all[0])));
            assert_eq!(all[0].slow().get_slots_with_token().unwrap().len(), 2, "the token, and a slot for another");
        });
    }

    #[test]
    fn a_module_that_does_not_initialise_is_asked_again() {
        on_softhsm(&["one"], |tokens| {
            let (configuration, away) = (tokens.path("configuration"), tokens.path("away"));
            fs::rename(&configuration, &away).unwrap();
            let path = tokens.partition("one").module;
            assert!(matches!(Module::load(&path).unwrap_err(), ModuleError::Initialize(_)));
            fs::rename(&away, &configuration).unwrap();
            assert!(Module::load(&path).is_ok());
        });
    }

    #[test]
    fn a_module_that_another_part_of_the_process_initialised_serves_as_well() {
        on_softhsm(&["one"], |tokens| {
            let path = tokens.partition("one").module;
            let another = Pkcs11::new(&path).unwrap();
            another.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)).unwrap();
            assert!(Module::load(&path).is_ok());
            another.finalize().unwrap();
            let again = Module::load(&path).unwrap();
            assert_eq!(again.slow().get_slots_with_token().unwrap().len(), 2, "what it lost it has again");
        });
    }

    #[test]
    fn what_is_no_module_is_told_apart() {
        assert!(matches!(Module::load(Path::new("/nonexistent/module.so")).unwrap_err(), ModuleError::Missing(_)));
        assert!(matches!(Module::load(Path::new("/etc/passwd")).unwrap_err(), ModuleError::Broken(_)));
    }
}

use std::fs;

use rcgen::{CertificateParams, KeyPair};
use tempfile::TempDir;

use super::*;

/// A fresh certificate and its key in a directory.
fn write(directory: &TempDir) -> CertificateFiles {
    let files = CertificateFiles { chain: directory.path().join("chain.pem"), key: directory.path().join("key.pem") };
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["localhost".into()]).unwrap().self_signed(&key).unwrap();
    fs::write(&files.chain, certificate.pem()).unwrap();
    fs::write(&files.key, key.serialize_pem()).unwrap();
    files
}

fn load(files: &CertificateFiles) -> Tls {
    Tls::load(&ListenerSettings::loopback(files.clone())).unwrap()
}

#[test]
fn a_reload_swaps_only_what_changed_unless_it_is_asked_for() {
    let directory = tempfile::tempdir().unwrap();
    let files = write(&directory);
    let tls = load(&files);
    let first = tls.config();
    assert_eq!(tls.reload(false).unwrap(), Reloaded::Unchanged);
    assert!(Arc::ptr_eq(&first, &tls.config()));
    write(&directory);
    assert_eq!(tls.reload(false).unwrap(), Reloaded::Swapped);
    let second = tls.config();
    assert!(!Arc::ptr_eq(&first, &second));
    assert_eq!(tls.reload(true).unwrap(), Reloaded::Swapped);
    assert!(!Arc::ptr_eq(&second, &tls.config()));
}

#[test]
fn a_reload_that_fails_changes_nothing_and_is_tried_again() {
    let directory = tempfile::tempdir().unwrap();
    let files = write(&directory);
    let tls = load(&files);
    let before = tls.config();
    let (good_chain, good_key) = (fs::read(&files.chain).unwrap(), fs::read(&files.key).unwrap());
    let another = tempfile::tempdir().unwrap();
    let other_key = fs::read(write(&another).key).unwrap();
    for (chain, key) in [(&b""[..], &good_key[..]), (&good_chain, b"no key"), (&good_chain, &other_key)] {
        fs::write(&files.chain, chain).unwrap();
        fs::write(&files.key, key).unwrap();
        for anyway in [false, true] {
            assert_eq!(tls.reload(anyway).unwrap_err().len(), 1);
            assert!(Arc::ptr_eq(&before, &tls.config()));
        }
    }
    fs::remove_file(&files.key).unwrap();
    assert!(matches!(tls.reload(false).unwrap_err()[..], [TlsError::Read { .. }]));
    fs::write(&files.key, good_key).unwrap();
    assert_eq!(tls.reload(false).unwrap(), Reloaded::Unchanged);
    write(&directory);
    assert_eq!(tls.reload(false).unwrap(), Reloaded::Swapped);
}

#[test]
fn early_data_is_off_and_both_protocols_are_offered() {
    let directory = tempfile::tempdir().unwrap();
    let config = load(&write(&directory)).config();
    assert_eq!(config.max_early_data_size, 0);
    assert_eq!(config.alpn_protocols, [b"h2".to_vec(), b"http/1.1".to_vec()]);
}

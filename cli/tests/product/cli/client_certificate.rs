//! `holdfast keystore test` against a key store with mutual TLS, by a certificate such as AWS KMS shows.

use std::fs;

use rcgen::{BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};

use super::text;
use crate::{
    process::{Ended, run_with},
    site::{Site, start_data_plane},
};

#[test]
fn a_key_store_with_mutual_tls_is_tested_with_a_client_certificate_of_its_region() {
    let site = Site::new();
    let handout = site.handout();
    let region = text(&handout["xks"]["region"]).to_owned();
    let (mut control, config) = site.with_one_node();
    let clients = Clients::new(&site);
    let asked = format!("client_certificates = \"request\"\nclient_ca = [{:?}]", site.path("clients.crt"));
    let whole = fs::read_to_string(&config).unwrap().replace("client_certificates = \"off\"", &asked);
    fs::write(&config, whole).unwrap();
    let mut data = start_data_plane(&config);
    let endpoint = format!("https://localhost:{}", data.wait_for_listener("xks").port());
    let api = format!("https://localhost:{}", control.wait_for_listener("api").port());
    control.wait_for("the demo key store is ready");

    let shell = |arguments: &[&str]| run_with(arguments, &[("HOLDFAST_SESSION", site.path("session.json").to_str().unwrap())]);
    let ca = site.path("controlplane/ca.crt");
    let (ca, password) = (ca.to_str().unwrap(), site.path("password"));
    fs::write(&password, text(&handout["api"]["password"])).unwrap();
    let login = ["login", "--server", &api, "--ca", ca, "--username", "admin", "--password-file", password.to_str().unwrap()];
    good(&shell(&login));
    good(&shell(&["keystore", "update", "demo", "--mtls", "true"]));

    let test = ["keystore", "test", "demo", "--new-credential", "--endpoint", &endpoint, "--ca", ca];
    let shown = |name: &str| {
        let [certificate, key] = clients.sign(name).map(|file| site.path(&file).to_str().unwrap().to_owned());
        shell(&[&test[..], &["--client-cert", &certificate, "--client-key", &key]].concat())
    };
    let without = shell(&test);
    assert!(without.stderr.contains("AuthenticationFailedException"), "{}{}", without.stdout, without.stderr);
    let table = good(&shown(&format!("cks.kms.{region}.amazonaws.com")));
    assert!(table.contains("GetHealthStatus  ok"), "{table}");
    let of_another_region = shown("cks.kms.mars-north-1.amazonaws.com");
    assert!(of_another_region.stderr.contains("AuthenticationFailedException"), "{}", of_another_region.stderr);

    let half = shell(&[&test[..], &["--client-cert", ca]].concat());
    assert_eq!(half.status.code(), Some(2), "{}", half.stderr);
    let missing = shell(&[&test[..], &["--client-cert", "no-such.crt", "--client-key", "no-such.key"]].concat());
    assert!(missing.status.code() == Some(1) && missing.stderr.contains("no-such.crt"), "{}", missing.stderr);
}

/// An authority for client certificates: `clients.crt` in the site.
struct Clients<'s> {
    site: &'s Site,
    issuer: Issuer<'static, KeyPair>,
}

impl<'s> Clients<'s> {
    fn new(site: &'s Site) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        fs::write(site.path("clients.crt"), params.self_signed(&key).unwrap().pem()).unwrap();
        Self { site, issuer: Issuer::new(params, key) }
    }

    /// The names of a certificate's and its key's file.
    fn sign(&self, common_name: &str) -> [String; 2] {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, common_name);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let files = ["crt", "key"].map(|kind| format!("{common_name}.{kind}"));
        for (file, pem) in files.iter().zip([certificate.pem(), key.serialize_pem()]) {
            fs::write(self.site.path(file), pem).unwrap();
        }
        files
    }
}

fn good(ended: &Ended) -> String {
    assert!(ended.status.success(), "{}{}", ended.stdout, ended.stderr);
    ended.stdout.clone()
}

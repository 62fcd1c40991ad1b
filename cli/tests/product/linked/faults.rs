//! What goes wrong between AWS and a data plane: each switch of the simulator, met by the product.

use std::{fs, time::Duration};

use holdfast_sim_kms::{ProxyFaults, Sim, SimSettings};
use serde_json::json;

use super::site::{Linked, Setup};
use crate::{process::alone, rest::text};

#[test]
fn what_a_data_plane_can_bear_is_borne_and_the_rest_is_refused_for_what_it_is() {
    let _alone = alone();
    let linked = Linked::start_with(Setup { proxy_patience: PATIENCE, ..Setup::default() });
    let store = linked.connected_store("troubled");
    let key = text(&linked.linked_key(&store, "troubled"), "/aws_param/KeyID").to_owned();
    let late = "did not respond in time";
    let rows = [
        (ProxyFaults { latency: PATIENCE / 20, ..ProxyFaults::default() }, None),
        (ProxyFaults { latency: PATIENCE + Duration::from_millis(1), ..ProxyFaults::default() }, Some(late)),
        (ProxyFaults { drop: 1, ..ProxyFaults::default() }, None),
        (ProxyFaults { drop: 2, ..ProxyFaults::default() }, Some(late)),
        (ProxyFaults { unknown_members: true, ..ProxyFaults::default() }, None),
        (ProxyFaults { clock_skew: 240, ..ProxyFaults::default() }, None),
        (ProxyFaults { clock_skew: -240, ..ProxyFaults::default() }, None),
        (ProxyFaults { clock_skew: 360, ..ProxyFaults::default() }, Some(STRANGER)),
        (ProxyFaults { clock_skew: -360, ..ProxyFaults::default() }, Some(STRANGER)),
        (ProxyFaults { stale_credential: true, ..ProxyFaults::default() }, None),
    ];
    for (faults, refused) in rows {
        linked.switches().proxy(faults.clone());
        match refused {
            None => assert_eq!(linked.round_trip(&key), "aGVsbG8=", "{faults:?}"),
            Some(why) => assert!(told(&linked, &key).contains(why), "{faults:?}: {}", told(&linked, &key)),
        }
        linked.switches().proxy(ProxyFaults::default());
        assert_eq!(linked.round_trip(&key), "aGVsbG8=", "after {faults:?}");
    }
}

#[test]
fn a_part_of_aws_that_has_not_heard_of_a_new_credential_is_served_until_the_old_one_is_deleted() {
    let linked = Linked::start();
    let store = linked.connected_store("rotated");
    let key = text(&linked.linked_key(&store, "rotated"), "/aws_param/KeyID").to_owned();
    let stale = ProxyFaults { stale_credential: true, ..ProxyFaults::default() };
    let rotated = linked.rest().act(&format!("{}/rotate-credential", store.path));
    linked.switches().proxy(stale.clone());
    assert_eq!(linked.round_trip(&key), "aGVsbG8=");
    linked.rest().delete(&format!("{}/credentials/{}", store.path, text(&rotated, "/oldest_credentials_id")));
    linked.wait_for_nodes();
    assert!(told(&linked, &key).contains(STRANGER), "{}", told(&linked, &key));
    linked.switches().proxy(ProxyFaults::default());
    assert_eq!(linked.round_trip(&key), "aGVsbG8=");
}

#[test]
fn a_key_store_that_wants_a_client_certificate_serves_that_of_aws_and_no_other() {
    let mut linked = Linked::start();
    let store = linked.connected_store("mutual");
    let key = text(&linked.linked_key(&store, "mutual"), "/aws_param/KeyID").to_owned();
    trust(&mut linked, None);
    linked.rest().patch(&store.path, &json!({ "local_hosted_params": { "mtls_enabled": true } }));
    linked.wait_for_nodes();
    assert!(told(&linked, &key).contains(STRANGER), "{}", told(&linked, &key));
    linked.switches().client_certificate(true);
    assert_eq!(linked.round_trip(&key), "aGVsbG8=");

    // Of an authority that is not AWS's.
    let other = linked.block_on(Sim::start(SimSettings::new(None))).unwrap();
    trust(&mut linked, Some(&other));
    assert!(told(&linked, &key).contains("cannot establish a TLS connection"), "{}", told(&linked, &key));
    trust(&mut linked, None);
    assert_eq!(linked.round_trip(&key), "aGVsbG8=");
}

/// Why an Encrypt that must fail did.
fn told(linked: &Linked, key: &str) -> String {
    let refused = linked.try_kms("Encrypt", &json!({ "KeyId": key, "Plaintext": "aGVsbG8=" })).unwrap_err();
    assert_eq!(refused.name, "KMSInvalidStateException", "{}", refused.message);
    refused.message
}

/// Has the data plane take client certificates of the simulator's authority, or of another one's.
fn trust(linked: &mut Linked, other: Option<&Sim>) {
    let roots = other.unwrap_or(linked.sim()).client_ca().to_owned();
    linked.restart_node_with(0, |config| {
        let file = config.with_file_name("clients.crt");
        fs::write(&file, roots).unwrap();
        let asked = format!("client_certificates = \"request\"\nclient_ca = [{file:?}]");
        let whole = fs::read_to_string(config).unwrap().replace("client_certificates = \"off\"", &asked);
        assert!(whole.contains(&asked));
        fs::write(config, whole).unwrap();
    });
    linked.wait_for_nodes();
}

const STRANGER: &str = "could not authenticate AWS KMS";
/// Enough for a debug build on a busy machine, and not too long to be waited for.
const PATIENCE: Duration = Duration::from_secs(2);

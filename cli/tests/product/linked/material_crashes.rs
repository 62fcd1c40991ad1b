//! A control plane that dies while the material of a key in AWS is rotated, deleted or imported again finds its way when it is back: what
//! AWS did is shown, and what it did not is shown as not done, or done.

use holdfast_proto::admin::DeleteAwsKeyMaterialRequest;
use holdfast_sim_kms::When;
use serde_json::{Value, json};

use super::{
    key_crashes::{crashes_over, until_idle},
    site::Linked,
    upload::{exportable, import, materials, native, upload},
};
use crate::rest::text;

#[test]
fn whether_aws_rotates_a_key_and_when_it_did_is_shown_as_aws_has_it() {
    let mut linked = Linked::start();
    let made = linked.rest().post("cckm/aws/keys", &native("", ""));
    let (key, in_aws) = (path(&made), text(&made, "/aws_param/KeyID"));
    let sealed = sealed(&linked, in_aws);
    let period = json!({ "rotation_period_in_days": 90 });
    for change in [
        ("EnableKeyRotation", "enable-auto-rotation", period, "/aws_param/RotationPeriodInDays", json!(90)),
        ("DisableKeyRotation", "disable-auto-rotation", Value::Null, "/aws_param/KeyRotationEnabled", json!(false)),
        ("RotateKeyOnDemand", "rotate-material", Value::Null, "/rotation_status", json!("ROTATED")),
    ] {
        until_idle(&linked, &key);
        crashes_over(&mut linked, &key, change);
    }
    let shown = linked.rest().get(&key);
    assert!(shown["rotated_at"].is_string() && shown["failure"].is_null(), "{shown}");
    // Once before the crash, which AWS did not do, and once after it.
    assert_eq!(linked.rest().get(&format!("{key}/rotations"))["total"], 2);
    assert_eq!(opened(&linked, &sealed), PLAIN);
}

#[test]
fn material_that_was_to_take_over_does_and_the_key_shows_whose_it_is() {
    let mut linked = Linked::start();
    let first = exportable(&linked, "first", ("AES", 256, ""));
    let made = linked.rest().post("cckm/aws/upload-key", &upload(&first, "", ""));
    let (key, in_aws) = (path(&made), text(&made, "/aws_param/KeyID"));
    let sealed = sealed(&linked, in_aws);
    // Material that waits for its rotation.
    let second = exportable(&linked, "second", ("AES", 256, ""));
    linked.rest().post(&format!("{key}/import-material"), &import(&second, json!({ "import_type": "NEW_KEY_MATERIAL" })));
    crashes_over(&mut linked, &key, ("RotateKeyOnDemand", "rotate-material", Value::Null, "/local_key_id", json!(second)));

    // And material that is made and imported for it: what was begun is finished.
    let rotate = format!("{key}/rotate-material");
    for (operation, when) in [
        ("ImportKeyMaterial", When::Before),
        ("ImportKeyMaterial", When::After),
        ("RotateKeyOnDemand", When::Before),
        ("RotateKeyOnDemand", When::After),
    ] {
        until_idle(&linked, &key);
        let before = linked.rest().get(&key)["local_key_id"].clone();
        linked.crash((operation, when), ("POST", &rotate, &Value::Null));
        let shown = linked.until_shown(&key, |shown| shown["local_key_id"] != before);
        assert!(text(&shown, "/local_key_name").starts_with("second-rotated-"), "{operation} {when:?}: {shown}");
        assert_eq!(opened(&linked, &sealed), PLAIN);
    }
    let states = materials(&linked, &key);
    assert_eq!((states.len(), states.values().filter(|state| *state == "CURRENT").count()), (6, 1), "{states:?}");
    assert!(states.keys().all(|source| !source.is_empty()), "nothing is in AWS that is not known here: {states:?}");
}

#[test]
fn material_that_aws_deleted_is_shown_as_gone_and_its_import_is_finished() {
    let mut linked = Linked::start();
    let source = exportable(&linked, "aes", ("AES", 256, ""));
    let made = linked.rest().post("cckm/aws/upload-key", &upload("aes", "", ""));
    let (key, in_aws) = (path(&made), text(&made, "/aws_param/KeyID"));
    let sealed = sealed(&linked, in_aws);
    linked.crash_over(("DeleteImportedKeyMaterial", When::Before), |linked| linked.begin_call(deletion(linked, &made)));
    until_idle(&linked, &key);
    assert_eq!((text(&linked.rest().get(&key), "/aws_param/KeyState"), opened(&linked, &sealed).as_str()), ("Enabled", PLAIN));

    for when in [When::Before, When::After] {
        linked.crash_over(("DeleteImportedKeyMaterial", When::After), |linked| linked.begin_call(deletion(linked, &made)));
        linked.until_shown(&key, |shown| shown["aws_param"]["KeyState"] == "PendingImport");
        until_idle(&linked, &key);
        linked.crash(("ImportKeyMaterial", when), ("POST", &format!("{key}/import-material"), &import(&source, json!({}))));
        linked.until_shown(&key, |shown| shown["aws_param"]["KeyState"] == "Enabled");
        until_idle(&linked, &key);
        assert_eq!(opened(&linked, &sealed), PLAIN, "{when:?}");
    }
    let shown = linked.rest().get(&key);
    assert_eq!((&shown["failure"], text(&shown, "/local_key_id")), (&Value::Null, source.as_str()));
    assert_eq!(linked.rest().get(&format!("{key}/rotations"))["total"], 1, "it is the same material");
}

/// The call that has AWS delete a key's material.
fn deletion(linked: &Linked, key: &Value) -> impl Future<Output = Result<(), tonic::Status>> + Send + 'static {
    let mut admin = linked.admin();
    let request = admin.request(DeleteAwsKeyMaterialRequest { id: text(key, "/id").into(), ..Default::default() });
    async move { admin.client.aws_keys.delete_aws_key_material(request).await.map(drop) }
}

fn path(key: &Value) -> String {
    format!("cckm/aws/keys/{}", text(key, "/id"))
}

fn sealed(linked: &Linked, key: &str) -> Value {
    linked.kms("Encrypt", &json!({ "KeyId": key, "Plaintext": PLAIN }))["CiphertextBlob"].clone()
}

fn opened(linked: &Linked, sealed: &Value) -> String {
    text(&linked.kms("Decrypt", &json!({ "CiphertextBlob": sealed })), "/Plaintext").to_owned()
}

const PLAIN: &str = "aGVsbG8=";

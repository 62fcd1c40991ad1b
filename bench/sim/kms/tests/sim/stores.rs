//! Custom key stores with a proxy that is well.

use serde_json::{Value, json};

use crate::{
    proxy::{ACCESS_KEY_ID, Mood},
    rig::{Rig, settled},
};

fn with(mut store: Value, member: &str, value: Value) -> Value {
    store[member] = value;
    store
}

#[tokio::test]
async fn a_store_is_made_after_its_proxy_was_asked_with_its_credential() {
    let rig = Rig::patient().await;
    let id = rig.client.done("CreateCustomKeyStore", &rig.store("one")).await["CustomKeyStoreId"].clone();
    let seen = rig.proxy.seen();
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].path, "/kms/xks/v1/health");
    assert!(seen[0].signature.as_ref().is_ok_and(|off| off.abs() < 60), "{:?}", seen[0].signature);
    assert_eq!(seen[0].body["requestMetadata"]["kmsOperation"], "CreateCustomKeyStore");
    let entry = settled(&rig.client, id.as_str().unwrap()).await;
    assert_eq!(entry["ConnectionState"], "DISCONNECTED");
    assert_eq!(entry["XksProxyConfiguration"]["AccessKeyId"], ACCESS_KEY_ID);
    assert!(!entry.to_string().contains("Secret"));
}

#[tokio::test]
async fn names_and_addresses_are_unique_in_a_region_and_limits_are_kept() {
    let rig = Rig::start().await;
    rig.client.done("CreateCustomKeyStore", &rig.store("one")).await;
    let vpc = json!("com.amazonaws.vpce.eu-central-1.vpce-svc-0123456789abcdef0");
    let cases = [
        (rig.store("one"), "CustomKeyStoreNameInUseException"),
        (rig.store("two"), "XksProxyUriInUseException"),
        (
            with(
                with(with(rig.store("two"), "XksProxyConnectivity", json!("VPC_ENDPOINT_SERVICE")), "XksProxyVpcEndpointServiceName", vpc),
                "XksProxyUriPath",
                json!("/b/kms/xks/v1"),
            ),
            "XksProxyUriEndpointInUseException",
        ),
        (with(rig.store("two"), "XksProxyUriPath", json!("/a b/kms/xks/v1")), "ValidationException"),
        (with(rig.store("two"), "XksProxyUriPath", json!("/kms/xks/v2x")), "ValidationException"),
        (with(rig.store("two"), "XksProxyUriEndpoint", json!("http://localhost")), "ValidationException"),
        (with(rig.store("two"), "XksProxyUriEndpoint", json!("https://localhost/a")), "ValidationException"),
        (with(rig.store("two"), "XksProxyAuthenticationCredential", json!({"AccessKeyId": ACCESS_KEY_ID})), "ValidationException"),
        (
            with(
                rig.store("two"),
                "XksProxyAuthenticationCredential",
                json!({"AccessKeyId": "abcdefghijklmnop2345", "RawSecretAccessKey": "a".repeat(43)}),
            ),
            "ValidationException",
        ),
        (with(rig.store("two"), "CustomKeyStoreType", json!("OTHER")), "ValidationException"),
        (with(rig.store("two"), "CustomKeyStoreName", json!(7)), "SerializationException"),
    ];
    for (store, name) in cases {
        assert_eq!(rig.client.refused("CreateCustomKeyStore", &store).await, name, "{store}");
    }
    let elsewhere = crate::client::Client { region: "us-west-2".into(), ..rig.client.clone() };
    elsewhere.done("CreateCustomKeyStore", &rig.store("one")).await;
}

#[tokio::test]
async fn a_store_goes_through_the_states_of_aws() {
    let rig = Rig::start().await;
    let id = rig.connected().await;
    let this = json!({"CustomKeyStoreId": id});
    assert_eq!(rig.client.refused("DeleteCustomKeyStore", &this).await, "CustomKeyStoreInvalidStateException");
    let moved = json!({"CustomKeyStoreId": id, "XksProxyUriEndpoint": rig.proxy.endpoint()});
    assert_eq!(rig.client.refused("UpdateCustomKeyStore", &moved).await, "CustomKeyStoreInvalidStateException");
    rig.client.done("UpdateCustomKeyStore", &json!({"CustomKeyStoreId": id, "NewCustomKeyStoreName": "renamed"})).await;
    rig.client.done("ConnectCustomKeyStore", &this).await;
    rig.client.done("DisconnectCustomKeyStore", &this).await;
    assert_eq!(settled(&rig.client, &id).await["ConnectionState"], "DISCONNECTED");
    assert_eq!(rig.client.refused("DisconnectCustomKeyStore", &this).await, "CustomKeyStoreInvalidStateException");
    rig.client.done("UpdateCustomKeyStore", &moved).await;
    rig.client.done("DeleteCustomKeyStore", &this).await;
    assert_eq!(rig.client.refused("DescribeCustomKeyStores", &this).await, "CustomKeyStoreNotFoundException");
}

#[tokio::test]
async fn a_failed_connect_shows_its_code_and_has_to_be_disconnected_first() {
    let rig = Rig::start().await;
    let id = rig.client.done("CreateCustomKeyStore", &rig.store("one")).await["CustomKeyStoreId"].as_str().unwrap().to_owned();
    let this = json!({"CustomKeyStoreId": id});
    rig.sim.control().fail_next_connect("XKS_VPC_ENDPOINT_SERVICE_NOT_FOUND");
    rig.client.done("ConnectCustomKeyStore", &this).await;
    let failed = settled(&rig.client, &id).await;
    assert_eq!(failed["ConnectionState"], "FAILED");
    assert_eq!(failed["ConnectionErrorCode"], "XKS_VPC_ENDPOINT_SERVICE_NOT_FOUND");
    for operation in ["ConnectCustomKeyStore", "DeleteCustomKeyStore", "UpdateCustomKeyStore"] {
        assert_eq!(rig.client.refused(operation, &this).await, "CustomKeyStoreInvalidStateException", "{operation}");
    }
    rig.client.done("DisconnectCustomKeyStore", &this).await;
    assert_eq!(settled(&rig.client, &id).await["ConnectionState"], "DISCONNECTED");
    rig.client.done("ConnectCustomKeyStore", &this).await;
    assert_eq!(settled(&rig.client, &id).await["ConnectionState"], "CONNECTED");
}

#[tokio::test]
async fn a_store_with_keys_is_not_deleted_until_they_are_gone() {
    let rig = Rig::start().await;
    let key = rig.key().await;
    let id = rig.client.done("DescribeCustomKeyStores", &json!({})).await["CustomKeyStores"][0]["CustomKeyStoreId"].clone();
    let this = json!({"CustomKeyStoreId": id});
    rig.client.done("DisconnectCustomKeyStore", &this).await;
    settled(&rig.client, id.as_str().unwrap()).await;
    rig.client.done("ScheduleKeyDeletion", &json!({"KeyId": key, "PendingWindowInDays": 7})).await;
    assert_eq!(rig.client.refused("DeleteCustomKeyStore", &this).await, "CustomKeyStoreHasCMKsException");
    rig.sim.control().advance(std::time::Duration::from_hours(7 * 24 + 1));
    rig.client.done("DeleteCustomKeyStore", &this).await;
}

#[tokio::test]
async fn stores_come_in_pages() {
    let rig = Rig::start().await;
    for n in 0..3 {
        let store = with(rig.store(&format!("s{n}")), "XksProxyUriPath", json!(format!("/p{n}/kms/xks/v1")));
        rig.client.done("CreateCustomKeyStore", &store).await;
    }
    let first = rig.client.done("DescribeCustomKeyStores", &json!({"Limit": 2})).await;
    assert_eq!((first["CustomKeyStores"].as_array().unwrap().len(), first["Truncated"].clone()), (2, json!(true)));
    let second = rig.client.done("DescribeCustomKeyStores", &json!({"Limit": 2, "Marker": first["NextMarker"]})).await;
    assert_eq!((second["CustomKeyStores"].as_array().unwrap().len(), second["Truncated"].clone()), (1, json!(false)));
    assert!(second.get("NextMarker").is_none());
    assert_eq!(rig.client.refused("DescribeCustomKeyStores", &json!({"Marker": "mine"})).await, "InvalidMarkerException");
}

#[tokio::test]
async fn a_cloudhsm_store_wants_a_fit_cluster_its_trust_anchor_and_the_right_password() {
    let rig = Rig::start().await;
    let clusters = rig.client.signed("cloudhsm", Some("BaldrApiService.DescribeClusters"), "{}".into()).await.unwrap().json();
    let cluster =
        |n: usize| (clusters["Clusters"][n]["ClusterId"].clone(), clusters["Clusters"][n]["Certificates"]["ClusterCertificate"].clone());
    let store = |n: usize, anchor: Value, password: &str| json!({"CustomKeyStoreName": "hsm", "CloudHsmClusterId": cluster(n).0, "TrustAnchorCertificate": anchor, "KeyStorePassword": password});
    let create = "CreateCustomKeyStore";
    assert_eq!(rig.client.refused(create, &store(0, cluster(2).1, "password1")).await, "IncorrectTrustAnchorException");
    assert_eq!(rig.client.refused(create, &store(3, cluster(3).1, "password1")).await, "CloudHsmClusterInvalidConfigurationException");
    assert_eq!(rig.client.refused(create, &store(4, cluster(0).1, "password1")).await, "CloudHsmClusterNotActiveException");
    let mut unknown = store(0, cluster(0).1, "password1");
    unknown["CloudHsmClusterId"] = json!("cluster-aaaaaaaaaaa");
    assert_eq!(rig.client.refused(create, &unknown).await, "CloudHsmClusterNotFoundException");
    let id = rig.client.done(create, &store(0, cluster(0).1, "password1")).await["CustomKeyStoreId"].as_str().unwrap().to_owned();
    let mut related = store(1, cluster(1).1, "password1");
    related["CustomKeyStoreName"] = json!("other");
    assert_eq!(rig.client.refused(create, &related).await, "CloudHsmClusterInUseException");
    let this = json!({"CustomKeyStoreId": id});
    rig.client.done("ConnectCustomKeyStore", &this).await;
    assert_eq!(settled(&rig.client, &id).await["ConnectionErrorCode"], "INVALID_CREDENTIALS");
    rig.client.done("DisconnectCustomKeyStore", &this).await;
    settled(&rig.client, &id).await;
    let unrelated = json!({"CustomKeyStoreId": id, "CloudHsmClusterId": cluster(2).0});
    assert_eq!(rig.client.refused("UpdateCustomKeyStore", &unrelated).await, "CloudHsmClusterNotRelatedException");
    let right = json!({"CustomKeyStoreId": id, "CloudHsmClusterId": cluster(1).0, "KeyStorePassword": "kmsuser-password"});
    rig.client.done("UpdateCustomKeyStore", &right).await;
    rig.client.done("ConnectCustomKeyStore", &this).await;
    assert_eq!(settled(&rig.client, &id).await["ConnectionState"], "CONNECTED");
    // Connected, it takes a new name, and nothing else.
    assert_eq!(rig.client.refused("UpdateCustomKeyStore", &right).await, "CustomKeyStoreInvalidStateException");
    rig.client.done("UpdateCustomKeyStore", &json!({"CustomKeyStoreId": id, "NewCustomKeyStoreName": "renamed"})).await;
    assert_eq!(settled(&rig.client, &id).await["CustomKeyStoreName"], "renamed");
}

#[tokio::test]
async fn of_two_updates_at_once_neither_undoes_the_other() {
    let rig = Rig::patient().await;
    let id = rig.client.done("CreateCustomKeyStore", &rig.store("one")).await["CustomKeyStoreId"].as_str().unwrap().to_owned();
    let credential = json!({"AccessKeyId": "ZYXWVUTSRQPONMLK2345", "RawSecretAccessKey": "b".repeat(43)});
    let slow = json!({"CustomKeyStoreId": id, "XksProxyAuthenticationCredential": credential});
    rig.proxy.feel(Mood::Waiting);
    let client = rig.client.clone();
    let slow = tokio::spawn(async move { client.done("UpdateCustomKeyStore", &slow).await });
    rig.proxy.keeps_one().await;
    rig.proxy.feel(Mood::Well);
    let quick = json!({"CustomKeyStoreId": id, "NewCustomKeyStoreName": "two", "XksProxyUriPath": "/moved/kms/xks/v1"});
    rig.client.done("UpdateCustomKeyStore", &quick).await;
    rig.proxy.go_on();
    slow.await.unwrap();
    let store = settled(&rig.client, &id).await;
    let proxy = &store["XksProxyConfiguration"];
    assert_eq!(
        (&store["CustomKeyStoreName"], &proxy["UriPath"], &proxy["AccessKeyId"]),
        (&json!("two"), &json!("/moved/kms/xks/v1"), &json!("ZYXWVUTSRQPONMLK2345"))
    );
}

#[tokio::test]
async fn a_vpc_endpoint_service_may_be_of_another_partition_and_another_account() {
    let rig = Rig::start().await;
    let vpc = |service: &str, owner: &str| {
        let store = with(rig.store("vpc"), "XksProxyConnectivity", json!("VPC_ENDPOINT_SERVICE"));
        with(with(store, "XksProxyVpcEndpointServiceName", json!(service)), "XksProxyVpcEndpointServiceOwner", json!(owner))
    };
    let service = "eu.amazonaws.vpce.eusc-de-east-1.vpce-svc-0123456789abcdef0";
    for wrong in [vpc("org.amazonaws.vpce.eu-central-1.vpce-svc-0123456789abcdef0", "444455556666"), vpc(service, "4444")] {
        assert_eq!(rig.client.refused("CreateCustomKeyStore", &wrong).await, "ValidationException", "{wrong}");
    }
    let public = with(rig.store("public"), "XksProxyVpcEndpointServiceOwner", json!("444455556666"));
    assert_eq!(rig.client.refused("CreateCustomKeyStore", &public).await, "ValidationException");
    let id = rig.client.done("CreateCustomKeyStore", &vpc(service, "444455556666")).await["CustomKeyStoreId"].as_str().unwrap().to_owned();
    let proxy = async || settled(&rig.client, &id).await["XksProxyConfiguration"].clone();
    assert_eq!(
        (&proxy().await["VpcEndpointServiceName"], &proxy().await["VpcEndpointServiceOwner"]),
        (&json!(service), &json!("444455556666"))
    );
    rig.client.done("UpdateCustomKeyStore", &json!({"CustomKeyStoreId": id, "XksProxyVpcEndpointServiceOwner": "777788889999"})).await;
    assert_eq!(proxy().await["VpcEndpointServiceOwner"], "777788889999");
    rig.client.done("DeleteCustomKeyStore", &json!({"CustomKeyStoreId": id})).await;
    let mut own = vpc(service, "444455556666");
    own.as_object_mut().unwrap().remove("XksProxyVpcEndpointServiceOwner");
    let id = rig.client.done("CreateCustomKeyStore", &own).await["CustomKeyStoreId"].as_str().unwrap().to_owned();
    assert_eq!(settled(&rig.client, &id).await["XksProxyConfiguration"]["VpcEndpointServiceOwner"], "111122223333");
}

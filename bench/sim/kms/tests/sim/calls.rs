//! Who may call, and how it is told who may not.

use std::net::{Ipv4Addr, SocketAddr};

use holdfast_sim_kms::{Sim, SimError, SimSettings};
use http::Request;
use serde_json::json;

use crate::{client::Client, rig};

async fn started() -> (Sim, Client) {
    let sim = Sim::start(SimSettings::new(None)).await.unwrap();
    let client = rig::client(&sim);
    (sim, client)
}

#[tokio::test]
async fn only_loopback_is_listened_on() {
    let mut settings = SimSettings::new(None);
    settings.listen = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
    assert!(matches!(Sim::start(settings).await, Err(SimError::NotLoopback(_))));
}

#[tokio::test]
async fn a_signed_call_is_answered_with_a_request_id() {
    let (sim, client) = started().await;
    let answer = client.kms("DescribeCustomKeyStores", &json!({})).await;
    assert_eq!((answer.status.as_u16(), answer.json()["CustomKeyStores"].clone()), (200, json!([])));
    assert!(answer.request_id.is_some());
    assert_eq!(sim.control().calls(), ["DescribeCustomKeyStores"]);
}

#[tokio::test]
async fn a_call_without_a_good_signature_is_refused_by_name_and_not_counted() {
    let (sim, good) = started().await;
    let cases = [
        (Client { secret: "another".into(), ..good.clone() }, "InvalidSignatureException"),
        (Client { access_key_id: "AKIAAAAAAAAAAAAAAAAA".into(), ..good.clone() }, "UnrecognizedClientException"),
        (Client { scope: Some("sts"), ..good.clone() }, "InvalidSignatureException"),
        (Client { skew: 360, ..good.clone() }, "InvalidSignatureException"),
        (Client { skew: -360, ..good.clone() }, "InvalidSignatureException"),
    ];
    for (client, name) in cases {
        assert_eq!(client.refused("ListKeys", &json!({})).await, name, "{client:?}");
    }
    let unsigned = Request::post("/").header("host", &good.authority).header("x-amz-target", "TrentService.ListKeys");
    let answer = good.send(unsigned.body("{}".into()).unwrap()).await.unwrap();
    assert_eq!((answer.status.as_u16(), answer.error().as_str()), (400, "MissingAuthenticationTokenException"));
    for malformed in ["Basic bWU6c2VjcmV0", "AWS4-HMAC-SHA256 Credential=AKIA/20260101/eu-central-1/kms", ""] {
        let request = Request::post("/").header("host", &good.authority).header("x-amz-target", "TrentService.ListKeys");
        let answer = good.send(request.header("authorization", malformed).body("{}".into()).unwrap()).await.unwrap();
        assert_eq!((answer.status.as_u16(), answer.error().as_str()), (400, "IncompleteSignatureException"), "{malformed:?}");
    }
    assert_eq!(sim.control().calls(), Vec::<String>::new());
    let skewed = Client { skew: 240, ..good };
    skewed.done("ListKeys", &json!({})).await;
}

#[tokio::test]
async fn a_changed_body_does_not_verify() {
    let (_sim, client) = started().await;
    let answer = client.altered("TrentService.ListKeys", ("{}", "{\"Limit\": 1}")).await;
    assert_eq!(answer.error(), "InvalidSignatureException");
    let answer = client.altered("TrentService.ListKeys", ("{}", "{}")).await;
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn a_role_is_assumed_with_an_external_id_and_its_key_verifies_with_its_token_only() {
    let (sim, client) = started().await;
    let form = "Action=AssumeRole&Version=2011-06-15&RoleArn=arn%3Aaws%3Aiam%3A%3A111122223333%3Arole%2Fpath%2Fkeys&RoleSessionName=me&ExternalId=xy";
    let text = client.sts(form).await.text;
    let role = Client::of_session(&client, &text);
    let who = role.sts("Action=GetCallerIdentity&Version=2011-06-15").await.text;
    assert!(who.contains("<Arn>arn:aws:sts::111122223333:assumed-role/keys/me</Arn>"), "{who}");
    let tokenless = Client { session_token: None, ..role.clone() };
    assert_eq!(tokenless.refused("ListKeys", &json!({})).await, "UnrecognizedClientException");
    let foreign = client.sts("Action=AssumeRole&RoleArn=arn%3Aaws%3Aiam%3A%3A999999999999%3Arole%2Fkeys&RoleSessionName=me").await;
    assert_eq!(foreign.status, 403);
    assert!(foreign.text.contains("<Code>AccessDenied</Code>"), "{}", foreign.text);
    let state = client.send(Request::get("/_sim/state").header("host", &client.authority).body(String::new()).unwrap()).await.unwrap();
    assert_eq!(state.json()["sessions"][0]["external_id"], "xy");
    assert!(!state.text.contains(&sim.settings().secret_access_key) && !state.text.contains(&role.secret));
}

#[tokio::test]
async fn what_of_a_role_can_not_be_asked_for_is_refused() {
    let (_sim, client) = started().await;
    let form = |session: &str, rest: &str| {
        format!("Action=AssumeRole&RoleArn=arn%3Aaws%3Aiam%3A%3A111122223333%3Arole%2Fkeys&RoleSessionName={session}{rest}")
    };
    let first = client.sts(&form("me%2B1", "&ExternalId=a%3Ab&DurationSeconds=43200")).await;
    assert_eq!(first.status, 200, "{}", first.text);
    for (session, rest) in [("m", ""), ("m%20e", ""), ("me", "&ExternalId=x"), ("me", "&ExternalId=x%20y"), ("me", "&DurationSeconds=899")]
    {
        let answer = client.sts(&form(session, rest)).await;
        assert!(answer.status == 400 && answer.text.contains("<Code>ValidationError</Code>"), "{session}{rest}: {}", answer.text);
    }
    for arn in
        ["nothing-valid-in-here", "arn::b:::something/role", "arn:a::::something/role", "arn:a:::something/role", "arn:a:a::aaaaaaaaaa:"]
    {
        let answer = client.sts(&format!("Action=AssumeRole&RoleArn={}&RoleSessionName=me", arn.replace(':', "%3A"))).await;
        assert!(answer.status == 400 && answer.text.contains(&format!("<Message>{arn} is invalid</Message>")), "{arn}: {}", answer.text);
    }
    // A role of a role is for an hour.
    let role = Client::of_session(&client, &first.text);
    assert_eq!(role.sts(&form("me", "&DurationSeconds=3600")).await.status, 200);
    let longer = role.sts(&form("me", "&DurationSeconds=3601")).await;
    assert!(longer.text.contains("role chaining"), "{}", longer.text);
}

#[tokio::test]
async fn what_is_not_signed_or_comes_twice_is_refused() {
    let (sim, client) = started().await;
    let unsigned = client.changed("ListKeys", |request| drop(request.headers_mut().insert("x-amz-more", "1".parse().unwrap()))).await;
    assert_eq!(unsigned.error(), "InvalidSignatureException");
    assert!(unsigned.text.contains("x-amz-more"), "{}", unsigned.text);
    for name in ["authorization", "x-amz-date", "host"] {
        let twice = |request: &mut Request<String>| {
            let same = request.headers()[name].clone();
            assert!(request.headers_mut().append(name, same));
        };
        assert_eq!(client.changed("ListKeys", twice).await.error(), "IncompleteSignatureException", "{name}");
    }
    let yesterday = |request: &mut Request<String>| {
        let scoped = request.headers()["authorization"].to_str().unwrap().to_owned();
        let day = request.headers()["x-amz-date"].to_str().unwrap()[..8].to_owned();
        request.headers_mut().insert("authorization", scoped.replace(&format!("/{day}/"), "/20200101/").parse().unwrap());
    };
    let answer = client.changed("ListKeys", yesterday).await;
    assert!(answer.error() == "InvalidSignatureException" && answer.text.contains("Date in Credential scope"), "{}", answer.text);
    let left_over = Client { session_token: Some("of-another-key".into()), ..client.clone() };
    assert_eq!(left_over.refused("ListKeys", &json!({})).await, "UnrecognizedClientException");
    let malformed = Request::post("/").header("host", &client.authority).header("authorization", "AWS4-HMAC-SHA256 x");
    let answer = client.send(malformed.body("Action=GetCallerIdentity".into()).unwrap()).await.unwrap();
    assert!(answer.text.contains("<Code>IncompleteSignature</Code>"), "{}", answer.text);
    assert_eq!(sim.control().calls(), Vec::<String>::new());
}

#[tokio::test]
async fn what_is_not_simulated_says_so() {
    let (_sim, client) = started().await;
    assert_eq!(client.refused("CreateGrant", &json!({})).await, "UnknownOperationException");
    let answer = client.signed("kms", Some("AnotherService.ListKeys"), "{}".into()).await.unwrap();
    assert_eq!((answer.status.as_u16(), answer.error().as_str()), (400, "UnknownOperationException"));
    let answer = client.signed("kms", Some("TrentService.ListKeys"), "{".into()).await.unwrap();
    assert_eq!(answer.error(), "SerializationException");
}

#[tokio::test]
async fn the_clusters_of_a_region_stay_the_same_and_come_in_pages() {
    let (_sim, client) = started().await;
    let ask = async |body: serde_json::Value| {
        let answer = client.signed("cloudhsm", Some("BaldrApiService.DescribeClusters"), body.to_string()).await.unwrap();
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.json()
    };
    let all = ask(json!({})).await;
    let ids: Vec<_> = all["Clusters"].as_array().unwrap().iter().map(|cluster| cluster["ClusterId"].clone()).collect();
    let first = ask(json!({"MaxResults": 2})).await;
    let second = ask(json!({"MaxResults": 25, "NextToken": first["NextToken"]})).await;
    let pages = [first["Clusters"].as_array().unwrap().clone(), second["Clusters"].as_array().unwrap().clone()].concat();
    assert_eq!(pages.iter().map(|cluster| cluster["ClusterId"].clone()).collect::<Vec<_>>(), ids);
    let active = ask(json!({"Filters": {"states": ["ACTIVE"]}})).await["Clusters"].as_array().unwrap().len();
    assert!(active > 0 && active < ids.len());
    let one = ask(json!({"Filters": {"clusterIds": [ids[1]]}})).await;
    assert_eq!(one["Clusters"][0]["ClusterId"], ids[1]);
    for most in [0, 26] {
        let body = json!({"MaxResults": most}).to_string();
        let answer = client.signed("cloudhsm", Some("BaldrApiService.DescribeClusters"), body).await.unwrap();
        assert_eq!(answer.error(), "CloudHsmInvalidRequestException", "{most}");
    }
    for hsm in all["Clusters"].as_array().unwrap().iter().flat_map(|cluster| cluster["Hsms"].as_array().unwrap()) {
        let id = hsm["HsmId"].as_str().unwrap().strip_prefix("hsm-").unwrap();
        let fits = id.bytes().all(|b| b.is_ascii_alphabetic() || (b'2'..=b'7').contains(&b));
        assert!(fits && (11..=16).contains(&id.len()), "{id}");
    }
}

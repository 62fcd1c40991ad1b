//! gRPC reflection, as a tool without our protocol files uses it.

use std::collections::BTreeSet;

use prost::Message as _;
use tempfile::TempDir;
use tokio_stream::StreamExt as _;
use tonic::{Code, Status};
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, server_reflection_client::ServerReflectionClient, server_reflection_request::MessageRequest,
    server_reflection_response::MessageResponse,
};

use crate::{admin, client, process::Holdfast};

#[tokio::test]
async fn a_tool_without_a_token_or_our_protocol_files_learns_all_services_and_nothing_of_the_nodes_stream() {
    let folder = TempDir::new().unwrap();
    let mut dev = Holdfast::start(&client::dev_arguments(folder.path()));
    dev.wait_for("curl --aws-sigv4");
    let handout = client::handout(folder.path());
    let channel = admin::channel(client::api(&handout).port(), &handout["api"]).await;
    let mut reflection = ServerReflectionClient::new(channel);

    let mut ask = async |question| {
        let asked = ServerReflectionRequest { host: String::new(), message_request: Some(question) };
        let mut answers = reflection.server_reflection_info(tokio_stream::once(asked)).await.unwrap().into_inner();
        Ok::<_, Status>(answers.next().await.unwrap()?.message_response.unwrap())
    };
    let MessageResponse::ListServicesResponse(listed) = ask(MessageRequest::ListServices(String::new())).await.unwrap() else {
        panic!("no list")
    };
    let listed: BTreeSet<_> = listed.service.into_iter().map(|service| service.name).collect();
    let mut expected: BTreeSet<_> = SERVICES.map(|service| format!("holdfast.admin.v1.{service}")).into();
    expected.insert("grpc.reflection.v1.ServerReflection".to_owned());
    assert_eq!(listed, expected);

    let symbol = MessageRequest::FileContainingSymbol("holdfast.admin.v1.KeyStores".to_owned());
    let MessageResponse::FileDescriptorResponse(files) = ask(symbol).await.unwrap() else { panic!("no file") };
    let file = prost_types::FileDescriptorProto::decode(files.file_descriptor_proto[0].as_slice()).unwrap();
    let service = file.service.iter().find(|service| service.name() == "KeyStores").unwrap();
    assert!(service.method.iter().any(|method| method.name() == "BlockKeyStore"), "{service:?}");

    let hidden = MessageRequest::FileContainingSymbol("holdfast.sync.v1.Credential".to_owned());
    assert_eq!(ask(hidden).await.unwrap_err().code(), Code::NotFound);
}

const SERVICES: [&str; 15] = [
    "Access",
    "AwsConnections",
    "AwsKeys",
    "HyokKeys",
    "Jobs",
    "KeyStores",
    "KmsContainers",
    "Maintenance",
    "Nodes",
    "Partitions",
    "PolicyTemplates",
    "SourceKeys",
    "Synchronization",
    "Users",
    "VirtualKeys",
];

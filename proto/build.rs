//! Compiles the protocol files with protox, so that no protoc is needed.

use std::{env, error::Error, fs, path::Path};

use prost::Message as _;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=holdfast");
    let mut files = vec!["holdfast/sync/v1/sync.proto".to_owned()];
    files.extend(ADMIN.map(|name| format!("holdfast/admin/v1/{name}.proto")));
    let descriptors = protox::compile(files, ["."])?;
    // What the admin port tells of itself: nothing of the stream to data planes, which it does not serve.
    let mut served = descriptors.clone();
    served.file.retain(|file| !file.name().starts_with("holdfast/sync/"));
    fs::write(Path::new(&env::var("OUT_DIR")?).join("admin.descriptors"), served.encode_to_vec())?;
    // Whoever opens a stream brings the transport: this crate does no I/O.
    let mut code = tonic_prost_build::configure().build_transport(false).skip_debug(WITH_SECRETS);
    for message in SHOWN {
        code = code.type_attribute(format!(".holdfast.admin.v1.{message}"), "#[derive(serde::Serialize)]");
    }
    code.compile_fds(descriptors)?;
    Ok(())
}

/// The files of the admin API.
const ADMIN: [&str; 14] = [
    "access",
    "users",
    "key_stores",
    "hyok_keys",
    "virtual_keys",
    "source_keys",
    "partitions",
    "nodes",
    "maintenance",
    "key_policies",
    "aws_keys",
    "cloud",
    "jobs",
    "synchronization",
];

/// Messages that the command line prints as JSON; the names of their fields are part of its interface.
const SHOWN: [&str; 63] = [
    "WhoAmIResponse",
    "ApiToken",
    "CreateApiTokenResponse",
    "User",
    "CreateUserResponse",
    "ResetPasswordResponse",
    "KeyStore",
    "CreateKeyStoreResponse",
    "UpdateKeyStoreResponse",
    "DeleteKeyStoreResponse",
    "BlockKeyStoreResponse",
    "UnblockKeyStoreResponse",
    "CheckKeyStoreHealthResponse",
    "Credential",
    "CreateCredentialResponse",
    "RotateCredentialResponse",
    "DeleteCredentialResponse",
    "HyokKey",
    "KeyVersion",
    "BlockHyokKeyResponse",
    "UnblockHyokKeyResponse",
    "RotateHyokKeyResponse",
    "DeleteHyokKeyResponse",
    "VirtualKey",
    "SourceKey",
    "Partition",
    "PartitionKey",
    "Revision",
    "Node",
    "NodePartition",
    "UnusableKey",
    "Listener",
    "SealUse",
    "ResealResponse",
    "AwsConnection",
    "RoleAnywhere",
    "LastConnection",
    "JobLastRun",
    "GetAwsAccountResponse",
    "KmsContainer",
    "KmsAcl",
    "PolicyTemplate",
    "PolicyPeople",
    "Job",
    "KeyRotationParams",
    "SynchronizationParams",
    "BackupParams",
    "CreateCloudHsmKeyStoreResponse",
    "UpdateCloudHsmKeyStoreResponse",
    "CloudHsmCluster",
    "LinkKeyStoreResponse",
    "ConnectKeyStoreResponse",
    "DisconnectKeyStoreResponse",
    "EnableCredentialRotationJobResponse",
    "DisableCredentialRotationJobResponse",
    "AwsKey",
    "AwsKeyRegions",
    "AwsTag",
    "AwsKeyMaterial",
    "DeleteAwsKeyResponse",
    "LinkHyokKeyResponse",
    "SynchronizationJob",
    "SynchronizedRegion",
];

/// Messages with a secret in them; `src/unprinted.rs` says what is shown of each.
const WITH_SECRETS: [&str; 22] = [
    ".holdfast.sync.v1.Credential",
    ".holdfast.admin.v1.LoginRequest",
    ".holdfast.admin.v1.LoginResponse",
    ".holdfast.admin.v1.RefreshRequest",
    ".holdfast.admin.v1.LogoutRequest",
    ".holdfast.admin.v1.ChangePasswordRequest",
    ".holdfast.admin.v1.CreateApiTokenResponse",
    ".holdfast.admin.v1.CreateUserRequest",
    ".holdfast.admin.v1.CreateUserResponse",
    ".holdfast.admin.v1.ResetPasswordRequest",
    ".holdfast.admin.v1.ResetPasswordResponse",
    ".holdfast.admin.v1.CreateKeyStoreRequest",
    ".holdfast.admin.v1.CreateKeyStoreResponse",
    ".holdfast.admin.v1.UpdateKeyStoreRequest",
    ".holdfast.admin.v1.CreateCredentialResponse",
    ".holdfast.admin.v1.RotateCredentialResponse",
    ".holdfast.admin.v1.BackupRequest",
    ".holdfast.admin.v1.CreateAwsConnectionRequest",
    ".holdfast.admin.v1.UpdateAwsConnectionRequest",
    ".holdfast.admin.v1.CreateCloudHsmKeyStoreRequest",
    ".holdfast.admin.v1.UpdateCloudHsmKeyStoreRequest",
    ".holdfast.admin.v1.ConnectKeyStoreRequest",
];

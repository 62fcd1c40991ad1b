//! `holdfast keystore export-aws-config`: what AWS wants to know of a key store.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use holdfast_proto::admin::{CreateCredentialRequest, KeyStore, ListCredentialsRequest};
use serde::Serialize;
use zeroize::Zeroizing;

use super::find_behind_proxy;
use crate::{
    admin::{Admin, Out, PrivateFile, credential_file::KeyPair, shown::warn_of_pending, whole},
    failure::{Failure, Kind},
    output,
};

/// Prints what AWS wants to know of a key store, and the commands that tell it
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  holdfast keystore export-aws-config payments --credential credential.json --out aws.json
  holdfast keystore export-aws-config payments --new-credential --format console --out console.json")]
pub(super) struct ExportArgs {
    /// The key store, by id or name
    key_store: String,
    /// The credential: a file that `keystore create`, `credential create` or `rotate-credential` wrote [default: a placeholder]
    #[arg(long, value_name = "FILE", conflicts_with = "new_credential")]
    credential: Option<PathBuf>,
    /// Make one more credential for it
    #[arg(long)]
    new_credential: bool,
    /// Where AWS KMS reaches the data planes, https://HOST [default: the key store's]
    #[arg(long, value_name = "URL")]
    endpoint: Option<String>,
    /// For whom
    #[arg(long, value_enum, default_value_t = Format::Cli)]
    format: Format,
    /// Write to a new file, for its owner alone, instead of standard output
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// `aws kms create-custom-key-store --cli-input-json`
    Cli,
    /// The configuration file that the AWS console takes
    Console,
}

/// The input of `CreateCustomKeyStore` (AWS KMS API reference).
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct CreateCustomKeyStore {
    custom_key_store_name: String,
    custom_key_store_type: &'static str,
    xks_proxy_uri_endpoint: String,
    xks_proxy_uri_path: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    xks_proxy_vpc_endpoint_service_name: String,
    xks_proxy_authentication_credential: Credential,
    xks_proxy_connectivity: String,
}

/// The file that the AWS console takes (XKS proxy API specification, "proxy configuration file").
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Console {
    xks_proxy_uri_path: String,
    xks_proxy_authentication_credential: Credential,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Credential {
    access_key_id: String,
    raw_secret_access_key: Zeroizing<String>,
}

impl ExportArgs {
    pub(super) async fn run(&self, admin: &mut Admin, out: Out) -> Result<(), Failure> {
        let file = self.out.as_deref().map(PrivateFile::new).transpose()?;
        let store = find_behind_proxy(admin, &self.key_store).await?;
        let endpoint = self.endpoint(&store)?;
        let credential = self.credential(admin, &store).await?;
        let text = Zeroizing::new(match self.format {
            Format::Cli => output::json(&CreateCustomKeyStore {
                custom_key_store_name: store.name.clone(),
                custom_key_store_type: "EXTERNAL_KEY_STORE",
                xks_proxy_uri_endpoint: endpoint,
                xks_proxy_uri_path: store.uri_path.clone(),
                xks_proxy_vpc_endpoint_service_name: store.xks_proxy_vpc_endpoint_service_name.clone(),
                xks_proxy_authentication_credential: credential,
                xks_proxy_connectivity: if store.xks_proxy_connectivity.is_empty() { PUBLIC } else { &store.xks_proxy_connectivity }
                    .to_owned(),
            })?,
            Format::Console => {
                output::json(&Console { xks_proxy_uri_path: store.uri_path.clone(), xks_proxy_authentication_credential: credential })?
            }
        });
        match file {
            None => output::line(&text)?,
            Some(mut file) => {
                file.write(text.as_bytes())?;
                file.write(b"\n")?;
                file.finish()?;
            }
        }
        if !out.is_json() {
            self.say_what_next(&store);
        }
        Ok(())
    }

    fn endpoint(&self, store: &KeyStore) -> Result<String, Failure> {
        let told = self.endpoint.as_deref().unwrap_or(&store.xks_proxy_uri_endpoint);
        match (self.format, told) {
            (Format::Console, _) => Ok(String::new()),
            (Format::Cli, "") => Err(Failure::of(
                Kind::Usage,
                format!("{} has no endpoint: --endpoint https://HOST says where AWS KMS reaches the data planes", store.name),
            )),
            (Format::Cli, told) => {
                let host = told.strip_prefix("https://").unwrap_or_default();
                if !is_for_aws(host) {
                    output::warning(&format!("AWS takes an endpoint only as https://HOST, on port 443: {told} will be refused"));
                }
                Ok(told.to_owned())
            }
        }
    }

    async fn credential(&self, admin: &mut Admin, store: &KeyStore) -> Result<Credential, Failure> {
        if let Some(file) = &self.credential {
            let KeyPair { access_key_id, secret_access_key } = KeyPair::read(file)?;
            return Ok(Credential { access_key_id, raw_secret_access_key: secret_access_key });
        }
        if self.new_credential {
            let request = CreateCredentialRequest { key_store_id: store.id.clone() };
            let made = admin.key_stores.create_credential(request).await?.into_inner();
            warn_of_pending(&made.pending_nodes);
            let access_key_id = whole(made.credential, "credential")?.access_key_id;
            return Ok(Credential { access_key_id, raw_secret_access_key: Zeroizing::new(made.secret_access_key) });
        }
        let request = ListCredentialsRequest { key_store_id: store.id.clone() };
        let all = admin.key_stores.list_credentials(request).await?.into_inner().credentials;
        let newest = all.into_iter().max_by_key(|one| one.created_ms);
        output::warning("the secret was shown when it was made, and is not known here: --credential FILE or --new-credential puts one in");
        Ok(Credential {
            access_key_id: newest.map(|one| one.access_key_id).unwrap_or_default(),
            raw_secret_access_key: Zeroizing::new(PLACEHOLDER.to_owned()),
        })
    }

    /// On standard error, so that standard output is what AWS takes.
    fn say_what_next(&self, store: &KeyStore) {
        let file = self.out.as_ref().map_or_else(|| "FILE".to_owned(), |file| file.display().to_string());
        match self.format {
            Format::Cli => {
                eprintln!("Next: aws kms create-custom-key-store --region {} --cli-input-json file://{file}", store.region);
                eprintln!("      aws kms connect-custom-key-store --region {} --custom-key-store-id (its answer)", store.region);
                eprintln!(
                    "      aws kms create-key --region {} --origin EXTERNAL_KEY_STORE --custom-key-store-id (the same) --xks-key-id (external key id, see holdfast hyok list)",
                    store.region
                );
            }
            Format::Console => eprintln!("Next: AWS console, KMS in {}, external key stores, create, upload {file}", store.region),
        }
    }
}

/// What `XksProxyUriEndpoint` may have behind `https://`.
fn is_for_aws(host: &str) -> bool {
    !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'.' || b == b'-')
}

const PUBLIC: &str = "PUBLIC_ENDPOINT";
/// As long as a secret must be, and of no use as one.
const PLACEHOLDER: &str = "PUT-HERE-THE-SECRET-THAT-WAS-SHOWN-WHEN-IT-WAS-MADE";

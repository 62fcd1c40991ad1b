//! A simulator and AWS's own client of it.

use std::{fmt::Debug, time::Duration};

use aws_sdk_kms::{
    Client,
    config::{BehaviorVersion, Credentials, Region, retry::RetryConfig},
    error::{ProvideErrorMetadata, SdkError},
    types::{KeyMetadata, KeySpec, KeyState, KeyUsageType, OriginType},
};
use holdfast_sim_kms::{Sim, SimSettings};

/// A simulator without proxies.
pub(crate) struct Rig {
    pub(crate) sim: Sim,
    pub(crate) kms: Client,
}

impl Rig {
    pub(crate) async fn start() -> Self {
        Self::with(SimSettings { connect_delay: Duration::ZERO, ..SimSettings::new(None) }).await
    }

    pub(crate) async fn with(settings: SimSettings) -> Self {
        let sim = Sim::start(settings).await.unwrap();
        let kms = client(&sim, "eu-central-1");
        Self { sim, kms }
    }

    /// A client in another region.
    pub(crate) fn kms_in(&self, region: &'static str) -> Client {
        client(&self.sim, region)
    }

    /// A client of CloudHSM v2.
    pub(crate) fn cloud_hsm(&self) -> aws_sdk_cloudhsmv2::Client {
        let settings = self.sim.settings();
        let config = aws_sdk_cloudhsmv2::Config::builder()
            .behavior_version(aws_sdk_cloudhsmv2::config::BehaviorVersion::latest())
            .region(aws_sdk_cloudhsmv2::config::Region::new("eu-central-1"))
            .endpoint_url(self.sim.url())
            .credentials_provider(Credentials::from_keys(&settings.access_key_id, &settings.secret_access_key, None));
        aws_sdk_cloudhsmv2::Client::from_conf(config.build())
    }

    /// Makes a key of AWS's own; answers its id.
    pub(crate) async fn key(&self, spec: KeySpec, usage: KeyUsageType) -> String {
        self.key_of(OriginType::AwsKms, spec, usage).await
    }

    /// Makes a key; answers its id.
    pub(crate) async fn key_of(&self, origin: OriginType, spec: KeySpec, usage: KeyUsageType) -> String {
        let made = self.kms.create_key().origin(origin).key_spec(spec).key_usage(usage).send().await.unwrap();
        made.key_metadata.unwrap().key_id
    }

    /// Makes a symmetric key of AWS's own; answers its id.
    pub(crate) async fn symmetric(&self) -> String {
        self.key(KeySpec::SymmetricDefault, KeyUsageType::EncryptDecrypt).await
    }

    pub(crate) async fn describe(&self, id: &str) -> KeyMetadata {
        describe(&self.kms, id).await
    }

    pub(crate) async fn state(&self, id: &str) -> KeyState {
        self.describe(id).await.key_state.unwrap()
    }

    /// Moves the simulator's clock.
    pub(crate) fn days(&self, days: u64) {
        self.sim.control().advance(Duration::from_secs(days * 86_400));
    }
}

pub(crate) async fn describe(kms: &Client, id: &str) -> KeyMetadata {
    kms.describe_key().key_id(id).send().await.unwrap().key_metadata.unwrap()
}

/// The name and text that a call was refused with.
pub(crate) trait Refused {
    fn name(self) -> String;
    fn text(self) -> String;
}

impl<T: Debug, E: ProvideErrorMetadata + Debug, R: Debug> Refused for Result<T, SdkError<E, R>> {
    fn name(self) -> String {
        self.unwrap_err().code().unwrap().to_owned()
    }

    fn text(self) -> String {
        self.unwrap_err().message().unwrap().to_owned()
    }
}

fn client(sim: &Sim, region: &'static str) -> Client {
    let settings = sim.settings();
    let credentials = Credentials::from_keys(&settings.access_key_id, &settings.secret_access_key, None);
    let config = aws_sdk_kms::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(region))
        .endpoint_url(sim.url())
        .credentials_provider(credentials)
        .retry_config(RetryConfig::disabled());
    Client::from_conf(config.build())
}

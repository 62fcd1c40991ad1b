//! The regions of AWS's partitions.
//!
//! Which regions an account has switched on only EC2 tells (DescribeRegions API), which nothing else here needs; so this is a table. Sources:
//! the partitions in the AWS SDK's endpoint rules (`partitions.json`, version 1.1), and for which regions an account has from the start AWS
//! Account Management's "Enable or disable AWS Regions in your account". A region that is missing here can be used all the same: whoever
//! makes a KMS container names its regions.
//!
//! Always holds: the order never changes but by what is added at the end of a part.

use crate::store::entry::AwsCloud;

/// A partition's regions: those that each account has, then those that must be switched on, each part in the order of names.
pub(super) fn of(cloud: AwsCloud) -> impl Iterator<Item = &'static str> {
    let (from_the_start, opt_in): (&[&str], &[&str]) = match cloud {
        AwsCloud::Commercial => (&COMMERCIAL, &COMMERCIAL_OPT_IN),
        AwsCloud::UsGov => (&US_GOV, &[]),
        AwsCloud::China => (&CHINA, &[]),
    };
    from_the_start.iter().chain(opt_in).copied()
}

const COMMERCIAL: [&str; 17] = [
    "ap-northeast-1",
    "ap-northeast-2",
    "ap-northeast-3",
    "ap-south-1",
    "ap-southeast-1",
    "ap-southeast-2",
    "ca-central-1",
    "eu-central-1",
    "eu-north-1",
    "eu-west-1",
    "eu-west-2",
    "eu-west-3",
    "sa-east-1",
    "us-east-1",
    "us-east-2",
    "us-west-1",
    "us-west-2",
];
const COMMERCIAL_OPT_IN: [&str; 17] = [
    "af-south-1",
    "ap-east-1",
    "ap-east-2",
    "ap-south-2",
    "ap-southeast-3",
    "ap-southeast-4",
    "ap-southeast-5",
    "ap-southeast-6",
    "ap-southeast-7",
    "ca-west-1",
    "eu-central-2",
    "eu-south-1",
    "eu-south-2",
    "il-central-1",
    "me-central-1",
    "me-south-1",
    "mx-central-1",
];
const US_GOV: [&str; 2] = ["us-gov-east-1", "us-gov-west-1"];
const CHINA: [&str; 2] = ["cn-north-1", "cn-northwest-1"];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::core::aws_names;

    #[test]
    fn each_region_is_of_its_partition_and_there_once() {
        for (cloud, area) in [(AwsCloud::Commercial, ""), (AwsCloud::UsGov, "us-gov-"), (AwsCloud::China, "cn-")] {
            let regions: Vec<_> = of(cloud).collect();
            assert_eq!(regions.iter().collect::<BTreeSet<_>>().len(), regions.len());
            for region in &regions {
                assert!(region.starts_with(area) && aws_names::region("regions", region).is_ok(), "{region}");
                assert_eq!(region.starts_with("us-gov-") || region.starts_with("cn-"), cloud != AwsCloud::Commercial, "{region}");
            }
        }
    }

    #[test]
    fn the_first_ones_are_those_that_every_account_has() {
        assert_eq!(of(AwsCloud::Commercial).count(), 34);
        assert!(of(AwsCloud::Commercial).take(17).any(|region| region == "us-east-1"));
        assert!(of(AwsCloud::Commercial).take(17).all(|region| region != "af-south-1"));
    }
}

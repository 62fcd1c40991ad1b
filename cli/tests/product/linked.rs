//! Linked mode: the planes as processes, and the simulator of AWS in the test's own, where a test has it in hand. The simulator shares no
//! code with the product.

mod aws;
mod busy;
mod cli;
mod clients;
mod cloud_hsm;
mod credentials;
mod dev;
mod faults;
mod hyok_jobs;
mod hyok_keys;
mod key_crashes;
mod key_stores;
mod kms;
mod laptop;
mod leftovers;
mod lists;
mod lost_answers;
mod lost_key_answers;
mod material_crashes;
mod multi_region_crashes;
mod native;
mod parity;
mod replay;
mod site;
mod store_crashes;
mod synchronization;
mod upload;
mod upload_crashes;
mod wrong_account;

//! `holdfast-kms-sim`.

fn main() {}

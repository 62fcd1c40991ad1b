//! Every command of `deploy/docs/laptop.md`, as it stands there.

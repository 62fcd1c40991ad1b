//! A whole data plane, over real TLS on loopback: what AWS KMS sees, and what strangers see.

#[cfg(test)]
mod client;
#[cfg(test)]
mod draining;
#[cfg(test)]
mod framing;
#[cfg(test)]
mod identities;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod numbers;
#[cfg(test)]
mod operations;
#[cfg(test)]
mod process;
#[cfg(test)]
mod reloads;
#[cfg(test)]
mod rig;
#[cfg(test)]
mod secrets;
#[cfg(test)]
mod simulated;
#[cfg(test)]
mod softhsm;
#[cfg(test)]
mod tokens;

//! The product as a user meets it: the real binary, real TLS, real sled, real clients.

#[cfg(test)]
mod admin;
#[cfg(test)]
mod client;
#[cfg(test)]
mod dev;
#[cfg(test)]
mod gate;
#[cfg(test)]
mod hsm;
#[cfg(test)]
mod planes_apart;
#[cfg(test)]
mod process;
#[cfg(test)]
mod rotation;
#[cfg(test)]
mod secrets;
#[cfg(test)]
mod site;

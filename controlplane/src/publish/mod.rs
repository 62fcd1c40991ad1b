//! Publishing: from the store's entries to what every data plane holds (design §7).

mod built;
mod session;

#[cfg(test)]
mod fixtures;

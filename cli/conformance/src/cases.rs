//! The cases, by what of the protocol they are about.

mod bodies;
mod decrypt;
mod describe;
pub(crate) mod encrypt;
mod fields;
mod http;
mod http2;
mod keepalive;
mod load;
mod paths;
mod scope;
mod signature;
mod tamper;
mod tls;

use crate::plan::Plan;

/// Puts every case on the plan: the cheap and telling first, load last.
pub(crate) fn all(plan: &mut Plan) {
    tls::cases(plan);
    describe::cases(plan);
    encrypt::cases(plan);
    decrypt::cases(plan);
    tamper::cases(plan);
    fields::cases(plan);
    bodies::cases(plan);
    paths::cases(plan);
    scope::cases(plan);
    signature::cases(plan);
    keepalive::cases(plan);
    http::cases(plan);
    http2::cases(plan);
    load::cases(plan);
}

//! A TLS `ClientHello` built by hand (RFC 5246 §7.4.1.2), since no client library offers the versions that a
//! proxy must refuse.
//!
//! Holds: apart from the version the hello is the same each time, so that a proxy which takes the one for
//! TLS 1.2 and refuses the one for TLS 1.1 refuses it for its version.

/// A version as it stands in a record or a hello.
pub(crate) type Version = [u8; 2];

/// What a server said to a hello, judged by its first record.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    /// It chose this version.
    ServerHello(Version),
    /// It refused, by an alert or by closing.
    Refused,
    /// Something else.
    Odd(u8),
}

/// One record with a hello that offers nothing above `version`; an address is no `server_name` (RFC 6066 §3).
pub(crate) fn client_hello(version: Version, server_name: Option<&str>) -> Vec<u8> {
    let mut hello = version.to_vec();
    hello.extend(RANDOM);
    hello.push(0); // no session id
    hello.extend(with_length(&SUITES.iter().flat_map(|s| s.to_be_bytes()).collect::<Vec<_>>()));
    hello.extend([1, 0]); // compression: none
    hello.extend(with_length(&extensions(server_name)));

    let length = u32::try_from(hello.len()).unwrap_or(0).to_be_bytes();
    let mut handshake = vec![CLIENT_HELLO, length[1], length[2], length[3]];
    handshake.extend(hello);

    let mut record = vec![HANDSHAKE];
    record.extend(version);
    record.extend(with_length(&handshake));
    record
}

/// Judges the first bytes that came back: a record's header and the start of a `ServerHello`.
pub(crate) fn reply(bytes: &[u8]) -> Reply {
    match bytes {
        [] | [ALERT, ..] => Reply::Refused,
        [HANDSHAKE, _, _, _, _, SERVER_HELLO, _, _, _, major, minor, ..] => Reply::ServerHello([*major, *minor]),
        [other, ..] => Reply::Odd(*other),
    }
}

fn extensions(server_name: Option<&str>) -> Vec<u8> {
    let groups: Vec<u8> = GROUPS.iter().flat_map(|g| g.to_be_bytes()).collect();
    let schemes: Vec<u8> = SCHEMES.iter().flat_map(|s| s.to_be_bytes()).collect();
    let mut list = vec![
        (10_u16, with_length(&groups)),
        (11, vec![1, 0]), // points uncompressed
        (13, with_length(&schemes)),
        (0xff01, vec![0]), // renegotiation: none yet
    ];
    if let Some(host) = server_name {
        let mut name = vec![0]; // host_name
        name.extend(with_length(host.as_bytes()));
        list.push((0, with_length(&name)));
    }
    let mut out = Vec::new();
    for (kind, data) in list {
        out.extend(kind.to_be_bytes());
        out.extend(with_length(&data));
    }
    out
}

/// `data` behind its length in two bytes.
fn with_length(data: &[u8]) -> Vec<u8> {
    let length = u16::try_from(data.len()).unwrap_or(u16::MAX);
    let mut out = length.to_be_bytes().to_vec();
    out.extend(data);
    out
}

/// SSL 3.0.
pub(crate) const SSL_3: Version = [3, 0];
/// TLS 1.0.
pub(crate) const TLS_1_0: Version = [3, 1];
/// TLS 1.1.
pub(crate) const TLS_1_1: Version = [3, 2];
/// TLS 1.2.
pub(crate) const TLS_1_2: Version = [3, 3];

const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const CLIENT_HELLO: u8 = 1;
const SERVER_HELLO: u8 = 2;

/// Fixed: nothing is encrypted under it.
const RANDOM: [u8; 32] = [0x5a; 32];

/// TLS 1.2's ECDHE suites with AES-GCM, then what older versions would choose from: ECDHE and RSA with CBC.
const SUITES: [u16; 13] = [0xc02c, 0xc030, 0xc02b, 0xc02f, 0xcca9, 0xcca8, 0xc00a, 0xc014, 0xc009, 0xc013, 0x0035, 0x002f, 0x000a];
/// `x25519`, `secp256r1`, `secp384r1`.
const GROUPS: [u16; 3] = [0x001d, 0x0017, 0x0018];
/// ECDSA, RSA-PSS and RSA PKCS#1, with SHA-256, SHA-384, SHA-512, and SHA-1 for the old.
const SCHEMES: [u16; 11] = [0x0403, 0x0503, 0x0603, 0x0804, 0x0805, 0x0806, 0x0401, 0x0501, 0x0601, 0x0203, 0x0201];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_add_up_and_the_version_stands_in_both_places() {
        for version in [SSL_3, TLS_1_0, TLS_1_1, TLS_1_2] {
            let record = client_hello(version, Some("localhost"));
            let inner = usize::from(u16::from_be_bytes([record[3], record[4]]));
            assert_eq!(record.len(), 5 + inner);
            let body = u32::from_be_bytes([0, record[6], record[7], record[8]]) as usize;
            assert_eq!(inner, 4 + body);
            assert_eq!(&record[1..3], version);
            assert_eq!(&record[9..11], version);
        }
    }

    #[test]
    fn a_real_server_reads_the_hello_and_refuses_only_the_old_ones() {
        for (version, taken) in [(SSL_3, false), (TLS_1_0, false), (TLS_1_1, false), (TLS_1_2, true)] {
            let mut acceptor = rustls::server::Acceptor::default();
            let record = client_hello(version, Some("localhost"));
            acceptor.read_tls(&mut record.as_slice()).unwrap();
            // The acceptor only parses; the version is judged when a configuration is put to it.
            let accepted = acceptor.accept().unwrap_or_else(|(e, _)| panic!("{version:?}: {e}"));
            let accepted = accepted.unwrap_or_else(|| panic!("{version:?}: incomplete"));
            assert_eq!(accepted.client_hello().server_name(), Some("localhost"));
            assert_eq!(accepted.into_connection(server()).is_ok(), taken, "{version:?}");
        }
    }

    fn server() -> std::sync::Arc<rustls::ServerConfig> {
        let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .unwrap();
        std::sync::Arc::new(config)
    }

    #[test]
    fn replies_are_told_apart() {
        assert_eq!(reply(&[]), Reply::Refused);
        assert_eq!(reply(&[21, 3, 1, 0, 2, 2, 70]), Reply::Refused);
        assert_eq!(reply(&[22, 3, 3, 0, 50, 2, 0, 0, 46, 3, 2, 0]), Reply::ServerHello([3, 2]));
        assert_eq!(reply(b"HTTP/1.1 400"), Reply::Odd(b'H'));
    }
}

//! AES-GCM under one key, with an IV of any length (NIST SP 800-38D).
//!
//! 96-bit IVs go through `aws-lc-rs` whole. For the others, which some vendors make (16 bytes), only AES-CTR comes from there, and GHASH
//! is done here: slowly, and not in constant time. That is enough for keys that protect nothing.

use std::fmt;

use aws_lc_rs::{
    aead::{self, Aad, LessSafeKey, Nonce, UnboundKey},
    cipher::{self, EncryptingKey, EncryptionContext, UnboundCipherKey},
    error::Unspecified,
    iv::FixedLength,
};

/// The only tag length here, in bytes.
pub(crate) const TAG_LEN: usize = 16;

/// One AES key, ready for use.
pub(crate) struct Cipher {
    whole: LessSafeKey,
    counter: EncryptingKey,
    /// E(K, 0), as GHASH wants it.
    hash_key: u128,
}

impl Cipher {
    /// A cipher with a key of 16, 24 or 32 bytes; nothing for another length.
    pub(crate) fn new(key: &[u8]) -> Option<Self> {
        let (aead, block) = match key.len() {
            16 => (&aead::AES_128_GCM, &cipher::AES_128),
            24 => (&aead::AES_192_GCM, &cipher::AES_192),
            32 => (&aead::AES_256_GCM, &cipher::AES_256),
            _ => return None,
        };
        let whole = LessSafeKey::new(UnboundKey::new(aead, key).ok()?);
        let counter = EncryptingKey::ctr(UnboundCipherKey::new(block, key).ok()?).ok()?;
        let mut zero = [0; BLOCK];
        keystream(&counter, 0, &mut zero).ok()?;
        Some(Self { whole, counter, hash_key: u128::from_be_bytes(zero) })
    }

    /// Ciphertext and tag of `plaintext`.
    pub(crate) fn seal(&self, iv: &[u8], aad: &[u8], plaintext: &[u8]) -> Result<Vec<u8>, Unspecified> {
        let mut sealed = Vec::with_capacity(plaintext.len() + TAG_LEN);
        sealed.extend_from_slice(plaintext);
        if let Ok(nonce) = Nonce::try_assume_unique_for_key(iv) {
            self.whole.seal_in_place_append_tag(nonce, Aad::from(aad), &mut sealed)?;
            return Ok(sealed);
        }
        let start = self.start(iv)?;
        self.crypt(start, &mut sealed)?;
        let tag = self.tag(start, aad, &sealed)?;
        sealed.extend_from_slice(&tag);
        Ok(sealed)
    }

    /// The plaintext of ciphertext and tag.
    ///
    /// # Errors
    /// The tag does not fit, or there is none.
    pub(crate) fn open(&self, iv: &[u8], aad: &[u8], sealed: &[u8]) -> Result<Vec<u8>, Unspecified> {
        if let Ok(nonce) = Nonce::try_assume_unique_for_key(iv) {
            let mut opened = sealed.to_vec();
            let len = self.whole.open_in_place(nonce, Aad::from(aad), &mut opened)?.len();
            opened.truncate(len);
            return Ok(opened);
        }
        let (ciphertext, tag) = sealed.split_last_chunk::<TAG_LEN>().ok_or(Unspecified)?;
        let start = self.start(iv)?;
        if self.tag(start, aad, ciphertext)? != *tag {
            return Err(Unspecified);
        }
        let mut opened = ciphertext.to_vec();
        self.crypt(start, &mut opened)?;
        Ok(opened)
    }

    /// J0 of an IV that is not 96 bits long (SP 800-38D, 7.1 step 2).
    fn start(&self, iv: &[u8]) -> Result<u128, Unspecified> {
        if iv.is_empty() {
            return Err(Unspecified);
        }
        let mut hash = Hash { key: self.hash_key, sum: 0 };
        hash.update(iv);
        hash.block(bits(iv));
        Ok(hash.sum)
    }

    /// GCTR from the counter after `start`; its low 32 bits wrap by themselves.
    fn crypt(&self, start: u128, data: &mut [u8]) -> Result<(), Unspecified> {
        let mut rest = data;
        let mut counter = next(start);
        while !rest.is_empty() {
            let blocks_to_wrap = (1_u64 << 32) - u64::from(counter as u32);
            let bytes = usize::try_from(blocks_to_wrap).map_or(rest.len(), |n| n.saturating_mul(BLOCK)).min(rest.len());
            let (now, later) = rest.split_at_mut(bytes);
            keystream(&self.counter, counter, now)?;
            counter &= !u128::from(u32::MAX);
            rest = later;
        }
        Ok(())
    }

    fn tag(&self, start: u128, aad: &[u8], ciphertext: &[u8]) -> Result<[u8; TAG_LEN], Unspecified> {
        let mut hash = Hash { key: self.hash_key, sum: 0 };
        hash.update(aad);
        hash.update(ciphertext);
        hash.block(bits(aad) << 64 | bits(ciphertext));
        let mut tag = hash.sum.to_be_bytes();
        keystream(&self.counter, start, &mut tag)?;
        Ok(tag)
    }
}

impl fmt::Debug for Cipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cipher(..)")
    }
}

/// GHASH (SP 800-38D, 6.4).
struct Hash {
    key: u128,
    sum: u128,
}

impl Hash {
    fn update(&mut self, data: &[u8]) {
        for chunk in data.chunks(BLOCK) {
            let mut block = [0; BLOCK];
            block.iter_mut().zip(chunk).for_each(|(to, from)| *to = *from);
            self.block(u128::from_be_bytes(block));
        }
    }

    fn block(&mut self, block: u128) {
        let factor = self.sum ^ block;
        let mut product = 0;
        let mut shifted = self.key;
        for bit in (0..128).rev() {
            if factor >> bit & 1 == 1 {
                product ^= shifted;
            }
            let carry = if shifted & 1 == 1 { REDUCTION } else { 0 };
            shifted = shifted >> 1 ^ carry;
        }
        self.sum = product;
    }
}

/// XORs AES-CTR's stream from `counter` into `data`.
fn keystream(key: &EncryptingKey, counter: u128, data: &mut [u8]) -> Result<(), Unspecified> {
    let iv = FixedLength::from(counter.to_be_bytes());
    key.less_safe_encrypt(data, EncryptionContext::Iv128(iv)).map(|_| ())
}

/// inc32 (SP 800-38D, 6.2).
fn next(counter: u128) -> u128 {
    let low = u128::from(u32::MAX);
    counter & !low | counter.wrapping_add(1) & low
}

fn bits(data: &[u8]) -> u128 {
    (data.len() as u128) * 8
}

const BLOCK: usize = 16;
const REDUCTION: u128 = 0xe1 << 120;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hex::parse;

    const KEY: &str = "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308";
    const AAD: &str = "feedfacedeadbeeffeedfacedeadbeefabaddad2";
    const PLAIN: &str =
        "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39";

    /// Test cases 16, 17 and 18 of the GCM specification by McGrew and Viega: IVs of 12, 8 and 60 bytes.
    #[test]
    fn the_published_answers_come_out_for_every_length_of_iv() {
        let cases = [
            (
                "cafebabefacedbaddecaf888",
                "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662",
                "76fc6ece0f4e1768cddf8853bb2d551b",
            ),
            (
                "cafebabefacedbad",
                "c3762df1ca787d32ae47c13bf19844cbaf1ae14d0b976afac52ff7d79bba9de0feb582d33934a4f0954cc2363bc73f7862ac430e64abe499f47c9b1f",
                "3a337dbf46a792c45e454913fe2ea8f2",
            ),
            (
                "9313225df88406e555909c5aff5269aa6a7a9538534f7da1e4c303d2a318a728c3c0c95156809539fcf0e2429a6b525416aedbf5a0de6a57a637b39b",
                "5a8def2f0c9e53f1f75d7853659e2a20eeb2b22aafde6419a058ab4f6f746bf40fc0c3b780f244452da3ebf1c5d82cdea2418997200ef82e44ae7e3f",
                "a44a8266ee1c8eb0c8b5d4cf5ae9f19a",
            ),
        ];
        let cipher = Cipher::new(&parse(KEY).unwrap()).unwrap();
        let (aad, plain) = (parse(AAD).unwrap(), parse(PLAIN).unwrap());
        for (iv, ciphertext, tag) in cases {
            let iv = parse(iv).unwrap();
            let sealed = cipher.seal(&iv, &aad, &plain).unwrap();
            assert_eq!(sealed, parse(&format!("{ciphertext}{tag}")).unwrap(), "IV of {} bytes", iv.len());
            assert_eq!(cipher.open(&iv, &aad, &sealed).unwrap(), plain);
            let mut bad = sealed;
            bad[0] ^= 1;
            assert!(cipher.open(&iv, &aad, &bad).is_err());
        }
    }

    #[test]
    fn only_the_low_32_bits_of_the_counter_wrap() {
        let cipher = Cipher::new(&[7; 32]).unwrap();
        let start = 5 << 32 | u128::from(u32::MAX - 1);
        let mut whole = [0; 3 * BLOCK];
        cipher.crypt(start, &mut whole).unwrap();
        for (i, counter) in [5 << 32 | u128::from(u32::MAX), 5 << 32, 5 << 32 | 1].into_iter().enumerate() {
            let mut block = [0; BLOCK];
            keystream(&cipher.counter, counter, &mut block).unwrap();
            assert_eq!(whole[i * BLOCK..][..BLOCK], block);
        }
    }

    #[test]
    fn a_key_of_an_odd_length_is_none() {
        assert!([0, 15, 17, 31, 33].iter().all(|len| Cipher::new(&vec![0; *len]).is_none()));
        assert!([16, 24, 32].iter().all(|len| Cipher::new(&vec![0; *len]).is_some()));
    }
}

//! Taking over from another proxy: ciphertexts that it made under a token's key open here, under the same names.

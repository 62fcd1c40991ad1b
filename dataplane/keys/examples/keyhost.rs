//! `holdfast keyhost` without the rest of the program: the tests' isolated partitions run in it.

fn main() {
    let Err(error) = holdfast_keys::pkcs11::keyhost();
    eprintln!("{error}");
}

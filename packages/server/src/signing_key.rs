//! The server's signing key: an ed25519 key pair in one private file.
//!
//! The file holds one line, `ed25519 VERSION SEED`, the seed in unpadded base64: the form that
//! Synapse uses, so that a key can be carried over. It is made once and never changed; a file that
//! cannot be read is refused, because a server with a new key is a stranger to all others.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
};

use base64::{
    Engine as _, alphabet,
    engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, NO_PAD, STANDARD_NO_PAD},
};
use rand::{Rng as _, TryRngCore as _, distr::Alphanumeric, rngs::OsRng};
use ruma::signatures::Ed25519KeyPair;
use sha2::{Digest as _, Sha256};

use crate::data_dir::{DataDir, write_private};

const ALGORITHM: &str = "ed25519";

/// Bytes of a seed.
const SEED_LENGTH: usize = 32;

/// What stands before the seed in a PKCS#8 document (RFC 8410, section 7).
const PKCS8_PREFIX: [u8; 16] = [
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];

/// Reads a seed as others do: what stands in the last letter's unused bits does not matter.
const LENIENT: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, NO_PAD_LENIENT);
const NO_PAD_LENIENT: GeneralPurposeConfig = NO_PAD.with_decode_allow_trailing_bits(true);

/// The server's signing key.
pub struct SigningKey {
    /// The key pair, which signs; its version is the part of the key id after the colon.
    pub pair: Ed25519KeyPair,
    /// SHA-256 of the public key, in unpadded base64: tells keys apart without telling them.
    pub fingerprint: String,
}

/// Why there is no signing key.
#[derive(Debug, thiserror::Error)]
pub enum SigningKeyError {
    /// The file cannot be read or written.
    #[error("cannot use the signing key {path}")]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The file is there but holds no key.
    #[error(
        "the signing key {path} is damaged: {reason}; restore it from a backup (without it other \
         servers do not know this one any more)"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The system has no randomness to make a key from.
    #[error("the operating system gives no random numbers")]
    NoRandomness(#[from] rand::rand_core::OsError),
}

impl SigningKey {
    /// Loads the key of a data folder; makes it when the folder has none.
    ///
    /// # Errors
    /// When the file cannot be read or written, or does not hold a key.
    pub fn load_or_generate(data_dir: &DataDir) -> Result<Self, SigningKeyError> {
        let path = data_dir.signing_key_file();
        match Self::load(&path) {
            Err(SigningKeyError::Unusable { source, .. })
                if source.kind() == io::ErrorKind::NotFound =>
            {
                Self::generate(&path)
            }
            other => other,
        }
    }

    /// Loads the key in `path`.
    ///
    /// # Errors
    /// When the file cannot be read or does not hold a key.
    pub fn load(path: &Path) -> Result<Self, SigningKeyError> {
        let unusable = |source| SigningKeyError::Unusable {
            path: path.to_owned(),
            source,
        };
        let content = fs::read(path).map_err(unusable)?;
        parse(&content).map_err(|reason| SigningKeyError::Damaged {
            path: path.to_owned(),
            reason,
        })
    }

    /// The key's id, as others know it.
    pub fn id(&self) -> String {
        format!("{ALGORITHM}:{}", self.pair.version())
    }

    /// The public half, in unpadded base64.
    pub fn public_base64(&self) -> String {
        STANDARD_NO_PAD.encode(self.pair.public_key())
    }

    /// Makes a key and writes it to `path`.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn generate(path: &Path) -> Result<Self, SigningKeyError> {
        let mut seed = [0; SEED_LENGTH];
        OsRng.try_fill_bytes(&mut seed)?;
        let mut letters = OsRng.unwrap_err();
        let version = (0..4)
            .map(|_| char::from(letters.sample(Alphanumeric)))
            .collect::<String>();
        let line = format!("{ALGORITHM} a_{version} {}\n", STANDARD_NO_PAD.encode(seed));
        write_private(path, line.as_bytes()).map_err(|source| SigningKeyError::Unusable {
            path: path.to_owned(),
            source,
        })?;
        Self::load(path)
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shape = formatter.debug_struct("SigningKey");
        shape
            .field("fingerprint", &self.fingerprint)
            .finish_non_exhaustive()
    }
}

fn parse(content: &[u8]) -> Result<SigningKey, String> {
    let text = str::from_utf8(content).map_err(|error| error.to_string())?;
    let mut words = text.split_ascii_whitespace();
    let (Some(ALGORITHM), Some(version), Some(seed), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(format!("it is not one line `{ALGORITHM} VERSION SEED`"));
    };
    if !version
        .chars()
        .all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
    {
        return Err("its version has other characters than letters, digits and _".to_owned());
    }
    let seed = LENIENT
        .decode(seed)
        .map_err(|error| format!("its seed: {error}"))?;
    if seed.len() != SEED_LENGTH {
        return Err(format!(
            "its seed has {} bytes, not {SEED_LENGTH}",
            seed.len()
        ));
    }
    let document = [PKCS8_PREFIX.as_slice(), &seed].concat();
    let pair = Ed25519KeyPair::from_der(&document, version.to_owned());
    let pair = pair.map_err(|error| error.to_string())?;
    let fingerprint = STANDARD_NO_PAD.encode(Sha256::digest(pair.public_key()));
    Ok(SigningKey { pair, fingerprint })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn is_made_once_and_found_again() {
        let folder = tempfile::tempdir().unwrap();
        let data_dir = DataDir::open(folder.path()).unwrap();
        let made = SigningKey::load_or_generate(&data_dir).unwrap();
        let found = SigningKey::load_or_generate(&data_dir).unwrap();
        assert_eq!(made.pair.public_key(), found.pair.public_key());
        assert_eq!(made.pair.version(), found.pair.version());
        assert_eq!(made.fingerprint, found.fingerprint);
        let file = fs::metadata(data_dir.signing_key_file()).unwrap();
        assert_eq!(file.permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn two_servers_have_two_keys() {
        let key = || {
            let folder = tempfile::tempdir().unwrap();
            SigningKey::load_or_generate(&DataDir::open(folder.path()).unwrap()).unwrap()
        };
        assert_ne!(key().fingerprint, key().fingerprint);
    }

    #[test]
    fn reads_the_key_of_the_specifications_test_vectors() {
        // https://spec.matrix.org/latest/appendices/#cryptographic-test-vectors
        let key = parse(b"ed25519 1 YJDBA9Xnr2sVqXD9Vj7XVUnmFZcZrlw8Md7kMW+3XA1\n").unwrap();
        let public = STANDARD_NO_PAD.encode(key.pair.public_key());
        assert_eq!(public, "XGX0JRS2Af3be3knz2fBiRbApjm2Dh61gXDJA8kcJNI");
    }

    #[test]
    fn a_damaged_file_is_refused_and_kept() {
        let folder = tempfile::tempdir().unwrap();
        let data_dir = DataDir::open(folder.path()).unwrap();
        for content in [
            "",
            "ed25519 a_b",
            "ed25519 a_b c2hvcnQ",
            "rsa a_b c2hvcnQ",
            "ed25519 a:b x",
        ] {
            fs::write(data_dir.signing_key_file(), content).unwrap();
            let error = SigningKey::load_or_generate(&data_dir).unwrap_err();
            assert!(
                matches!(error, SigningKeyError::Damaged { .. }),
                "{content}: {error}"
            );
            assert_eq!(
                fs::read_to_string(data_dir.signing_key_file()).unwrap(),
                content
            );
        }
    }
}

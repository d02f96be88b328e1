//! A public signing key as an operator writes it.

use ruma::serde::Base64;
use toml::Value;

use super::setting::Setting;

/// Bytes of an ed25519 public key.
const BYTES: usize = 32;

/// An ed25519 public key, written in base64, as servers publish it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey(pub Base64);

impl Setting for PublicKey {
    fn type_name() -> String {
        "public key in base64".to_owned()
    }
    fn read(value: &Value) -> Result<Self, String> {
        let key = value.as_str().and_then(|text| Base64::parse(text).ok());
        key.filter(|key| key.as_bytes().len() == BYTES)
            .map(Self)
            .ok_or_else(|| format!("expected {BYTES} bytes in base64, found {value}"))
    }
    fn write(&self) -> Option<Value> {
        Some(Value::String(self.0.encode()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_keys_only() {
        let read = |text: &str| PublicKey::read(&Value::String(text.to_owned()));
        let text = "XGX0JRS2Af3be3knz2fBiRbApjm2Dh61gXDJA8kcJNI";
        let key = read(text).unwrap();
        assert_eq!(key.write(), Some(Value::String(text.to_owned())));
        assert_eq!(read(&format!("{text}=")).unwrap(), key);
        for wrong in ["", "abc", "ed25519:1", &format!("{text}AAAA")] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}

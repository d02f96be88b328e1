//! `registration.*`

use toml::Value;

use super::{
    setting::{Setting, settings},
    value::Secret,
};

/// One stage of user-interactive authentication at registration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// `m.login.dummy`: nothing to prove.
    Dummy,
    /// `m.login.registration_token`: a token from the operator.
    RegistrationToken,
    /// `m.login.terms`: accept the terms of service.
    Terms,
}

impl Stage {
    const ALL: [Self; 3] = [Self::Dummy, Self::RegistrationToken, Self::Terms];

    /// The name of the stage in the protocol.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Dummy => "m.login.dummy",
            Self::RegistrationToken => "m.login.registration_token",
            Self::Terms => "m.login.terms",
        }
    }
}

/// Stages that together let a newcomer register, written as a list, or as text joined by `+`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flow {
    /// The stages in order; never empty, none twice.
    pub stages: Vec<Stage>,
}

impl Flow {
    fn from_words<'a>(words: impl Iterator<Item = &'a str>) -> Result<Self, String> {
        let mut stages = Vec::new();
        for word in words {
            let stage = Stage::ALL.into_iter().find(|stage| stage.as_str() == word);
            let stage = stage.ok_or_else(|| {
                let names = Stage::ALL.map(Stage::as_str).join(", ");
                format!("`{word}` is not one of: {names}")
            })?;
            if stages.contains(&stage) {
                return Err(format!("`{word}` stands twice in one flow"));
            }
            stages.push(stage);
        }
        if stages.is_empty() {
            Err("a flow needs a stage".to_owned())
        } else {
            Ok(Self { stages })
        }
    }
}

impl Setting for Flow {
    fn type_name() -> String {
        "list of stages".to_owned()
    }
    fn read(value: &Value) -> Result<Self, String> {
        match value {
            Value::String(text) => Self::from_words(text.split('+').map(str::trim)),
            Value::Array(words) => {
                let words = words.iter().map(|word| word.as_str().unwrap_or_default());
                Self::from_words(words)
            }
            _ => Err(format!("expected a list of stages, found {value}")),
        }
    }
    fn write(&self) -> Option<Value> {
        let words = self
            .stages
            .iter()
            .map(|stage| Value::String(stage.as_str().to_owned()));
        Some(Value::Array(words.collect()))
    }
}

settings! {
    /// One document of the terms of service in one language.
    pub struct Policy {
        /// Name of the document within the protocol, for example `privacy_policy`; repeat it to
        /// give the same document in another language.
        id: String,
        /// Version of the document.
        version: String = "1.0".to_owned(),
        /// Language of this text, as a BCP 47 tag.
        language: String = "en".to_owned(),
        /// Title of the document in this language.
        title: String,
        /// Where the document can be read.
        url: http::Uri,
    }
}

settings! {
    /// Who may create an account.
    pub struct Registration {
        /// Whether newcomers can create accounts. The first administrator, registration with the
        /// shared secret and application services do not need it.
        enabled: bool = false,
        /// Ways to register, any of which is enough; each is a list of the stages that it takes:
        /// `m.login.dummy`, `m.login.registration_token`, `m.login.terms`. In the environment the
        /// stages of one way are joined by `+`.
        flows: Vec<Flow> = vec![Flow { stages: vec![Stage::RegistrationToken] }],
        /// Tokens that the stage `m.login.registration_token` accepts any number of times.
        tokens: Vec<Secret> = Vec::new(),
        /// Secret with which a tool creates accounts at `/_synapse/admin/v1/register`. Unset: nobody
        /// can.
        shared_secret: Option<Secret> = None,
        /// Terms of service that the stage `m.login.terms` shows.
        terms: Vec<Policy> = Vec::new(),
    }
}

//! User-interactive authentication, for any endpoint.
//!
//! [Spec](https://spec.matrix.org/v1.19/client-server-api/#user-interactive-authentication-api).
//! An operation names itself and its flows; it gets a [`Proven`] when a flow is complete and an
//! error that carries the flows otherwise. A session is written only when a client has something
//! left to prove, so a single stage that comes with the first request costs nothing.

use matryx_entity::{uia_session::UiaSession, user::User};
use matryx_surrealdb::{KeyRange, Plan};
use ruma::{
    api::{
        client::uiaa::{AuthData, AuthFlow, AuthType, UiaaInfo},
        error::{ErrorKind, StandardErrorBody},
    },
    serde::JsonObject,
};
use serde_json::{json, value::to_raw_value};

use super::{LoginName, UserError, Users, later, secret};

/// Something that needs more proof than a token.
pub(super) struct Operation<'a> {
    /// What is to be done, to whom: a session is good for this alone.
    pub(super) name: &'a str,
    /// Whose account; none at registration.
    pub(super) user: Option<&'a User>,
    /// The ways to prove it, each a list of stages.
    pub(super) flows: Vec<Vec<AuthType>>,
    /// A registration token that is enough by itself.
    pub(super) admin_token: Option<String>,
}

impl Operation<'_> {
    /// The flows that a client is told of.
    fn offered(&self) -> impl Iterator<Item = Vec<AuthType>> {
        let by_token = vec![AuthType::RegistrationToken];
        let offers_it = self.admin_token.is_none() || self.flows.contains(&by_token);
        let further = (!offers_it).then_some(by_token);
        self.flows.iter().cloned().chain(further)
    }

    fn is_proven(&self, session: &UiaSession) -> bool {
        let done = |stage: &AuthType| session.completed.iter().any(|done| done == stage.as_str());
        let by_admin = self.admin_token.is_some() && session.registration_token == self.admin_token;
        by_admin || self.flows.iter().any(|flow| flow.iter().all(done))
    }
}

/// A completed flow.
#[derive(Debug, Default)]
pub struct Proven {
    /// The session that led to it, to be removed with the commit of the operation.
    session: Option<String>,
    /// The registration token that was accepted.
    pub(super) registration_token: Option<String>,
}

impl Proven {
    /// Removes the session with the commit of the operation.
    pub(crate) fn finish(&self, plan: &mut Plan) {
        if let Some(session) = &self.session {
            plan.delete::<UiaSession>(&UiaSession::key_of(session));
        }
    }
}

/// Why a stage was not passed.
struct Failed {
    kind: ErrorKind,
    message: &'static str,
}

impl Users {
    /// Takes one step: checks the stage that the client sends, if it sends one.
    pub(super) async fn prove(
        &self,
        operation: Operation<'_>,
        auth: Option<&AuthData>,
    ) -> Result<Proven, UserError> {
        let Some(auth) = auth else {
            let session = self.new_session(&operation);
            return self.challenge(&operation, session, None).await;
        };
        let (mut session, known) = match auth.session() {
            None => (self.new_session(&operation), false),
            Some(id) => {
                let Some(session) = self.find_session(id).await? else {
                    let session = self.new_session(&operation);
                    let failed = Failed {
                        kind: ErrorKind::Unknown,
                        message: "The authentication session is unknown or has expired",
                    };
                    return self.challenge(&operation, session, Some(failed)).await;
                };
                (session, true)
            }
        };
        if session.operation != operation.name
            || session.user.as_deref() != operation.user.map(|user| &*user.user_id)
        {
            return Err(UserError::OperationChanged);
        }
        // Without a type the client only asks whether a stage was passed elsewhere.
        if let Some(stage) = auth.auth_type() {
            if let Err(failed) = self.pass(&operation, &mut session, auth, &stage).await? {
                return self.challenge(&operation, session, Some(failed)).await;
            }
            if !session.completed.iter().any(|done| done == stage.as_str()) {
                session.completed.push(stage.as_str().to_owned());
            }
        }
        if !operation.is_proven(&session) {
            return self.challenge(&operation, session, None).await;
        }
        Ok(Proven {
            session: known.then_some(session.id),
            registration_token: session.registration_token,
        })
    }

    /// Checks one stage.
    async fn pass(
        &self,
        operation: &Operation<'_>,
        session: &mut UiaSession,
        auth: &AuthData,
        stage: &AuthType,
    ) -> Result<Result<(), Failed>, UserError> {
        let failed = |kind, message| Ok(Err(Failed { kind, message }));
        if !operation.offered().any(|flow| flow.contains(stage)) {
            return failed(
                ErrorKind::Unrecognized,
                "This stage is not part of any flow",
            );
        }
        match auth {
            AuthData::Dummy(_) | AuthData::Terms(_) => Ok(Ok(())),
            AuthData::RegistrationToken(data) => {
                if self.find_grant(&data.token).await?.is_none() {
                    return failed(ErrorKind::Forbidden, "Invalid registration token");
                }
                session.registration_token = Some(data.token.clone());
                Ok(Ok(()))
            }
            AuthData::Password(data) => {
                let name = LoginName::new(Some(data.identifier.clone()), None)?;
                let proven = self.check_password(&name, data.password.clone()).await;
                match (proven, operation.user) {
                    (Ok(proven), Some(user)) if proven.user_id == user.user_id => Ok(Ok(())),
                    (Ok(_) | Err(UserError::BadCredentials | UserError::Deactivated), _) => {
                        failed(ErrorKind::Forbidden, "Invalid user name or password")
                    }
                    (Err(error), _) => Err(error),
                }
            }
            _ => failed(ErrorKind::Unrecognized, "This stage is not supported"),
        }
    }

    /// Stores the session and tells the client what is left to prove.
    async fn challenge(
        &self,
        operation: &Operation<'_>,
        session: UiaSession,
        failed: Option<Failed>,
    ) -> Result<Proven, UserError> {
        let mut plan = Plan::new();
        plan.put(&session);
        self.inner.store.commit(plan).await?;
        let flows = operation.offered().map(AuthFlow::new).collect();
        let mut info = UiaaInfo::new(flows);
        info.completed = session.completed.into_iter().map(AuthType::from).collect();
        info.params = Some(to_raw_value(&self.params(operation))?);
        info.session = Some(session.id);
        info.auth_error = failed.map(|failed| {
            Box::new(StandardErrorBody::new(
                failed.kind,
                failed.message.to_owned(),
            ))
        });
        Err(UserError::Interactive(Box::new(info)))
    }

    fn params(&self, operation: &Operation<'_>) -> JsonObject {
        let mut params = JsonObject::new();
        if operation
            .flows
            .iter()
            .any(|flow| flow.contains(&AuthType::Terms))
        {
            let mut policies = JsonObject::new();
            for policy in &self.inner.config.registration.terms {
                let entry = policies
                    .entry(policy.id.clone())
                    .or_insert_with(|| json!({ "version": policy.version }));
                if let Some(entry) = entry.as_object_mut() {
                    let text = json!({ "name": policy.title, "url": policy.url.to_string() });
                    entry.insert(policy.language.clone(), text);
                }
            }
            params.insert("m.login.terms".to_owned(), json!({ "policies": policies }));
        }
        params
    }

    fn new_session(&self, operation: &Operation<'_>) -> UiaSession {
        let expires_ts = later(self.now(), self.inner.config.session.authentication_timeout);
        UiaSession {
            id: UiaSession::new_id(expires_ts, &secret::token("")),
            operation: operation.name.to_owned(),
            user: operation.user.map(|user| user.user_id.clone()),
            completed: Vec::new(),
            registration_token: None,
            expires_ts,
        }
    }

    pub(super) async fn find_session(&self, id: &str) -> Result<Option<UiaSession>, UserError> {
        let key = UiaSession::key_of(id);
        let session = self.inner.store.get::<UiaSession>(&key).await?;
        Ok(session.filter(|session| session.expires_ts > self.now()))
    }

    /// Removes the sessions that have expired.
    pub(super) async fn drop_expired_sessions(&self) -> Result<(), UserError> {
        const BATCH: usize = 500;
        let end = UiaSession::key_of_expiry(self.now());
        let range = KeyRange::until(&UiaSession::first_key(), &end);
        let expired = self.inner.store.range::<UiaSession>(range).await?;
        for batch in expired.chunks(BATCH) {
            let mut plan = Plan::new();
            for session in batch {
                plan.delete::<UiaSession>(&UiaSession::key_of(&session.id));
            }
            self.inner.store.commit(plan).await?;
        }
        Ok(())
    }
}

//! Creating accounts.

use matryx_entity::{
    log::LogEntry,
    profile::{DISPLAY_NAME, Profile},
    registration_token::{RegistrationToken, RegistrationTokenUse},
    stored::Stored,
    user::{User, UserKind},
    user_ids,
};
use matryx_surrealdb::{Plan, StoreError};
use ruma::{
    OwnedUserId,
    api::client::uiaa::{AuthData, AuthType},
};
use serde_json::{Map, Value};

use super::{
    NewSession, Proven, Session, USER_TABLE, UserError, Users, interactive::Operation,
    registration_token::Grant, secret,
};
use crate::appservice::Appservice;

/// How often a generated name that is taken is replaced by another.
const NAME_ATTEMPTS: usize = 5;

/// The operation that authentication sessions of newcomers are for.
const REGISTER: &str = "register";

/// What a newcomer asks for.
#[derive(Clone, Default)]
pub struct NewAccount {
    /// The name; none for a generated one.
    pub username: Option<String>,
    /// The password.
    pub password: Option<String>,
    /// The session to open at once; none to open none.
    pub session: Option<NewSession>,
}

/// A new account.
pub struct Registered {
    /// Its id.
    pub user_id: OwnedUserId,
    /// Its first session, if one was asked for.
    pub session: Option<Session>,
}

/// An account that is about to be created.
pub(super) struct Draft {
    pub(super) kind: UserKind,
    pub(super) password_hash: Option<String>,
    pub(super) admin: bool,
    pub(super) display_name: Option<String>,
    pub(super) session: Option<NewSession>,
}

impl Users {
    /// Could this name be registered now? One query.
    ///
    /// # Errors
    /// Why it could not.
    pub async fn check_name(&self, name: &str) -> Result<(), UserError> {
        let user_id = self.new_user_id(name)?;
        match self.lookup(&user_id).await? {
            Some(_) => Err(UserError::NameTaken),
            None => Ok(()),
        }
    }

    /// Registers a newcomer, who proves one of the configured flows.
    ///
    /// # Errors
    /// Registration is closed, the name or the password is not acceptable, or there is more to
    /// prove.
    pub async fn register(
        &self,
        account: NewAccount,
        auth: Option<&AuthData>,
    ) -> Result<Registered, UserError> {
        let flows = self.registration_flows();
        let admin_token = self.awaited_admin_token().await?;
        if flows.is_empty() && admin_token.is_none() {
            return Err(UserError::RegistrationClosed);
        }
        // What can't succeed is refused before the newcomer goes through the flow.
        if let Some(name) = &account.username {
            self.check_name(name).await?;
        }
        if let Some(session) = &account.session {
            session.check()?;
        }
        let operation = || Operation {
            name: REGISTER,
            user: None,
            flows: flows.clone(),
            admin_token: admin_token.clone(),
        };
        let proven = self.prove(operation(), auth).await?;
        let password = account
            .password
            .ok_or(UserError::MissingParam("password"))?;
        let password_hash = Some(self.inner.passwords.hash(password).await?);
        let grant = match &proven.registration_token {
            Some(token) => match self.find_grant(token).await? {
                Some(grant) => Some(grant),
                // Used up by somebody else meanwhile.
                None => return self.start_again(operation()).await,
            },
            None => None,
        };
        let draft = Draft {
            kind: UserKind::Regular,
            password_hash,
            admin: matches!(&grant, Some(Grant::Stored(token)) if token.admin),
            display_name: None,
            session: account.session,
        };
        let registered = match grant {
            Some(Grant::Stored(token)) => {
                self.create_with_token(account.username, draft, &proven, &token)
                    .await?
            }
            _ => Some(self.create(account.username, &draft, &proven, None).await?),
        };
        match registered {
            Some(registered) => Ok(registered),
            None => self.start_again(operation()).await,
        }
    }

    /// Registers a guest.
    ///
    /// # Errors
    /// This server has no guests, or the database is away.
    pub async fn register_guest(&self, session: NewSession) -> Result<Registered, UserError> {
        if !self.inner.config.guests.enabled {
            return Err(UserError::GuestsDisabled);
        }
        let session = NewSession {
            device_id: None,
            ..session
        };
        session.check()?;
        let draft = Draft {
            kind: UserKind::Guest,
            password_hash: None,
            admin: false,
            display_name: None,
            session: Some(session),
        };
        self.create(None, &draft, &Proven::default(), None).await
    }

    /// Registers a user of an application service.
    ///
    /// # Errors
    /// The name is missing, not acceptable or outside of the application service's namespace.
    pub async fn register_for_appservice(
        &self,
        appservice: &Appservice,
        username: Option<&str>,
        session: Option<NewSession>,
    ) -> Result<Registered, UserError> {
        let name = username.ok_or(UserError::MissingParam("username"))?;
        let user_id = user_ids::new_appservice_user_id(name, self.server_name())?;
        if !appservice.owns_user(&user_id) {
            return Err(UserError::Exclusive(
                "This user name is not in the application service's namespace",
            ));
        }
        if let Some(session) = &session {
            session.check()?;
        }
        let draft = Draft {
            kind: UserKind::Appservice {
                id: appservice.registration.id.clone(),
            },
            password_hash: None,
            admin: false,
            display_name: None,
            session,
        };
        self.commit_account(user_id, &draft, &Proven::default(), None)
            .await
    }

    /// The flows of a newcomer; none while registration is closed.
    fn registration_flows(&self) -> Vec<Vec<AuthType>> {
        let config = &self.inner.config.registration;
        let open = config.flows.iter().filter(|_| config.enabled);
        let stages = open.map(|flow| flow.stages.iter());
        stages
            .map(|stages| stages.map(|stage| AuthType::from(stage.as_str())).collect())
            .collect()
    }

    async fn start_again(&self, operation: Operation<'_>) -> Result<Registered, UserError> {
        match self.prove(operation, None).await {
            Err(error) => Err(error),
            Ok(_) => Err(UserError::RegistrationClosed),
        }
    }

    /// Creates an account that claims a use of a token: `None` if all are taken.
    async fn create_with_token(
        &self,
        username: Option<String>,
        draft: Draft,
        proven: &Proven,
        token: &RegistrationToken,
    ) -> Result<Option<Registered>, UserError> {
        let _guard = self.inner.claims.lock().await;
        // The token may have been withdrawn since it was found.
        let key = RegistrationToken::key_of(&token.token);
        let current = self.inner.store.get::<RegistrationToken>(&key).await?;
        let Some(token) = current else {
            return Ok(None);
        };
        while let Some(number) = self.next_use(&token).await? {
            let claim = (number > 0).then_some((&token, number));
            match self.create(username.clone(), &draft, proven, claim).await {
                // Another process claimed this use.
                Err(UserError::Store(StoreError::Exists { table, .. }))
                    if table == RegistrationTokenUse::TABLE => {}
                result => return result.map(Some),
            }
        }
        Ok(None)
    }

    /// Creates an account under this name or a generated one.
    async fn create(
        &self,
        username: Option<String>,
        draft: &Draft,
        proven: &Proven,
        claim: Option<(&RegistrationToken, u32)>,
    ) -> Result<Registered, UserError> {
        if let Some(name) = username.filter(|name| !name.is_empty()) {
            let user_id = self.new_user_id(&name)?;
            return self.commit_account(user_id, draft, proven, claim).await;
        }
        for _ in 0..NAME_ATTEMPTS {
            let user_id = self.new_user_id(&secret::user_name())?;
            match self.commit_account(user_id, draft, proven, claim).await {
                Err(UserError::NameTaken) => {}
                result => return result,
            }
        }
        Err(UserError::NameTaken)
    }

    /// Writes an account with its profile and its first session: one commit.
    pub(super) async fn commit_account(
        &self,
        user_id: OwnedUserId,
        draft: &Draft,
        proven: &Proven,
        claim: Option<(&RegistrationToken, u32)>,
    ) -> Result<Registered, UserError> {
        let mut plan = Plan::new();
        plan.create(&User {
            user_id: user_id.clone(),
            kind: draft.kind.clone(),
            password_hash: draft.password_hash.clone(),
            admin: draft.admin,
            locked: false,
            suspended: false,
            deactivated: None,
            created_ts: self.now(),
        });
        let mut fields = Map::new();
        if let Some(name) = default_display_name(&user_id, draft) {
            fields.insert(DISPLAY_NAME.to_owned(), Value::String(name));
        }
        plan.put(&Profile::new(user_id.clone(), &fields));
        if let Some((token, number)) = claim {
            plan.create(&RegistrationTokenUse {
                token: token.token.clone(),
                number,
                user: user_id.clone(),
            });
        }
        if draft.admin {
            self.plan_admin(&mut plan).await?;
        }
        plan.log(LogEntry::User {
            user: user_id.clone(),
        });
        let session = match draft.session.clone() {
            Some(session) => {
                let session = self.plan_session(&mut plan, &user_id, session, None);
                Some(session.await?)
            }
            None => None,
        };
        proven.finish(&mut plan);
        match self.inner.store.commit(plan).await {
            Ok(_) => Ok(Registered { user_id, session }),
            Err(StoreError::Exists { table, .. }) if table == USER_TABLE => {
                Err(UserError::NameTaken)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The user id of a name that a newcomer may register.
    pub(super) fn new_user_id(&self, name: &str) -> Result<OwnedUserId, UserError> {
        let user_id = user_ids::new_user_id(name, self.server_name())?;
        if self.inner.appservices.reserver_of_user(&user_id).is_some() {
            return Err(UserError::Exclusive(
                "This user name is reserved by an application service",
            ));
        }
        Ok(user_id)
    }
}

/// The local part, as Synapse; a guest has none.
fn default_display_name(user_id: &OwnedUserId, draft: &Draft) -> Option<String> {
    match (&draft.display_name, &draft.kind) {
        (Some(name), _) => Some(name.clone()),
        (None, UserKind::Guest) => None,
        (None, UserKind::Regular | UserKind::Appservice { .. }) => {
            Some(user_id.localpart().to_owned())
        }
    }
}

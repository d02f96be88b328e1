//! Operations that need the user's proof once more, and closing an account.

use matryx_entity::{
    account_data::AccountData,
    chore::{Chore, Task},
    erasure::Erasure,
    filter::Filter,
    key,
    log::LogEntry,
    profile::Profile,
    stored::Stored,
    user::{Deactivation, User},
};
use matryx_surrealdb::{KeyRange, Plan};
use ruma::{
    OwnedDeviceId, UserId,
    api::client::uiaa::{AuthData, AuthType},
};

use super::{Proven, UserError, Users, interactive::Operation};
use crate::caller::Requester;

const NO_SUCH_USER: UserError = UserError::NotFound("There is no such user");

impl Users {
    /// Proves an operation on the caller's account with its password. An application service
    /// has proved enough with its token.
    pub(crate) async fn prove_owner(
        &self,
        requester: &Requester,
        operation: &str,
        auth: Option<&AuthData>,
    ) -> Result<Proven, UserError> {
        if requester.appservice.is_some() {
            return Ok(Proven::default());
        }
        let user = self.lookup(&requester.user_id).await?;
        let user = user.ok_or(NO_SUCH_USER)?;
        let operation = Operation {
            name: operation,
            user: Some(&user),
            flows: vec![vec![AuthType::Password]],
            admin_token: None,
        };
        self.prove(operation, auth).await
    }

    /// Removes devices of the caller after proof.
    ///
    /// # Errors
    /// There is more to prove, or the database is away.
    pub async fn delete_own_devices(
        &self,
        requester: &Requester,
        devices: &[OwnedDeviceId],
        auth: Option<&AuthData>,
    ) -> Result<(), UserError> {
        let mut names: Vec<_> = devices.iter().map(|id| id.as_str()).collect();
        names.sort_unstable();
        let operation = format!("delete_devices {}", names.join(" "));
        let proven = self.prove_owner(requester, &operation, auth).await?;
        self.delete_devices(&requester.user_id, devices).await?;
        self.close(&proven).await
    }

    /// Changes the caller's password after proof, and ends the user's other sessions if asked to.
    ///
    /// # Errors
    /// There is more to prove, the password is not acceptable, or the database is away.
    pub async fn change_own_password(
        &self,
        requester: &Requester,
        password: String,
        log_out_others: bool,
        auth: Option<&AuthData>,
    ) -> Result<(), UserError> {
        let proven = self.prove_owner(requester, "password", auth).await?;
        self.set_password(&requester.user_id, password).await?;
        if log_out_others {
            self.remove_devices_but(&requester.user_id, requester.device_id.as_deref())
                .await?;
        }
        self.close(&proven).await
    }

    /// Closes the caller's account after proof.
    ///
    /// # Errors
    /// There is more to prove, or the database is away.
    pub async fn deactivate_own(
        &self,
        requester: &Requester,
        erase: bool,
        auth: Option<&AuthData>,
    ) -> Result<(), UserError> {
        let proven = self.prove_owner(requester, "deactivate", auth).await?;
        self.deactivate(&requester.user_id, erase).await?;
        self.close(&proven).await
    }

    async fn close(&self, proven: &Proven) -> Result<(), UserError> {
        let mut plan = Plan::new();
        proven.finish(&mut plan);
        if !plan.is_empty() {
            self.inner.store.commit(plan).await?;
        }
        Ok(())
    }

    /// Closes an account for good: its sessions end, its profile and what it kept here go, and it
    /// leaves its rooms; that, and the end of its key backups, happens after the answer. Ten
    /// queries and one commit.
    ///
    /// Its token records stay, so that its devices are told what happened.
    ///
    /// # Errors
    /// There is no such user, or the database is away.
    pub async fn deactivate(&self, user: &UserId, erase: bool) -> Result<(), UserError> {
        let _guard = self.lock(user).await;
        let account = self.lookup(user).await?;
        let mut account = account.ok_or(NO_SUCH_USER)?;
        let ts = account
            .deactivated
            .map_or_else(|| self.now(), |known| known.ts);
        let erased = erase || account.deactivated.is_some_and(|known| known.erased);
        account.deactivated = Some(Deactivation { ts, erased });
        account.password_hash = None;
        account.admin = false;
        let mut plan = Plan::new();
        plan.put(&account);
        plan.delete::<Profile>(&Profile::key_of(user));
        let devices = self.list_stored_devices(user).await?;
        let mut change = self.plan_removal(&mut plan, user, &devices).await?;
        self.plan_identity_gone(&mut plan, user).await?;
        change.cross_signing = true;
        self.plan_list_change(&mut plan, user, change).await?;
        self.plan_erasure(&mut plan, user).await?;
        if erased {
            plan.put(&Erasure {
                user: user.to_owned(),
                ts: self.now(),
            });
            plan.log(LogEntry::Erased {
                user: user.to_owned(),
            });
        }
        let chores = [Task::LeaveRooms, Task::EraseBackups].map(|task| Chore {
            user: user.to_owned(),
            task,
        });
        for chore in &chores {
            plan.put(chore);
        }
        plan.log(LogEntry::Revoked {
            user: user.to_owned(),
            device: None,
        });
        plan.log(LogEntry::User {
            user: user.to_owned(),
        });
        self.inner.store.commit(plan).await?;
        for chore in chores {
            self.queue_chore(chore);
        }
        Ok(())
    }

    /// What the user kept on the server.
    async fn plan_erasure(&self, plan: &mut Plan, user: &UserId) -> Result<(), UserError> {
        let store = &self.inner.store;
        let prefix = key![user.as_str()];
        for data in store
            .range::<AccountData>(KeyRange::prefix(&prefix))
            .await?
        {
            plan.delete::<AccountData>(&data.key());
            plan.log(LogEntry::AccountData {
                user: data.user,
                room: data.room,
                kind: data.kind,
            });
        }
        for filter in store.range::<Filter>(KeyRange::prefix(&prefix)).await? {
            plan.delete::<Filter>(&filter.key());
        }
        Ok(())
    }

    /// Locks an account, or opens it again. Its sessions live on.
    ///
    /// # Errors
    /// There is no such account, or the database is away.
    pub async fn set_locked(&self, user: &UserId, locked: bool) -> Result<(), UserError> {
        self.change(user, |user: &mut User| user.locked = locked)
            .await
    }

    /// Suspends an account, or lifts the suspension.
    ///
    /// # Errors
    /// There is no such account, or the database is away.
    pub async fn set_suspended(&self, user: &UserId, suspended: bool) -> Result<(), UserError> {
        self.change(user, |user: &mut User| user.suspended = suspended)
            .await
    }
}

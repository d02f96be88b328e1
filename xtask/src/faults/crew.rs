//! The accounts that write, and their rooms.

use super::ledger::{Account, Joined, Ledger};
use super::writers::{self, Job, Stop, Writer};
use crate::homeserver::Homeserver;
use anyhow::{Context as _, Result, anyhow};
use tokio::task::JoinSet;

/// Rooms that the jobs of one loop share.
const ROOMS: usize = 2;

/// One account for each job.
pub(crate) struct Crew {
    pub(crate) accounts: Vec<Account>,
    jobs: &'static [Job],
    is_patient: bool,
}

impl Crew {
    /// Registers the accounts.
    pub(crate) async fn hire(server: &Homeserver, jobs: &'static [Job]) -> Result<Self> {
        let mut accounts = Vec::new();
        for n in 0..jobs.len() {
            let mut wire = server.anonymous().await?;
            let account = writers::register(&mut wire, &format!("crew{n}")).await;
            accounts.push(account.map_err(stopped)?);
        }
        Ok(Self {
            accounts,
            jobs,
            is_patient: false,
        })
    }

    /// Lets the writers try again for as long as the server asks for that.
    pub(crate) fn patient(mut self) -> Self {
        self.is_patient = true;
        self
    }

    /// Creates this loop's rooms, brings everybody in, and sets everybody to work.
    pub(crate) async fn set_to_work(
        &self,
        server: &Homeserver,
        number: u64,
        ledger: &mut Ledger,
    ) -> Result<JoinSet<Ledger>> {
        let creator = self.accounts.first().context("nobody writes")?;
        let mut rooms = Vec::new();
        for n in 0..ROOMS {
            let mut wire = writers::connect(server, creator).await?;
            let name = format!("loop {number} room {n}");
            let room = writers::create_room(&mut wire, creator, &name)
                .await
                .map_err(stopped)?;
            rooms.push(room.room_id.clone());
            ledger.rooms.push(room);
        }
        let mut crowd = JoinSet::new();
        let mut ready = Vec::new();
        for (n, (job, account)) in self.jobs.iter().copied().zip(&self.accounts).enumerate() {
            let mut wire = writers::connect(server, account).await?;
            for room_id in &rooms {
                writers::join(&mut wire, room_id).await.map_err(stopped)?;
                // Who comes and goes is audited by its membership alone.
                if job != Job::ComeAndGo {
                    let (room_id, account) = (room_id.clone(), account.clone());
                    ledger.joins.push(Joined { room_id, account });
                }
            }
            let powerful = matches!(job, Job::State | Job::Moderate);
            let account = if powerful { creator } else { account };
            let mut wire = writers::connect(server, account).await?;
            wire.is_patient = self.is_patient;
            let writer = Writer {
                job,
                label: format!("loop{number}-writer{n}"),
                account: account.clone(),
                rooms: rooms.clone(),
            };
            ready.push((writer, wire));
        }
        for (writer, wire) in ready {
            crowd.spawn(writer.run(wire));
        }
        Ok(crowd)
    }
}

/// Before the fault, nothing may stop a writer.
fn stopped(stop: Stop) -> anyhow::Error {
    match stop {
        Stop::Broken => anyhow!("the server broke the connection"),
        Stop::Refused(refusal) => anyhow!(refusal),
    }
}

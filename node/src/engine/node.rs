//! The node: takes commands and passes each to the part of the engine that carries it out.

use std::sync::{Arc, Weak};

use super::{
    Core, backups, drill, expect, forget, guardians, invitations, join, leaving, look, offering,
    recover, rekey, rename, report, restore, revoke, serve::Server, settings, trail,
};
use crate::{
    command::{Command, Engine, EventSink, Failure, Outcome, ReadyOutcome},
    net::Serving,
};

/// An open home that carries out commands, many at a time.
#[derive(Debug)]
pub struct Node {
    pub(super) core: Arc<Core>,
    /// Answers other devices; ends with the node.
    _serving: Serving,
}

impl Node {
    pub(super) fn new(core: Arc<Core>) -> Self {
        let weak: Weak<Core> = Arc::downgrade(&core);
        let serving = core.net.serve(core.depot.clone(), Arc::new(Server::new(weak)));
        Self { core, _serving: serving }
    }

    #[expect(clippy::too_many_lines, reason = "one arm for each command")]
    async fn carry_out(&self, command: Command, events: EventSink) -> Result<Outcome, Failure> {
        let core = &self.core;
        match command {
            Command::Add { paths, excludes } => settings::add(core, paths, excludes).await,
            Command::Remove { paths } => settings::remove(core, paths).await,
            Command::Folders => settings::folders(core).await,
            Command::Offer { bytes, to } => offering::offer(core, bytes, to).await,
            Command::ConfigGet { key } => settings::config_get(core, key).await,
            Command::ConfigSet { key, value } => settings::config_set(core, key, value).await,
            Command::Backup { paths, excludes, wait, timeout_s } => {
                let wish = backups::Wish { paths, excludes, wait, timeout_s };
                backups::run(core, wish, &events).await
            }
            Command::Snapshots { device, path } => look::snapshots(core, device, path).await,
            Command::List { snapshot, path, recursive } => {
                look::list(core, snapshot, path, recursive, &events).await
            }
            Command::Cat { snapshot, path } => look::cat(core, snapshot, path, &events).await,
            Command::Diff { old, new, path } => look::diff(core, old, new, path, &events).await,
            Command::Find { pattern, snapshot } => {
                look::find(core, pattern, snapshot, &events).await
            }
            Command::Restore { snapshot, paths, to, overwrite, dry_run } => {
                let wish = restore::Wish { snapshot, paths, to, overwrite, dry_run };
                restore::run(core, wish, &events).await
            }
            Command::Invite { kind, role, guest, expires_s, waiting } => {
                let whom = (kind, role, expires_s);
                invitations::invite(core, whom, (guest, waiting), &events).await
            }
            Command::Log => trail::show(core, &events).await,
            Command::Answer { question, yes } => core.invitations.answer(question, yes),
            Command::Join { code, name, site, asks } => {
                join::join(core, code, (name, site), asks, &events).await
            }
            Command::Ticket => Ok(Outcome::Ticket(report::ticket(core)?)),
            Command::Connect { ticket } => report::connect(core, ticket).await,
            Command::Recover { phrase, connect, name, site } => {
                let wish = recover::Wish { phrase, connect, name, site };
                recover::recover(core, wish, &events).await
            }
            Command::RecoverByGuardians { connect, name, site, phrase_out, vault, anew } => {
                let phrase_out = phrase_out.as_path().to_owned();
                let wish = recover::GuardedWish { connect, name, site, phrase_out, vault, anew };
                Box::pin(recover::recover_by_guardians(core, wish, &events)).await
            }
            Command::Guardians { act } => guardians::act(core, act, &events).await,
            Command::GiveShare { code, of } => guardians::give(core, &code, of, &events).await,
            Command::Trial { phrase, connect, relays } => {
                recover::trial(core, (phrase, connect, relays), &events).await
            }
            Command::Sheet => report::sheet(core, &events).await,
            Command::Devices => report::devices(core).await,
            Command::Rename { name, device } => rename::rename(core, name, device).await,
            Command::Revoke { device, reason, undo, phrase } => {
                revoke::revoke(core, revoke::Wish { device, reason, undo, phrase }).await
            }
            Command::Rekey { act } => rekey::run(core, act, &events).await,
            Command::Leave { whom, act } => leaving::run(core, whom, act).await,
            Command::Peers => report::peers(core).await,
            Command::Expect { device, expectation } => {
                expect::expect(core, &device, expectation).await
            }
            Command::Status => report::status(core).await,
            Command::Verify { percent } => report::verify(core, percent, &events).await,
            Command::Drill => drill::run(core, &events).await,
            Command::Forget { keep, dry_run } => forget::run(core, keep, dry_run).await,
            Command::ForgetNamed { snapshots, even_last, dry_run } => {
                forget::named(core, snapshots, (even_last, dry_run)).await
            }
            Command::Pin { snapshots, pinned } => forget::pin(core, snapshots, pinned).await,
            Command::Doctor => report::doctor(core).await,
            Command::Passphrase { act } => settings::passphrase(core, act).await,
            Command::Shutdown => Err(Failure::usage("this is for the control socket to answer")),
        }
    }
}

impl Engine for Node {
    async fn run(&self, command: Command, events: EventSink) -> Result<Outcome, Failure> {
        // Boxed: the futures of all commands together would be large on every caller's stack.
        Box::pin(self.carry_out(command, events)).await
    }

    async fn ready(&self) -> ReadyOutcome {
        let addresses = report::own_addresses(&self.core);
        let vault = self.core.member().ok().map(|member| member.vault);
        let ticket = report::ticket(&self.core).map(|ticket| ticket.ticket).unwrap_or_default();
        ReadyOutcome {
            device: self.core.keys.id().to_string(),
            name: self.core.own_name(),
            vault: vault.map(|vault| vault.to_string()),
            addresses,
            ticket,
            pid: std::process::id(),
        }
    }

    async fn close(&self) {
        self.core.closing.cancel();
        self.core.net.close().await;
    }
}

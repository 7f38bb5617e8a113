//! Makes and opens homes.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, OnceLock, RwLock},
};

use larder_protocol::{
    ids::{DeviceId, VaultId},
    keys::{device::DeviceKeys, epoch::ContentKey, phrase::Phrase},
    log::{DeviceLog, Label, found::Founding},
    placing::{Copies, Policy},
    relaying::{RelayAddress, Scheme},
};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng as _};
use tokio_util::sync::CancellationToken;
use tracing::warn;
use zeroize::Zeroizing;

use super::{
    Core, EngineError, Keyring, Member, Node,
    clock::{Clock, wall},
    custody::Custody,
    drill, exposed,
    fetcher::Fetcher,
    invitations::Invitations,
    leaving, locating,
    meter::{self, Meter},
    neighbours::{self, Neighbours},
    offering::Heard,
    recurrer::{self, Recurrer},
    rekey, roster,
    scrubber::{self, Scrubber},
    serve::Holder,
    sync,
    tending::{self, Tender},
};
use crate::{
    command::{Failure, InitOptions, InitOutcome, Launch, OpenOptions, Reveal},
    depot::Depot,
    home::{Config, Copies as WantedCopies, Home, KeepOwn},
    net::{Admission, Entry, Listen, Net, Protocol, Rates, Settings},
    state::{State, circle::GrantRow, scan_cache::ScanCache},
    vaults::{Relation, Vaults},
};

/// Note in `state.redb`: the UDP port of last time.
const PORT: &str = "port";
/// Note in `state.redb`: the vault that this device belongs to.
pub(super) const OWN_VAULT: &str = "own vault";

/// Opens real nodes.
#[derive(Debug, Clone, Copy, Default)]
pub struct Launcher;

impl Launch for Launcher {
    type Engine = Node;

    async fn init(
        &self,
        home: &Home,
        options: InitOptions,
        reveal: Reveal<'_>,
    ) -> Result<InitOutcome, Failure> {
        if has_vault(home)? {
            return Err(crate::home::HomeError::Exists(home.directory().to_owned()).into());
        }
        let keys = home.device_keys()?;
        let mut entropy = Zeroizing::new([0; 32]);
        getrandom::fill(&mut *entropy).map_err(|_| EngineError::Randomness)?;
        let phrase = Phrase::from_entropy(*entropy);
        let label = Label { name: options.name.clone(), site: options.site.clone() };
        let founding =
            Founding { device: &keys, recovery: &phrase.recovery(), label: &label, time: wall() };
        let founded = DeviceLog::found(&founding, &mut rng()?)
            .map_err(|error| Failure::usage(error.to_string()))?;
        // A vault whose phrase nobody has seen must not exist.
        reveal(&phrase.words().text())?;
        remember_names(home, &label.name, Some(&label.site))?;
        keep_vault(home, &founded.log)?;
        Ok(InitOutcome {
            vault: founded.log.vault().to_string(),
            device: keys.id().to_string(),
            name: label.name,
            site: label.site,
            sealed: home.is_key_sealed()?,
        })
    }

    async fn open(&self, home: Home, options: OpenOptions) -> Result<Node, Failure> {
        Ok(open(home, &options).await?)
    }
}

/// Whether a home belongs to a device of a vault, or is left of one.
///
/// # Errors
/// When that cannot be found out.
pub fn has_vault(home: &Home) -> Result<bool, Failure> {
    let state = || State::open(home.directory())?.own_vault();
    if home.state_file().exists() && state().map_err(EngineError::from)?.is_some() {
        return Ok(true);
    }
    // HOME-14: `state.redb` may be lost; the log still says whose device this is.
    let keys = home.device_keys()?;
    let vaults = Vaults::open(&home.vaults_directory()).map_err(EngineError::from)?;
    Ok(vault_of(&vaults, &keys).is_some())
}

/// Randomness for one use, from the system.
pub(super) fn rng() -> Result<ChaCha20Rng, EngineError> {
    let mut seed = Zeroizing::new([0; 32]);
    getrandom::fill(&mut *seed).map_err(|_| EngineError::Randomness)?;
    Ok(ChaCha20Rng::from_seed(*seed))
}

/// Name and site of this device, in the settings; without a site what is there stays.
pub(super) fn remember_names(
    home: &Home,
    name: &str,
    site: Option<&str>,
) -> Result<(), EngineError> {
    let mut config = home.config()?;
    let set = |config: &mut Config, key, value: &str| {
        config.set(key, Some(value)).map_err(crate::home::HomeError::from)
    };
    set(&mut config, "device.name", name)?;
    if let Some(site) = site {
        set(&mut config, "device.site", site)?;
    }
    config.store(&home.config_file()).map_err(crate::home::HomeError::from)?;
    Ok(())
}

/// The vault whose log names this device's key: nobody enters it there without the key's consent.
fn vault_of(vaults: &Vaults, keys: &DeviceKeys) -> Option<VaultId> {
    match vaults.relation(&keys.id()) {
        Some((vault, Relation::Device)) => Some(vault),
        Some((_, Relation::Recovery | Relation::Guardians)) | None => None,
    }
}

/// Makes this home one of the vault of `log`. The log is durable before the note that points to
/// it; what a crash in between leaves is found again by the key (HOME-14).
pub(super) fn keep_vault(home: &Home, log: &DeviceLog) -> Result<(), EngineError> {
    let vaults = Vaults::open(&home.vaults_directory())?;
    vaults.add(log)?;
    let state = State::open(home.directory())?;
    state.keep_note(OWN_VAULT, log.vault().as_bytes())?;
    Ok(())
}

async fn open(home: Home, options: &OpenOptions) -> Result<Node, EngineError> {
    let keys = home.device_keys().map_err(EngineError::from)?;
    let config = home.config()?;
    let state = State::open(home.directory())?;
    let cache = ScanCache::open(home.directory());
    let vaults = Arc::new(Vaults::open(&home.vaults_directory())?);
    let depot = depot(&home)?;
    let invitations = Arc::new(Invitations::default());
    let door = Door { vaults: Arc::clone(&vaults), invitations: Arc::clone(&invitations) };
    let (listen, relays) = (listen(&state, &config, options)?, relays(&config, options));
    let (seed, rates) = (keys.signing_seed(), rates(&config));
    let settings = Settings { seed, listen, relays: relays.clone(), rates };
    let net = Net::start(settings, Arc::new(door)).await?;
    state.keep_port(net.port())?;
    let holding = Holder::open(&state, &depot, config.offer_bytes())?;
    let tending = Tender::new(keys.id());
    let leaving = leaving::Leaver::open(&state)?;
    let (scrubber, scrubs) = Scrubber::new();
    let (recurrer, recurs) = Recurrer::new();
    let core = Arc::new(Core {
        scrubber,
        recurrer,
        rekeyer: rekey::Rekeyer::default(),
        leaving,
        drilling: tokio::sync::Mutex::default(),
        examined: super::custody::Examined::default(),
        home,
        keys,
        state,
        cache,
        depot,
        vaults,
        net,
        relays,
        relays_told: options.relays_told.clone(),
        clock: Clock::start(),
        serves: options.serve,
        shows_itself: options.serve && options.lan.unwrap_or_else(|| config.lan()),
        neighbours: Neighbours::default(),
        closing: CancellationToken::new(),
        invitations,
        exposed: exposed::Pending::default(),
        sides: sync::UnreadSides::default(),
        codes: super::spoken::Codes::default(),
        callers: Mutex::default(),
        holding,
        tending,
        errands: super::errands::Errands::default(),
        meter: Meter::new(&config, options.serve),
        rotating: tokio::sync::Mutex::new(()),
        choosing: tokio::sync::Mutex::default(),
        committing: Mutex::new(()),
        relying: tokio::sync::RwLock::new(()),
        following: tokio::sync::Mutex::new(()),
        config: RwLock::new(config),
        blames: Mutex::default(),
        moves: Mutex::default(),
        heard: Heard::default(),
        member: RwLock::new(None),
    });
    learn_addresses(&core)?;
    if !options.rests {
        enter_own(&core)?;
    }
    if core.serves {
        scrubber::start(&core, scrubs);
        recurrer::start(&core, recurs);
    }
    Ok(Node::new(core))
}

/// Starts what a home has whose device belongs to a vault already.
fn enter_own(core: &Arc<Core>) -> Result<(), EngineError> {
    if let Some(member) = member_of(core)? {
        enter(core, member)?;
        super::trail::note_offer(core)?;
    }
    Ok(())
}

fn depot(home: &Home) -> Result<Depot, EngineError> {
    let (depot, report) = Depot::open(&home.depot_directory())?;
    if !report.is_well() {
        warn!("the depot was put in order: {report:?}");
    }
    Ok(depot)
}

/// The vault of this home, also while its work rests.
pub(super) fn own_vault(core: &Core) -> Result<Option<VaultId>, EngineError> {
    Ok(core.state.own_vault()?.or_else(|| vault_of(&core.vaults, &core.keys)))
}

/// This home as a device of its vault, as far as it is one.
pub(super) fn member_of(core: &Arc<Core>) -> Result<Option<Member>, EngineError> {
    let vault = match (core.state.own_vault()?, vault_of(&core.vaults, &core.keys)) {
        (Some(vault), _) => vault,
        (None, Some(vault)) => {
            warn!("the log of vault {} says that this is one of its devices", vault.short());
            core.state.keep_note(OWN_VAULT, vault.as_bytes())?;
            vault
        }
        (None, None) => return Ok(None),
    };
    let log = core.log_of(&vault)?;
    let epochs = log.epoch_keys(&core.keys)?;
    let content = ContentKey::derive(epochs.first().ok_or(EngineError::UnknownEpoch(1))?);
    let keyring = RwLock::new(Arc::new(Keyring::of(&log, epochs)));
    let keys = core.keys.clone();
    let fetcher = Fetcher::start(core, core.home.fetch_directory());
    Ok(Some(Member { vault, keys, keyring, content, fetcher, custody: OnceLock::new() }))
}

/// Starts what only a member has.
pub(super) fn enter(core: &Arc<Core>, member: Member) -> Result<Arc<Member>, EngineError> {
    let member = Arc::new(member);
    core.vaults.set_own(member.vault);
    // Devices of one vault hold for each other within what each offers.
    let name = core.own_name();
    let grant = GrantRow::new(member.vault, name);
    core.state.change_grant(&member.vault, |_| Some(grant))?;
    core.holding.set_terms(&core.state, core.config().offer_bytes())?;
    let custody = Custody::start(core, &member, policy(&core.config()))?;
    // Set once: the member was made just above.
    let _ = member.custody.set(custody);
    meter::start(core, &member);
    core.set_member(Arc::clone(&member));
    member.fetcher.discard_old();
    drill::clear(core);
    let settling = Arc::clone(core);
    tokio::spawn(async move { roster::settle_all(&settling).await });
    sync::start(core, &member);
    if core.serves {
        sync::meet_everybody(core, &member);
        locating::start(core);
        tending::start(core, &member)?;
        super::errands::start(core);
        rekey::start(core, &member);
        leaving::start(core, &member);
    }
    if core.shows_itself {
        neighbours::start(core, &member);
    }
    Ok(member)
}

/// The policy that the settings ask for.
pub(super) fn policy(config: &Config) -> Policy {
    let copies = match config.copies() {
        WantedCopies::Auto => Copies::Auto,
        WantedCopies::Count(count) => Copies::Fixed(u8::try_from(count).unwrap_or(u8::MAX)),
    };
    Policy { copies, keep_own: config.keep_own() == KeepOwn::All }
}

/// How fast uploads go, as the settings say.
pub(super) fn rates(config: &Config) -> Rates {
    Rates { up: config.upload_max(), also_near: config.limits_lan() }
}

fn listen(state: &State, config: &Config, options: &OpenOptions) -> Result<Listen, EngineError> {
    if let Some(address) = options.listen.or_else(|| config.listen()) {
        return Ok(Listen::Only(address));
    }
    Ok(Listen::Everywhere { port: state.port()?.unwrap_or(0) })
}

/// Those of the command line, else those of the settings.
fn relays(config: &Config, options: &OpenOptions) -> Vec<RelayAddress> {
    let relays = match options.relays.is_empty() {
        true => config.relays().to_vec(),
        false => options.relays.clone(),
    };
    for relay in relays.iter().filter(|relay| relay.scheme == Scheme::Http) {
        warn!("relay {relay} is without TLS: its token can be read on the way");
    }
    relays
}

fn learn_addresses(core: &Core) -> Result<(), EngineError> {
    for peer in core.state.peers()? {
        core.net.set_addresses(peer.device, socket_addresses(&peer.addresses));
    }
    Ok(())
}

/// Those texts that are socket addresses.
pub(super) fn socket_addresses(texts: &[String]) -> Vec<SocketAddr> {
    texts.iter().filter_map(|text| text.parse().ok()).collect()
}

/// Lets in who is known: devices and phrases of the vaults known here, and strangers to pair
/// while an invitation is open.
#[derive(Debug)]
struct Door {
    vaults: Arc<Vaults>,
    invitations: Arc<Invitations>,
}

impl Admission for Door {
    fn admit(&self, peer: &DeviceId, protocol: Protocol) -> Entry {
        // What such a node may do is looked at request by request.
        let is_fellow = || {
            let has_errand = || !self.vaults.with_errands_for(peer).is_empty();
            !self.vaults.fellow_of(peer).is_empty() || has_errand()
        };
        let is_welcome = match protocol {
            Protocol::Pairing => self.invitations.is_any_open(wall()),
            Protocol::Control => self.vaults.relation(peer).is_some() || is_fellow(),
            // Whoever has the secret of guardians asks for the phrase, and reads nothing before.
            Protocol::Shards => {
                let relation = self.vaults.relation(peer).map(|(_, relation)| relation);
                matches!(relation, Some(Relation::Device | Relation::Recovery)) || is_fellow()
            }
            Protocol::Meeting | Protocol::Helping | Protocol::Seeking => false,
        };
        if is_welcome { Entry::Admitted } else { Entry::Refused }
    }
}

impl State {
    /// The vault that this device belongs to.
    pub(super) fn own_vault(&self) -> Result<Option<VaultId>, crate::state::StateError> {
        let bytes = self.note(OWN_VAULT)?;
        Ok(bytes.and_then(|bytes| <[u8; 32]>::try_from(bytes).ok()).map(VaultId::from_bytes))
    }

    fn port(&self) -> Result<Option<u16>, crate::state::StateError> {
        let bytes = self.note(PORT)?;
        Ok(bytes.and_then(|bytes| <[u8; 2]>::try_from(bytes).ok()).map(u16::from_le_bytes))
    }

    fn keep_port(&self, port: u16) -> Result<(), crate::state::StateError> {
        if self.port()? == Some(port) {
            return Ok(());
        }
        self.keep_note(PORT, &port.to_le_bytes())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::{
        command::{Command, Engine, Outcome},
        engine::testing::TestNode,
    };

    // HOME-14
    #[tokio::test]
    async fn a_home_that_lost_its_state_is_still_a_device_of_its_vault() {
        let node = TestNode::new("laptop").await;
        let before = node.node.core.member().unwrap().vault;
        let home = node.home();
        node.node.close().await;
        let TestNode { node, directory } = node;
        drop(node);
        let home = loop {
            match Home::open(&home, "test") {
                Ok(home) => break home,
                Err(crate::home::HomeError::Busy { .. }) => tokio::task::yield_now().await,
                Err(error) => panic!("{error}"),
            }
        };
        fs::remove_file(home.state_file()).unwrap();
        let options = InitOptions { name: "again".to_owned(), site: "again".to_owned() };
        assert!(Launcher.init(&home, options, &mut |_| Ok(())).await.is_err());
        drop(home);
        let node = crate::engine::testing::open(&directory.path().join("home")).await;
        let node = TestNode { node, directory };
        assert_eq!(node.node.core.member().unwrap().vault, before);
        assert!(matches!(node.ask(Command::Status).await, Outcome::Status(_)));
    }
}

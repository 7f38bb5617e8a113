//! Every bound of the protocol, in one place, each with its unit and reason.
//!
//! Source: specs/limits.md. A decoder checks these before it allocates.

/// Smallest chunk the chunker cuts, except at the end of a file. Source: DESIGN, FastCDC.
pub const CHUNK_BYTES_MIN: usize = 256 * 1024;
/// Chunk size aimed at.
pub const CHUNK_BYTES_AVG: usize = 1024 * 1024;
/// Largest plaintext of any chunk, metadata included.
pub const CHUNK_BYTES_MAX: usize = 4 * 1024 * 1024;

/// A file below this size shares a chunk with its neighbours (a bundle).
pub const BUNDLE_FILE_BYTES_MAX: u64 = 64 * 1024;
/// A bundle never grows past this: one changed file makes at most so much new data.
pub const BUNDLE_BYTES_MAX: u64 = 128 * 1024;

/// A data pack is closed when the next chunk would pass this.
pub const DATA_PACK_BYTES: usize = 32 * 1024 * 1024;
/// A metadata pack is closed when the next chunk would pass this.
pub const METADATA_PACK_BYTES: usize = 4 * 1024 * 1024;
/// No shard of any kind is larger; a holder refuses a longer one before it reads a byte.
pub const SHARD_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Verification group of a shard (bao, `chunk_log` 4), as in iroh-blobs; also the padding unit.
pub const GROUP_BYTES: u64 = 16 * 1024;
/// Index segments below this length are merged into one when there are too many of them: beyond
/// it, writing a segment anew costs more than naming it.
pub const SEGMENT_BYTES_SMALL: u32 = 2 * 1024 * 1024;
/// Such segments that one manifest names; each takes about 120 bytes of its 4 MiB.
pub const SEGMENTS_SMALL_MAX: usize = 64;
/// Chunks in one pack.
pub const PACK_CHUNKS_MAX: usize = 65_536;

/// Size aimed at when a directory or a list of extents is split into nodes.
pub const NODE_BYTES_AVG: usize = 64 * 1024;
/// A node is closed before an item that would take it past this; one larger item has a node alone.
pub const NODE_BYTES_MAX: usize = 512 * 1024;
/// One encoded directory entry: xattrs are the only part that can be long.
pub const ENTRY_BYTES_MAX: usize = 1024 * 1024;
/// Levels of nodes above the leaves of one directory or list: three hold more than 10^9 entries.
pub const NODE_LEVELS_MAX: u8 = 8;

/// A file name. Linux allows 255; other systems count differently.
pub const NAME_BYTES_MAX: usize = 1024;
/// The path of a root folder; only shown.
pub const PATH_BYTES_MAX: usize = 16 * 1024;
/// A symlink target (`PATH_MAX`).
pub const SYMLINK_BYTES_MAX: usize = 4096;
/// Depth of a tree: a deeper one is refused on restore rather than overflowing a stack.
pub const TREE_DEPTH_MAX: usize = 4096;
/// Extents held in the entry itself; a longer list becomes chunks of its own.
pub const EXTENTS_INLINE_MAX: usize = 8;

/// A caller that says that it stands elsewhere is believed once in this time: all packs are counted anew.
pub const SITE_CHANGE_MS_MIN: u64 = 60_000;
/// One frame of the control protocol.
pub const FRAME_BYTES_MAX: usize = 1024 * 1024;
/// Protocol versions named in one hello.
pub const VERSIONS_MAX: usize = 16;
/// Newest entries of one log (entries without children): one for each concurrent writer.
pub const LOG_TIPS_MAX: usize = 1024;
/// Shards named in one offer.
pub const OFFER_SHARDS_MAX: usize = 512;
/// Entries of one device log.
pub const LOG_ENTRIES_MAX: usize = 10_000;
/// One encoded log entry: a new epoch for all devices, with the keys of all before it, that a log can have.
pub const LOG_ENTRY_BYTES_MAX: usize = 160 * 1024;
/// One encoded head.
pub const HEAD_BYTES_MAX: usize = 64 * 1024;
/// Devices of one vault.
pub const DEVICES_MAX: usize = 256;
/// Devices, and entries, for which a log keeps room that only the phrase can use: whoever has a
/// device's key must not be able to shut the phrase out.
pub const LOG_RESERVED: usize = 64;
/// Epochs of a log, in all its branches, beside the first.
pub const EPOCHS_MAX: usize = 160;
/// Those of them that only the phrase can begin: a thief who rotates must not keep it from removing him.
pub const EPOCHS_RESERVED: usize = 32;
/// Epochs that one member can begin: an epoch is due when things were done apart, which is seldom, and any
/// device begins it.
pub const EPOCHS_OF_MEMBER_MAX: usize = 16;
/// Epochs that one recovery begins with the phrase, to hand keys on to the new device: holders that tell of one
/// each must not use up what the phrase has.
pub const EPOCHS_OF_RECOVERY_MAX: usize = 3;
/// An unreadable head beside the highest of a forked device is looked at again after this.
pub const SIDE_AGAIN_MS: u64 = 600_000;
/// Renames of a log, in all its branches.
pub const RENAMES_MAX: usize = 1024;
/// Those of them that only the phrase can write.
pub const RENAMES_RESERVED: usize = 64;
/// Renames that one device can write: whoever has the key of one must not use up the names of all.
pub const RENAMES_OF_DEVICE_MAX: usize = 64;
/// Devices in all branches of a log, those for which room is kept included.
pub const LOG_DEVICES_MAX: usize = 320;
const _: () = assert!(LOG_DEVICES_MAX == DEVICES_MAX + LOG_RESERVED);
/// So many times the entries and bytes that are charged, all are at the most while nobody but devices writes.
pub const LOG_TIMES: usize = 2;
/// And so many times with what the phrase builds on.
pub const LOG_BACKED_TIMES: usize = 3;
/// And so many times as much is read back: more than ever was taken.
pub const LOG_READ_BACK_TIMES: usize = 4;
/// Devices in all branches of a log, whatever somebody builds on.
pub const LOG_DEVICES_BACKED_MAX: usize = 640;
const _: () = assert!(LOG_DEVICES_BACKED_MAX == LOG_TIMES * LOG_DEVICES_MAX);
/// Entries that begin an epoch or remove, in all branches, those that do not count and those of members included. With so
/// many the phrase builds on as little as it can where it takes in or removes: an `add` grows with each epoch.
pub const LOG_EPOCHS_MAX: usize = 320;
/// Entries of one device that do not count, beside those that somebody has taken along.
pub const LOG_VOID_MAX: usize = 64;
/// Epochs that are begun one after the other for one backup or removal: each builds on 63 more entries that somebody has written
/// beside each other.
pub const EPOCHS_AT_ONCE: usize = 5;
/// What one caller has pushed of a log waits so long for what he pushes next.
pub const LOG_PUSH_MS: u64 = 60_000;
/// And of so many callers at once.
pub const LOG_PUSHES_MAX: usize = 4;
/// Entries that wait in one exchange until somebody backs them.
pub const LOG_WAITING_MAX: usize = 10_000;
/// So many answers in a row may bring nothing but what waits.
pub const LOG_WAITING_ANSWERS_MAX: usize = 64;
/// In one exchange so many entries of one author are tried with what they would have taken along: each
/// costs a copy of the log.
pub const LOG_TRIALS_MAX: usize = 4;
/// And so many of all authors but the phrase.
pub const LOG_TRIALS_OF_DEVICES_MAX: usize = 64;
/// Bytes of all entries of a log together. With each device taken in once, the largest log that the bounds
/// above allow fits (16.3 MB by devices, 3.5 MB by the phrase): only taking in the same devices again and
/// again comes up to it.
pub const LOG_BYTES_MAX: usize = 20 * 1024 * 1024;
/// Those of them that only the phrase can use.
pub const LOG_BYTES_RESERVED: usize = 4 * 1024 * 1024;
/// Entries that take in one and the same device apart: those by devices, and as many by the phrase.
pub const ADDS_OF_DEVICE_MAX: usize = 16;
/// Heads kept of one device as its newest: one, or the proof of a fork and what came after it.
pub const HEADS_OF_DEVICE_MAX: usize = 8;
/// Superseded heads kept of one device: the first and the last of 24 hours and 30 days.
pub const HEADS_PAST_MAX: usize = 108;
/// Heads in one answer.
pub const HEADS_ANSWER_MAX: usize = 512;

/// A holder keeps a shard at least this long after its receipt, whatever anybody asks.
pub const RETENTION_DAYS_MIN: u64 = 30;

/// Copies on distinct sites that the automatic policy asks for, when there are so many sites.
pub const COPIES_AUTO_MAX: usize = 2;
/// Heads that wait for their packs; an older one is superseded.
pub const HEADS_WAITING_MAX: usize = 64;
/// Uploads under way to one holder: enough to hide a round trip and the holder's fsync.
pub const UPLOADS_PER_HOLDER_MAX: usize = 4;
/// Uploads under way to all holders: bounds the bytes in memory and in kernel buffers.
pub const UPLOADS_TOTAL_MAX: usize = 12;
/// Calls in a row that a device which is only heard of leaves unanswered before the automatic policy
/// reckons without it. Some 5 s where it is refused at once, 100 s where nothing comes back: longer
/// than a network takes to come up, shorter than somebody waits for a backup.
pub const ACQUAINT_TRIES: u32 = 3;
/// Packs that are here only to be placed anew, after a holder lost its copy: 256 MiB at the most.
pub const BROUGHT_BACK_MAX: usize = 4;
/// An attempt to connect, hole punching included.
pub const CONNECT_MS_MAX: u64 = 30_000;
/// An answer to an offer: a holder looks up 512 rows and signs.
pub const OFFER_MS_MAX: u64 = 60_000;
/// A pack that is brought back to be placed anew: 64 MiB at 20 kB/s.
pub const BRING_BACK_MS_MAX: u64 = 3_600_000;
/// An upload without progress, the holder's fsync of 64 MiB on a slow disk included.
pub const UPLOAD_STALL_MS_MAX: u64 = 120_000;

/// Chunks that one audit asks for: one of them at least misses with 99 % when a hundredth of what a
/// holder keeps is gone. Their proofs, at most 1.5 KiB each, fit one frame.
pub const AUDIT_CHALLENGES_MAX: usize = 459;
/// From one audit of a holder to the next.
pub const AUDIT_EVERY_MS: u64 = 86_400_000;
/// From the first receipt of a holder to its first audit.
pub const AUDIT_FIRST_MS: u64 = 600_000;
/// An answer to an audit: 459 reads of a disk that was asleep.
pub const AUDIT_MS_MAX: u64 = 120_000;
/// Packs named in one part of a list of claims: half a frame.
pub const CLAIMS_PART_MAX: usize = 16_384;
/// Packs that a device may claim: the longest list that a holder listens to.
pub const CLAIMS_MAX: u64 = 4_194_304;
/// From one time that a device tells a holder what it claims to the next.
pub const CLAIM_EVERY_MS: u64 = 86_400_000;
/// How often a holder is told of a newer head while the list is short.
pub const CLAIM_SOON_MS: u64 = 900_000;
/// Packs of a short list.
pub const CLAIMS_SOON_MAX: u64 = 4_096;
/// An answer to all parts of a list of claims, and bringing both sides up to date before.
pub const CLAIM_MS_MAX: u64 = 600_000;
/// So far may the clock of a device be ahead of a holder's that listens to its claims.
pub const CLOCK_AHEAD_S_MAX: u64 = 86_400;
/// What is needed of packs that are made anew at once: a minute of reading from a holder nearby.
pub const REPACK_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// A pack with less waste is not worth making anew.
pub const REPACK_WASTE_BYTES_MIN: u64 = 1024 * 1024;
/// Packs that are made anew under the newest key at once: as much as collecting makes anew.
pub const REKEY_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// Commits that rekeying a large vault takes: each writes the whole index anew.
pub const REKEY_COMMITS_MAX: u64 = 64;
/// Milliseconds after the start of a node before rekeying goes on.
pub const REKEY_FIRST_MS: u64 = 60_000;
/// Milliseconds between two rounds of rekeying at least.
pub const REKEY_REST_MS_MIN: u64 = 15_000;
/// Milliseconds between two rounds of rekeying at most.
pub const REKEY_REST_MS_MAX: u64 = 21_600_000;
/// Rekeying rests so many times as long as its last round took, sending included.
pub const REKEY_REST_FACTOR: u64 = 3;
/// Milliseconds until rekeying tries again that met a backup or a restore.
pub const REKEY_BUSY_MS: u64 = 60_000;
/// What came to be unclaimed within so many days is looked at together.
pub const MASS_UNCLAIM_DAYS: u64 = 7;
/// When it is this part of all that is kept, or more, it is kept for longer: 1 in 4.
pub const MASS_UNCLAIM_PART: u64 = 4;
/// So many times as long.
pub const MASS_UNCLAIM_FACTOR: u64 = 3;
/// The shortest period in which everything that a device keeps can be read back.
pub const SCRUB_PERIOD_MS_MIN: u64 = 86_400_000;
/// From the start of a node to its first look at what is due; also from a look that failed to the next.
pub const SCRUB_FIRST_MS: u64 = 600_000;
/// From one look at everything that is kept to the next; what came since cannot be due before.
pub const SCRUB_LIST_MS: u64 = 86_400_000;
/// Where one shard is due, those that would be so much later are read as well: the disk sleeps meanwhile.
pub const SCRUB_GATHER_MS: u64 = 21_600_000;
/// After a shard, rest for so many times as long as it took to read: a tenth of the disk's time.
pub const SCRUB_REST_FACTOR: u64 = 9;
/// A shard that could not be looked at is tried again after so long.
pub const SCRUB_RETRY_MS: u64 = 86_400_000;
/// Shards noted in one commit.
pub const SCRUB_SEGMENT_SHARDS_MAX: usize = 64;
/// What was read is noted after so long at the latest: so much work a crash costs.
pub const SCRUB_NOTE_MS: u64 = 300_000;
/// Days by which the clocks of two devices may differ: a wrong time zone, and then some.
pub const CLOCK_DAYS_OFF_MAX: u64 = 1;
/// A device backs up by itself no more often than this.
pub const RECURRING_MS_MIN: u64 = 60_000;
/// From the start of a node, or from a new folder, to the first backup that it begins by itself.
pub const RECURRING_FIRST_MS: u64 = 300_000;
/// From one look at how old what is saved is to the next: so late a device is saved that has slept.
pub const RECURRING_LOOK_MS: u64 = 900_000;
/// After a backup that a device began by itself, it rests for so many times as long as that took.
pub const RECURRING_REST_FACTOR: u64 = 4;
/// And for no longer than this, or than the interval where that is longer.
pub const RECURRING_TIRED_MS_MAX: u64 = 3_600_000;
/// From the first backup that failed to the next; then twice as long each time, up to the interval.
pub const RECURRING_RETRY_MS: u64 = 600_000;
/// On battery a device backs up by itself no more often than this.
pub const RECURRING_BATTERY_MS: u64 = 86_400_000;
/// Snapshots that a device made by itself are thinned out no more often than this.
pub const RECURRING_THIN_MS: u64 = 86_400_000;
/// Parts of files that a restore drill reads.
pub const DRILL_PARTS_MAX: usize = 64;
/// Those of them that are drawn by files and not by bytes: small files are missed as well.
pub const DRILL_PARTS_BY_FILE: usize = 16;
/// What a restore drill reads of one file at once: 256 MiB in all.
pub const DRILL_PART_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// After so many days without a restore drill a word is due.
pub const DRILL_ADVISED_DAYS: u64 = 90;
/// After more days without a proof that the phrase works a word is due.
pub const PHRASE_ADVISED_DAYS: u64 = 365;
/// Rates of one day.
pub const PACING_ENTRIES_MAX: usize = 24;
/// Who was idle sends so much of its rate at once, in milliseconds.
pub const PACING_BURST_MS: u64 = 500;
/// Bytes of an upload that go at once within a rate.
pub const PACING_SLICE_BYTES: usize = 16 * 1024;
/// Lowest rate of uploads, in bytes a second: each of [`UPLOADS_TOTAL_MAX`] at once gets more than the
/// 4 KiB/s below which a holder gives an upload up.
pub const PACING_UP_MIN: u64 = 64 * 1024;
/// Longest text of a key file; the longest sealed one has 278 bytes.
pub const KEY_FILE_BYTES_MAX: usize = 512;
/// Characters of a new passphrase (NIST SP 800-63B).
pub const PASSPHRASE_CHARACTERS_MIN: usize = 8;
/// Longest passphrase, in bytes of UTF-8 as typed.
pub const PASSPHRASE_BYTES_MAX: usize = 1024;
/// Memory of one guess at a passphrase, in KiB. Source: RFC 9106, section 4, second option.
pub const SEAL_MEMORY_KIB: u32 = 65_536;
/// Passes over it. Source: the same.
pub const SEAL_PASSES: u32 = 3;
/// Lanes. Source: the same.
pub const SEAL_LANES: u32 = 4;
/// A key file that asks for more memory is refused: 1 GiB.
pub const SEAL_MEMORY_KIB_MAX: u32 = 1_048_576;
/// A key file that asks for more passes is refused.
pub const SEAL_PASSES_MAX: u32 = 16;
/// A key file that asks for more lanes is refused.
pub const SEAL_LANES_MAX: u32 = 16;
/// A holder is called so often to see whether it is there, unless it is heard of otherwise. Eight calls
/// a day and holder: what a machine without anything else to do sends.
pub const WATCH_EVERY_MS: u64 = 10_800_000;
/// A start greets everybody; who was not heard of by then is called.
pub const WATCH_FIRST_MS: u64 = 300_000;
/// An answer to such a call, connecting included.
pub const WATCH_ANSWER_MS_MAX: u64 = 60_000;
/// Of the time between two calls no more than this counts, in seconds: twice the usual.
pub const WATCH_CREDIT_S: u64 = 21_600;
/// After so much time that counts, in seconds, a device's own absences say more than what it is.
pub const WATCH_LEARN_S: u64 = 1_209_600;
/// What was never off for longer, in seconds, is as good as always on: 8 hours, less than a night.
pub const WATCH_STEADY_S: u64 = 28_800;
/// Times the longest absence that it came back from.
pub const WATCH_FACTOR: u64 = 3;
/// Nobody is presumed lost sooner, in seconds: 72 hours. So long it takes with what is always on.
pub const WATCH_LIMIT_S_MIN: u64 = 259_200;
/// Nor later: 60 days.
pub const WATCH_LIMIT_S_MAX: u64 = 5_184_000;
/// Before anything is learnt, of a laptop or what nobody said anything of: 14 days.
pub const WATCH_START_LAPTOP_S: u64 = 1_209_600;
/// The same of a phone: 30 days.
pub const WATCH_START_PHONE_S: u64 = 2_592_000;
/// What is remembered of one holder's comings and goings.
pub const WATCH_HISTORY_BYTES_MAX: usize = 1_024;
/// A device that shows itself is not tried again at the same address within it.
pub const DISCOVERY_AGAIN_MS: u64 = 30_000;
/// Nor at more addresses than that.
pub const DISCOVERY_TRIES_MAX: usize = 4;
/// Beacons in a minute: more than any home shows.
pub const DISCOVERY_SEEN_MAX: usize = 256;
/// Uploads that a holder receives at once from one caller: twice what a source sends at once.
pub const PUTS_PER_CALLER_MAX: usize = 8;
/// Uploads that a holder receives at once from all callers: bounds files, tasks and buffers.
pub const PUTS_TOTAL_MAX: usize = 32;

/// Data shards of a coded pack: a range is rebuilt from so many holders at once.
pub const CODING_DATA_SHARDS_MAX: u8 = 32;
/// Shards of a coded pack: three for each device of a large circle. The field would allow 256.
pub const CODING_SHARDS_MAX: u8 = 64;
/// The record of a coded pack with so many shards.
pub const CODED_PACK_BYTES_MAX: usize = 2191;

/// Parents of one log entry: one for each branch that it joins.
pub const LOG_PARENTS_MAX: usize = 64;
/// A text that a person gave (name of a device, site), in bytes of UTF-8.
pub const TEXT_BYTES_MAX: usize = 256;
/// Addresses of one node, and the bytes of each in text form.
pub const ADDRESSES_MAX: usize = 16;
/// One address in text form.
pub const ADDRESS_BYTES_MAX: usize = 256;
/// A ticket's content, before it becomes text.
pub const TICKET_BYTES_MAX: usize = 8 * 1024;
/// A whole pairing must be over after this: both persons sit before their screens.
pub const PAIRING_MS_MAX: u64 = 120_000;
/// How long a person may take to compare words on two screens; then the answer is no.
pub const PAIRING_ASKING_MS_MAX: u64 = 300_000;

/// One entry of an audit trail; two texts of [`TEXT_BYTES_MAX`] fit.
pub const TRAIL_ENTRY_BYTES_MAX: usize = 1024;
/// Entries that a node keeps; the oldest go.
pub const TRAIL_ENTRIES_MAX: usize = 4096;
/// Whoever comes with one phrase is noted so often, however often he calls.
pub const TRAIL_CALLER_MS: u64 = 3_600_000;
/// Vaults of which is remembered when somebody with their phrase was noted.
pub const TRAIL_CALLERS_MAX: usize = 1024;

/// What is asked from one holder at once: large enough to hide a round trip at home speeds, small
/// enough to spread one shard over several holders. A multiple of [`GROUP_BYTES`].
pub const STRIPE_BYTES: u64 = 1024 * 1024;
/// Stripes in flight from one holder.
pub const FETCH_STRIPES_PER_HOLDER_MAX: usize = 16;
/// Bytes in flight from all holders: bounds memory of a restore.
pub const FETCH_BYTES_TOTAL_MAX: u64 = 32 * 1024 * 1024;
/// Shards wanted at once; a restore with more holds the rest back.
pub const FETCH_WANTS_MAX: usize = 4096;
/// A stripe without a verified group for so long is given up.
pub const STRIPE_STALL_MS_MAX: u64 = 10_000;
/// So long nobody could be asked for a shard, and it is reported.
pub const FETCH_PATIENCE_MS: u64 = 60_000;
const _: () = assert!(STRIPE_BYTES.is_multiple_of(GROUP_BYTES));

/// Holders that one vault knows: its own devices and those of a circle.
pub const HOLDERS_MAX: usize = 1024;
/// An answer with device log and heads, connecting included.
pub const HEADS_MS_MAX: u64 = 20_000;
/// The first frame of a pairing: before it, anybody may be at the other end.
pub const PAIRING_HELLO_MS_MAX: u64 = 10_000;
/// Bytes of that frame.
pub const PAIRING_HELLO_BYTES_MAX: usize = 512;
/// A meeting by a spoken code must be over after this.
pub const MEETING_MS_MAX: u64 = 10_000;
/// Bytes of one of its frames: a ticket in base32, sealed.
pub const MEETING_FRAME_BYTES_MAX: usize = 2 * TICKET_BYTES_MAX;
/// Longest that a spoken code is good for.
pub const SPOKEN_CODE_S_MAX: u64 = 300;
/// Wrong guesses after which another code is made for one invitation; none after the next.
pub const SPOKEN_GUESSES_MAX: u32 = 4;
/// Within so long whoever was given an invitation by a code comes with it; then there is another code.
pub const SPOKEN_COMES_MS_MAX: u64 = 30_000;
/// After a code was used there is one for the next person, where an invitation serves several.
pub const SPOKEN_NEXT_MS: u64 = 2_000;
/// Where no code can be made it is tried again.
pub const SPOKEN_AGAIN_MS: u64 = 30_000;
/// Nodes told of in one pairing, and the bytes of their records together.
pub const PAIRING_PEERS_MAX: usize = 1024;
/// See [`PAIRING_PEERS_MAX`].
pub const PAIRING_PEERS_BYTES_MAX: usize = FRAME_BYTES_MAX / 2;

/// Relays of one node. It keeps a connection to one of them.
pub const RELAYS_MAX: usize = 4;
/// Random bytes of a token that admits to a relay: nobody finds one by trying.
pub const RELAY_TOKEN_BYTES: usize = 16;
/// Invitations of one relay.
pub const RELAY_INVITATIONS_MAX: usize = 4096;
/// Sockets of a relay that have not shown yet whose they are.
pub const RELAY_ARRIVALS_MAX: usize = 512;
/// Sockets from one address, clients among them: a large household, or some behind one address.
pub const RELAY_CONNECTIONS_PER_ADDRESS_MAX: usize = 64;
/// Connections of one key: one, and those that were lost without a word.
pub const RELAY_CONNECTIONS_PER_KEY_MAX: usize = 4;
/// Connections with one token: the devices of a family and its friends.
pub const RELAY_CONNECTIONS_PER_INVITATION_MAX: usize = 64;
/// So often sockets may come from one address, in the long run.
pub const RELAY_ARRIVAL_MS: u64 = 500;
/// So many may come at once after a while without any: all nodes of a house, after a power cut.
pub const RELAY_ARRIVALS_BURST: u64 = 120;
/// Addresses of which is remembered how often they came.
pub const RELAY_SOURCES_MAX: usize = 8192;
/// A socket must be a client's, or have been answered, after this: slow ones do not take places.
pub const RELAY_ARRIVAL_MS_MAX: u64 = 15_000;
/// What a holder says of itself in a locator record, encoded.
pub const WHEREABOUTS_BYTES_MAX: usize = 1022;
/// A locator record: always so long, whatever is in it.
pub const LOCATOR_RECORD_BYTES: usize = 1176;
/// Records of one slot: a large circle.
pub const LOCATOR_RECORDS_PER_SLOT_MAX: usize = 32;
/// Those of one slot from one address: the devices of a household that hold one vault.
pub const LOCATOR_RECORDS_PER_SLOT_AND_ADDRESS_MAX: usize = 8;
/// Records from one address, of all slots.
pub const LOCATOR_RECORDS_PER_ADDRESS_MAX: usize = 64;
/// Records of one relay: 10 MB.
pub const LOCATOR_RECORDS_MAX: usize = 8192;
/// A relay keeps a record for so long: 36 hours.
pub const LOCATOR_RECORD_MS: u64 = 129_600_000;
/// A holder leaves its record anew so often, that is, six times before it would be gone.
pub const LOCATOR_PUBLISH_MS: u64 = 21_600_000;
/// A holder whose connection with a relay has changed leaves its record anew after so long: the relay may
/// have forgotten all, and one that comes and goes is not told each time.
pub const LOCATOR_SETTLE_MS: u64 = 20_000;
/// Devices that may hold a vault of which nothing but the phrase is known.
pub const SEEK_CANDIDATES_MAX: usize = 64;
/// Those of them that call from one address: nobody fills the search from one.
pub const SEEK_CALLERS_PER_ADDRESS_MAX: usize = 4;
/// Addresses of a holder that are taken from its record: it is looked for behind the relays in any case.
pub const SEEK_ADDRESSES_OF_RECORD_MAX: usize = 4;
/// Those that are asked at once.
pub const SEEK_ASKED_MAX: usize = 8;
/// Times that one that did not answer is asked when it shows itself again.
pub const SEEK_ASKED_AGAIN_MAX: u8 = 3;
/// Nobody is waited for longer who might still show himself.
pub const SEEK_MS_MAX: u64 = 20_000;
/// Once one has answered, so long others may come as well.
pub const SEEK_SETTLE_MS: u64 = 1_500;

/// Guardians of one vault.
pub const GUARDIANS_MAX: usize = 16;
/// Bytes of a guardian's name in a set, and of the name of a machine in a request.
pub const GUARDIAN_NAME_BYTES_MAX: usize = 64;
/// Bytes of a signed set of guardians.
pub const GUARDIANS_RECORD_BYTES_MAX: usize = 8192;
/// The longest delay before a holder gives the sealed phrase out: 366 days.
pub const GUARDIAN_DELAY_S_MAX: u64 = 366 * 24 * 60 * 60;
/// Days after which a device that has appointed guardians lets go of the sealed phrase, if a holder has it.
pub const GUARDIAN_HANDING_DAYS: u64 = 7;
/// Sets of guardians of which somebody who asks for help takes shares.
pub const GATHERED_SETS_MAX: usize = 4;
/// Bytes of a signed request for the phrase, and of a signed stop.
pub const RELEASE_RECORD_BYTES_MAX: usize = 512;
/// Requests for the phrase of one vault that a holder keeps.
pub const RELEASE_REQUESTS_MAX: usize = 16;
/// Bytes of all that a node keeps of one vault's guardians.
pub const GUARD_BYTES_MAX: usize = 32768;
/// Nodes that a guardian names to whoever asks for help.
pub const GUARDIAN_HOLDERS_MAX: usize = 32;
/// Bytes of what a guardian hands over.
pub const HANDED_BYTES_MAX: usize = 262_144;
/// Bytes of all that somebody who asks for help has gathered.
pub const GATHERING_BYTES_MAX: usize = 17 * HANDED_BYTES_MAX;

// Tending: specs/tending.md.

/// Holders that a device introduces to each other.
pub const FELLOWS_MAX: usize = 32;
/// Copies of each pack that a device may want.
pub const COPIES_MAX: u8 = 32;
/// Bytes of a signed introduction.
pub const INTRODUCTION_BYTES_MAX: usize = 16_384;
/// Devices of one vault whose introductions are kept.
pub const INTRODUCTIONS_MAX: usize = 32;
/// Bytes of the file that keeps them.
pub const INTRODUCTIONS_BYTES_MAX: usize = 33 * INTRODUCTION_BYTES_MAX;
/// Packs in a list of claims that is kept to be shown to fellows.
pub const CLAIMED_ROOTS_MAX: usize = 262_144;
/// Bytes of the file that keeps one.
pub const CLAIMED_BYTES_MAX: usize = 33 * CLAIMED_ROOTS_MAX;
/// Roots in one answer with claims, and shards in one of what is kept.
pub const INVENTORY_PART_MAX: usize = 8_192;
/// How often silence is counted.
pub const TEND_TICK_MS: u64 = 3_600_000;
/// Seconds of silence from which on it is noted: longer than between two greetings.
pub const TEND_NOTE_S: u64 = 14_400;
/// Seconds that count of the time between two such counts, at most.
pub const TEND_CREDIT_S: u64 = 7_200;
/// Seconds without a sign of any device after which a vault is unattended.
pub const TEND_SILENCE_S: u64 = 259_200;
/// Between two rounds of one vault.
pub const TEND_EVERY_MS: u64 = 86_400_000;
/// The same while something is missing that is another node's turn.
pub const TEND_SHORT_MS: u64 = 21_600_000;
/// From the start of a node to the first round.
pub const TEND_FIRST_MS: u64 = 600_000;
/// To the next round while there is more to do.
pub const TEND_AGAIN_MS: u64 = 3_000;
/// How long all fellows may take to tell what they keep.
pub const TEND_ANSWER_MS_MAX: u64 = 600_000;
/// How long one pack may take to come.
pub const TEND_FETCH_MS_MAX: u64 = 3_600_000;
/// Packs that are fetched at once.
pub const TEND_FETCHES_MAX: usize = 2;
/// Packs that are fetched in one round.
pub const TEND_BATCH_MAX: usize = 1_024;
/// Shards that a fellow may say it keeps beyond twice what is needed.
pub const TEND_UNTOLD_MAX: usize = 4_096;
/// Shards of which a fellow has to show a chunk before it is believed what it keeps.
pub const TEND_SAMPLE: usize = 16;
/// Seconds of silence after which nothing is counted on that a fellow keeps.
pub const TEND_FELLOW_GONE_S: u64 = 1_209_600;
/// Seconds that count of the time between two silences of a fellow, at most.
pub const TEND_ABSENCE_S: u64 = 129_600;
/// Bytes of what is noted of a vault whose devices are silent.
pub const TEND_VIGIL_BYTES_MAX: usize = 4_096;

// Errands: specs/errands.md.

/// Packs in one errand.
pub const ERRAND_PACKS_MAX: usize = 2_048;
/// Bytes of a signed errand.
pub const ERRAND_BYTES_MAX: usize = 196_608;
/// Bytes of a signed reply.
pub const REPLY_BYTES_MAX: usize = 512;
/// Errands of one vault that a holder keeps.
pub const ERRANDS_MAX: usize = 64;
/// Bytes of the file that keeps one, with its receipts and its reply.
pub const ERRAND_FILE_BYTES_MAX: usize = 1_048_576;
/// Receipts in one message with a reply.
pub const REPLY_RECEIPTS_MAX: usize = 1_024;
/// From a change to when a device looks at what its errands are to say.
pub const ERRAND_PAUSE_MS: u64 = 5_000;
/// The same again for each pack that errands name: long ones are not sent all the time.
pub const ERRAND_PAUSE_PACK_MS: u64 = 10;
/// Age of an errand at which it is made anew though it says the same.
pub const ERRAND_RENEW_MS: u64 = 43_200_000;
/// How often replies are asked for while errands are out.
pub const ERRAND_ASK_MS: u64 = 600_000;
/// How long errands are out without a receipt until one more site has its turn.
pub const ERRAND_VAIN_MS: u64 = 86_400_000;
/// How long leaving errands at one holder, or asking it for replies, may take.
pub const ERRAND_MS_MAX: u64 = 60_000;
/// From the start of a node to when it asks for errands.
pub const ERRAND_FIRST_MS: u64 = 5_000;
/// Between two times that it asks.
pub const ERRAND_EVERY_MS: u64 = 3_600_000;
/// How often it looks whether the machine has slept.
pub const ERRAND_LOOK_MS: u64 = 300_000;
/// By how much the wall clock must have gone on beyond the other one.
pub const ERRAND_SLEPT_MS: u64 = 90_000;
/// The same when it has fetched something and there is more to do.
pub const ERRAND_AGAIN_MS: u64 = 30_000;
/// Packs that are fetched at once for one errand.
pub const ERRAND_FETCHES_MAX: usize = 4;
/// After so long no more is begun to be fetched from one node within a round: who is slow on purpose keeps a holder from
/// nothing else for long.
pub const ERRAND_CARRIER_MS_MAX: u64 = 900_000;
/// Packs after which receipts are left.
pub const ERRAND_BATCH_MAX: usize = 64;

// Leaving: specs/leaving.md.

/// Bytes of a signed word.
pub const LEAVING_WORD_BYTES_MAX: usize = 512;
/// Words that a node keeps.
pub const LEAVING_WORDS_MAX: usize = 1_024;
/// Vaults about which one device may have said something.
pub const LEAVING_OTHERS_MAX: usize = 64;
/// Words in one message: all that a node keeps, and its own.
pub const LEAVING_PART_MAX: usize = 1_280;
/// Days that a node sees before it erases what every device of a vault has waived.
pub const LEAVING_DAYS: u32 = 90;
/// Seconds after which another day has been seen.
pub const LEAVING_DAY_S: u64 = 72_000;
/// Between two looks at whether everything is elsewhere by now.
pub const LEAVING_LOOK_MS: u64 = 10_000;
/// Between two looks at the calendar, and at who has not been told.
pub const LEAVING_TELL_MS: u64 = 600_000;

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    /// Every constant of this file by name, its expression worked out from left to right.
    fn constants() -> BTreeMap<&'static str, u64> {
        let mut known: BTreeMap<&str, u64> = BTreeMap::new();
        for line in include_str!("limits.rs").lines() {
            let Some((name, rest)) =
                line.strip_prefix("pub const ").and_then(|l| l.split_once(':'))
            else {
                continue;
            };
            let expression = rest.split_once('=').expect("a constant has a value").1;
            let mut words = expression.trim().trim_end_matches(';').split(' ');
            let value = |word: &str| {
                known.get(word).copied().unwrap_or_else(|| {
                    word.replace('_', "").parse().expect("a number or a constant from above")
                })
            };
            let mut result = value(words.next().expect("an expression has a word"));
            while let Some(operator) = words.next() {
                let operand = value(words.next().expect("an operator has an operand"));
                result = if operator == "*" { result * operand } else { result / operand };
            }
            known.insert(name, result);
        }
        known
    }

    // LIMITS-1
    #[test]
    fn the_page_of_limits_names_every_constant_with_its_value() {
        let page = include_str!("../../specs/limits.md");
        let constants = constants();
        let mut written = BTreeMap::new();
        for line in page.lines().filter(|line| line.starts_with("| `")) {
            let mut cells = line.split('|').map(|cell| cell.trim().trim_matches('`')).skip(1);
            let name = cells.next().expect("a name");
            let value: u64 = cells.next().expect("a value").parse().expect("a number");
            written.insert(name, value);
        }
        assert_eq!(written, constants);
    }
}

//! Ten thousand guesses at the codes of inviters who wait, each through the real key exchange.

use rand_chacha::{
    ChaCha8Rng,
    rand_core::{Rng as _, SeedableRng as _},
};

use super::{NOW, START, Side};
use crate::{
    limits::SPOKEN_GUESSES_MAX,
    meeting::{
        Audience, Channel, Ending, Failed, Guest, Host, Input, NoMore, Offer, Output, Party as _,
        Refusal, Renewal, RenewalInput, RenewalOutput, SpokenCode, Why, code::CHANNELS,
        frame::Frame,
    },
    ticket::{Invite, InviteSecret},
    wire::frame::FRAME_PREFIX_BYTES,
};

const GUESSES: u32 = 10_000;

/// What a code's host and whoever tried it did.
struct Tried {
    at_host: Side,
    at_guest: Side,
}

/// A code that is open, and its invitation.
struct Door {
    code: SpokenCode,
    invite: Invite,
    offer: Offer,
}

impl Door {
    /// Somebody comes, with these words, and goes as far as he can.
    fn tried_with(&mut self, words: &SpokenCode, rng: &mut ChaCha8Rng) -> Tried {
        let mut host = Host::new(self.code.clone(), self.invite.clone(), random(rng), START);
        let mut guest = Guest::new(words, random(rng), START);
        let mut tried = Tried { at_host: Side::default(), at_guest: Side::default() };
        while tried.at_host.ending.is_none() || tried.at_guest.ending.is_none() {
            while let Some(output) = guest.poll_output() {
                match output {
                    Output::Send(frame) => host.handle_input(START, body(&frame)),
                    Output::Take => panic!("a guest has nothing to take"),
                    Output::Ended(ending) => tried.at_guest.ending = Some(ending),
                }
            }
            while let Some(output) = host.poll_output() {
                match output {
                    Output::Send(frame) => {
                        tried.at_host.sent.push(frame[FRAME_PREFIX_BYTES..].to_vec());
                        guest.handle_input(START, body(&frame));
                    }
                    Output::Take => {
                        tried.at_host.taken += 1;
                        // The invitation is open for all that time.
                        let taken = self.offer.take(NOW, [self.invite.id()]);
                        host.handle_input(START, Input::Taken(taken));
                    }
                    Output::Ended(ending) => tried.at_host.ending = Some(ending),
                }
            }
        }
        tried
    }
}

impl Tried {
    /// Both sides know why it came to nothing, and the guest was told that and a point of the curve.
    fn assert_refused(&self, reason: Refusal, failed: Failed) {
        assert_eq!(self.at_host.ending, Some(Ending::Failed(failed)));
        assert_eq!(self.at_guest.ending, Some(Ending::Failed(failed)));
        assert_eq!(self.at_host.taken, 1);
        let told: Vec<_> = self.at_host.sent.iter().map(|frame| Frame::decode(frame)).collect();
        let [Ok(Frame::Answer { .. }), Ok(Frame::Refuse { reason: said })] = &told[..] else {
            panic!("it was told {told:?}")
        };
        assert_eq!(*said, reason);
    }
}

fn random<const N: usize>(rng: &mut ChaCha8Rng) -> [u8; N] {
    let mut bytes = [0; N];
    rng.fill_bytes(&mut bytes);
    bytes
}

fn body(frame: &[u8]) -> Input {
    Input::Frame(frame[FRAME_PREFIX_BYTES..].to_vec())
}

/// What an attacker who guesses knows.
struct Attacker {
    rng: ChaCha8Rng,
    /// The burnt code of each channel, which he has heard meanwhile.
    heard: Vec<Option<SpokenCode>>,
}

impl Attacker {
    /// The words that were right at this number before, or any.
    fn guess(&mut self, channel: Channel) -> SpokenCode {
        let heard = self.heard[usize::from(channel.number())].take();
        heard.unwrap_or_else(|| SpokenCode::random(channel, random(&mut self.rng)))
    }
}

// MEET-17
#[test]
fn ten_thousand_guesses_burn_ten_thousand_codes_and_bring_nothing() {
    let (mut rng, mut channel) = (ChaCha8Rng::seed_from_u64(10_000), Channel::new(990).unwrap());
    let heard = vec![None; usize::from(CHANNELS) + 1];
    let mut attacker = Attacker { rng: ChaCha8Rng::seed_from_u64(1), heard };
    let (mut guesses, mut inviters) = (0, 0);
    while guesses < GUESSES {
        inviters += 1;
        let invite = Invite { secret: InviteSecret(random(&mut rng)), ..super::invite() };
        let (mut codes, mut of_this_one) = (Renewal::new(Audience::One), 0);
        let mut door = None;
        loop {
            match codes.poll_output().expect("it waits for nothing but guesses") {
                RenewalOutput::Open => {
                    channel = channel.following();
                    let code = SpokenCode::random(channel, random(&mut rng));
                    let offer = Offer::new(&invite, NOW);
                    door = Some(Door { code, invite: invite.clone(), offer });
                    codes.handle_input(START, RenewalInput::Opened);
                }
                RenewalOutput::Show(why) => {
                    assert_eq!(why, if of_this_one == 0 { Why::First } else { Why::Guessed });
                    let door = door.as_mut().expect("a code was ordered before");
                    let guess = attacker.guess(channel);
                    assert_ne!(guess.to_text(), door.code.to_text(), "one chance in 2^33");
                    let tried = door.tried_with(&guess, &mut rng);
                    tried.assert_refused(Refusal::WrongCode, Failed::WrongCode);
                    // Burnt: the right words come too late.
                    let late = door.tried_with(&door.code.clone(), &mut rng);
                    late.assert_refused(Refusal::Gone, Failed::Gone);
                    attacker.heard[usize::from(channel.number())] = Some(door.code.clone());
                    (guesses, of_this_one) = (guesses + 1, of_this_one + 1);
                    codes.handle_input(START, RenewalInput::Tried);
                    codes.handle_input(START, RenewalInput::Guessed);
                }
                RenewalOutput::Ended(why) => {
                    assert_eq!(why, NoMore::Guessed);
                    break;
                }
            }
        }
        assert_eq!(of_this_one, SPOKEN_GUESSES_MAX + 1, "then this inviter has no more codes");
        assert_eq!(codes.poll_timeout(), None, "and does not come back to it");
    }
    assert_eq!(inviters, GUESSES.div_ceil(SPOKEN_GUESSES_MAX + 1));
    // At the next number, in the eleventh round of all numbers, the right words are good.
    let code = SpokenCode::random(channel.following(), random(&mut rng));
    let (invite, words) = (super::invite(), code.clone());
    let offer = Offer::new(&invite, NOW);
    let tried = Door { code, invite, offer }.tried_with(&words, &mut rng);
    assert_eq!(tried.at_guest.ending, Some(Ending::Invited(Box::new(super::invite()))));
}

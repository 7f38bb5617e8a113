//! How the source's shell introduces the holders of its vault to each other.

use larder_protocol::{
    limits::COPIES_MAX,
    tending::{
        Fellow, Introduction,
        introduction::{IntroductionBody, VERSION},
    },
};

use super::{Here, Source};
use crate::event::{Line, ToHolder};

impl Source {
    /// A holder was met, which has the introduction of this number: it is told who else holds, unless it
    /// knows.
    pub(super) fn introduce(&self, here: &mut Here<'_>, line: Line, introduced: u64) {
        if here.shared.circle.devices[line.link.holder].vault == here.vault {
            return;
        }
        let introduction = self.introduction(here);
        if introduction.body().number != introduced {
            let introduction = introduction.bytes().to_vec();
            here.shared.tell_holder(line, ToHolder::Introduce { introduction });
        }
    }

    /// What this device says now: made anew, and durable here first, when it is something else than it said
    /// last.
    fn introduction(&self, here: &mut Here<'_>) -> Introduction {
        let body = self.introduction_body(here);
        let known = here.disk.image.introductions.get(&here.vault);
        let last = known.and_then(|known| known.of(&body.device)).cloned();
        if let Some(last) = last.as_ref().filter(|last| last.body().says_the_same(&body)) {
            return last.clone();
        }
        let clock = here.shared.wall(here.clock_off_s);
        let number = clock.number_after(last.map_or(0, |last| last.body().number));
        let keys = &here.shared.circle.devices[here.number].keys;
        let made = Introduction::sign(IntroductionBody { number, ..body }, keys)
            .expect("a few holders without addresses");
        let log = &here.shared.circle.vaults[here.vault].log;
        here.disk.image.introductions.entry(here.vault).or_default().offer(made.clone(), log);
        made
    }

    fn introduction_body(&self, here: &Here<'_>) -> IntroductionBody {
        let circle = &here.shared.circle;
        let outside = || circle.outside(here.vault).map(|number| &circle.devices[number]);
        let sites: std::collections::BTreeSet<usize> = outside().map(|it| it.site).collect();
        let copies = self.policy.copies.wanted(sites.len());
        let mut holders: Vec<Fellow> = outside()
            .map(|it| {
                let site = circle.site_tag(here.vault, it.site);
                Fellow { device: it.id, site, addresses: Vec::new() }
            })
            .collect();
        holders.sort_by_key(|fellow| fellow.device);
        IntroductionBody {
            version: VERSION,
            vault: self.vault,
            device: circle.devices[here.number].id,
            // Given where it is signed.
            number: 1,
            copies: u8::try_from(copies).unwrap_or(COPIES_MAX).clamp(1, COPIES_MAX),
            holders,
        }
    }
}

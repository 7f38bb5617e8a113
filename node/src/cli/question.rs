//! Asks a person whether somebody is let in, or whether to join.

use super::{consent, escape};
use crate::command::{About, ByteSize, Command, DeviceRole, InviteKind, Question};

/// What is asked.
fn text(question: &Question) -> String {
    let words = escape::visible_text(&question.words).to_uppercase();
    let same = format!("has to show the same two words:  {words}");
    let (what, ask) = match &question.about {
        About::Device { name, site, role } => (
            format!(
                "{}, at site {}, wants to be a device of this vault, as {}.\n\
                 It may {}.",
                escape::visible_text(name),
                escape::visible_text(site),
                called(*role),
                role.rights(),
            ),
            format!("Its screen {same}\nAre they the same there, and is it let in?"),
        ),
        About::Vault { vault, name, site, granted_bytes, offered_bytes } => (
            format!(
                "{}, at site {}, of vault {} wants to join your circle.\n\
                 Each would keep sealed copies for the other, which it cannot read: this device up to {}, \
                 that one up to {}.",
                escape::visible_text(name),
                escape::visible_text(site),
                vault.get(..8).unwrap_or(vault),
                ByteSize(*offered_bytes),
                ByteSize(*granted_bytes),
            ),
            format!("Its screen {same}\nAre they the same there, and is it let in?"),
        ),
        About::Joining { kind, role } => (
            match kind {
                InviteKind::Device => format!(
                    "This home becomes a device of the vault that invites it, as {}: all devices of that \
                     vault will read what is backed up here.\n\
                     This device may {}.",
                    called(*role),
                    role.rights(),
                ),
                InviteKind::OneWay => "The vault that invites this one keeps sealed copies for it, which it \
                     cannot read, and gets nothing to keep."
                    .to_owned(),
                InviteKind::Circle => {
                    "This vault and the one that invites it will keep sealed copies for each other, which \
                     neither can read."
                        .to_owned()
                }
            },
            format!("The screen there, if somebody waits before it, {same}\nDoes it, and shall it go on?"),
        ),
    };
    format!("\n{what}\n{ask}")
}

const fn called(role: DeviceRole) -> &'static str {
    match role {
        DeviceRole::Owner => "an owner",
        DeviceRole::Member => "a member",
    }
}

/// Asks on this terminal. Where nothing can be read it is a no, and nobody is kept waiting for it.
pub(super) async fn answer(question: Question) -> Command {
    let yes = consent::is_given(text(&question)).await.unwrap_or(false);
    Command::Answer { question: question.number, yes }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(about: About) -> Question {
        Question { number: 1, words: "maple orbit".to_owned(), about }
    }

    // PAIR-17, PAIR-20
    #[test]
    fn the_question_says_what_is_given() {
        let (name, site) = ("phone\u{1b}[2J".to_owned(), "home".to_owned());
        let role = DeviceRole::Member;
        let as_member =
            text(&question(About::Device { name: name.clone(), site: site.clone(), role }));
        assert!(as_member.contains("can not invite, remove or name"), "{as_member}");
        let shown = text(&question(About::Joining { kind: InviteKind::Device, role }));
        assert!(shown.contains("as a member") && shown.contains("can not invite"), "{shown}");
        let role = DeviceRole::Owner;
        let shown = text(&question(About::Device { name, site, role }));
        assert!(shown.contains("as an owner") && shown.contains("and invite, remove"), "{shown}");
        assert!(shown.contains("read everything") && shown.contains("MAPLE ORBIT"), "{shown}");
        assert!(!shown.contains('\u{1b}'), "{shown}");
        let shown = text(&question(About::Vault {
            vault: "ab".repeat(32),
            name: "nas".to_owned(),
            site: "parents".to_owned(),
            granted_bytes: 200_000_000_000,
            offered_bytes: 500_000_000_000,
        }));
        assert!(shown.contains("of vault abababab wants"), "{shown}");
        assert!(shown.contains("up to 500 GB, that one up to 200 GB"), "{shown}");
        let shown = text(&question(About::Joining { kind: InviteKind::Device, role }));
        assert!(shown.contains("read what is backed up here"), "{shown}");
    }
}

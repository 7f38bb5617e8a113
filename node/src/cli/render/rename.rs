//! A renamed device, for people.

use super::{line, plain};
use crate::command::RenameOutcome;

pub(super) fn rename(text: &mut String, done: &RenameOutcome) {
    let (name, before) = (plain(&done.name), plain(&done.before));
    if name == before {
        return line(text, &format!("{name} is called so already"));
    }
    line(text, &format!("{before} is called {name} now."));
    let names =
        |names: &[String]| names.iter().map(|name| plain(name)).collect::<Vec<String>>().join(", ");
    if !done.not_told.is_empty() {
        let not_told = names(&done.not_told);
        line(text, &format!("Not reached, told when they are met: {not_told}."));
    }
}

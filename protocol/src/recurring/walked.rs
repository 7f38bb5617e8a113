//! Whether a folder that nobody looks after may be saved as it was found. Source: specs/recurring.md,
//! RECUR-11.

/// What a walk of a folder has found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Walked {
    /// Regular files.
    pub files: u64,
    /// Directories, the folder itself among them.
    pub directories: u64,
    /// Everything else.
    pub others: u64,
    /// What could not be read.
    pub unreadable: u64,
}

impl Walked {
    /// Whether this is more likely a disk that is not there, or not to be read, than what somebody wants to be
    /// saved. `files_before` are the most files of a snapshot of it that counts: the newest complete one and
    /// those after it; `None` where there is none. Nothing after nothing is as it should be.
    pub fn looks_lost(&self, files_before: Option<u64>) -> bool {
        let is_bare = self.others == 0 && self.directories <= 1;
        self.files == 0 && (is_bare || self.unreadable > 0) && files_before != Some(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // RECUR-11
    #[test]
    fn nothing_is_suspicious_unless_there_was_nothing_before() {
        let bare = Walked { directories: 1, ..Walked::default() };
        assert!(bare.looks_lost(Some(1)) && bare.looks_lost(None));
        assert!(!bare.looks_lost(Some(0)), "somebody has said so");
        let tree = Walked { directories: 2, ..bare };
        assert!(!tree.looks_lost(Some(9)), "somebody has tidied up");
        assert!(Walked { unreadable: 1, ..tree }.looks_lost(Some(9)), "not to be read");
        assert!(!Walked { others: 1, ..bare }.looks_lost(Some(9)), "a link is left");
        let some = Walked { files: 1, unreadable: 8, ..tree };
        assert!(!some.looks_lost(Some(9)), "some can be read, and the rest is told of");
    }
}

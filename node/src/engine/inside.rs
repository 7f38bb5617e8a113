//! Which path in a snapshot a person means.
//!
//! Paths count from the root of the snapshot. People also give the whole path that a file had on
//! its device, and every command takes both.

/// The names of a path; empty ones and `.` are none. `..` takes back the name before it, as far as
/// there is one: earlier versions recorded the paths of folders as they were typed.
pub(crate) fn components(path: &[u8]) -> Vec<&[u8]> {
    let mut names = Vec::new();
    for name in path.split(|byte| *byte == b'/') {
        match name {
            b"" | b"." => {}
            b".." => {
                names.pop();
            }
            name => names.push(name),
        }
    }
    names
}

/// What `path` can mean in a snapshot of `root_path`, likeliest first, each counted from its root;
/// the empty one is the root. What the snapshot has as it was given comes before a whole path.
pub(crate) fn readings(path: &[u8], root_path: &[u8]) -> Vec<Vec<u8>> {
    let (names, root) = (components(path), components(root_path));
    if names == root {
        return vec![Vec::new()];
    }
    let below = names.strip_prefix(root.as_slice()).map(|below| below.join(&b'/'));
    let given = names.join(&b'/');
    // Of the folder `/` both are the same.
    let below = below.filter(|below| *below != given);
    std::iter::once(given).chain(below).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    // FILES-37
    #[test]
    fn a_path_is_taken_apart_however_many_slashes_it_has() {
        assert_eq!(components(b"//a/./b//"), [b"a", b"b"]);
        assert!(components(b"/").is_empty());
        assert_eq!(components(b"/home/a/../b/./c"), [&b"home"[..], b"b", b"c"]);
        assert!(components(b"/../../etc/..").is_empty());
    }

    // CLI-14
    #[test]
    fn a_path_counts_from_the_root_or_is_the_whole_one() {
        let of = |path: &str| readings(path.as_bytes(), b"/home/ann");
        assert_eq!(of(""), [b""]);
        assert_eq!(of("home/ann/"), [b""]);
        assert_eq!(of("a//b"), [b"a/b"]);
        assert_eq!(of("home/ann/b"), [&b"home/ann/b"[..], b"b"]);
        assert_eq!(readings(b"etc/x", b"/"), [b"etc/x"]);
    }
}

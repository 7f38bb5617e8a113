//! Style as a test: what a person would otherwise have to say in every review.
//!
//! Exceptions stand in lists that may only shrink: an entry that is no longer needed fails the
//! test as well, so that nobody finds a way back.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use larder_tests::workspace;

/// No file of code is longer. Past 600, split by noun.
const LINES_MAX: usize = 700;

/// Files that are longer today, with their length: they may shrink, never grow.
const LONG_FILES: &[(&str, usize)] = &[];

/// Requirements of the specs that no test names yet. Add none; take out what is covered.
const UNCOVERED: &str = include_str!("tidy/uncovered.txt");

/// What `protocol/` may depend on: crates that compute and do no I/O. `bip39`, `hpke` and the like
/// take their randomness as an argument.
const CORE_MAY_USE: &[&str] = &[
    "argon2",
    "bip39",
    "blake3",
    "chacha20poly1305",
    "data-encoding",
    "ed25519-dalek",
    "hpke",
    "minicbor",
    "pakery-cpace",
    "pakery-crypto",
    "rand_chacha",
    "rand_core",
    "thiserror",
    "unicode-normalization",
    "x25519-dalek",
    "zeroize",
    "zstd",
];

/// A file of the project: path from the root with `/`, and its text.
struct Source {
    path: String,
    text: String,
}

impl Source {
    fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.lines().enumerate().map(|(index, line)| (index + 1, line))
    }
}

/// Every text file of the project, in order of paths.
fn sources() -> Vec<Source> {
    let root = workspace();
    let mut found = Vec::new();
    let mut open: Vec<PathBuf> = vec![root.clone()];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(&directory).expect("directories of the project can be read") {
            let entry = entry.expect("directories of the project can be read");
            let name = entry.file_name();
            let name = name.to_str().expect("names of the project are UTF-8");
            let path = entry.path();
            if entry.file_type().expect("it was just listed").is_dir() {
                let is_built = name == "target" && directory == root;
                if !is_built && !matches!(name, ".git" | ".cargo" | "__pycache__" | "corpus") {
                    open.push(path);
                }
            } else if is_text(name) {
                let text = fs::read_to_string(&path);
                let text = text.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
                found.push(Source { path: relative(&path, &root), text });
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

fn is_text(name: &str) -> bool {
    let extension = name.rsplit('.').next().unwrap_or_default();
    matches!(extension, "rs" | "md" | "toml" | "py" | "txt" | "json" | "sh" | "yml" | "service")
        || name == "run"
}

fn relative(path: &Path, root: &Path) -> String {
    let inside = path.strip_prefix(root).expect("every file found is under the root");
    inside.to_str().expect("names of the project are UTF-8").to_owned()
}

/// Fails with all complaints at once.
fn assert_clean(rule: &str, complaints: &[String]) {
    assert!(complaints.is_empty(), "{rule}:\n  {}", complaints.join("\n  "));
}

#[test]
fn no_file_of_code_is_longer_than_its_bound() {
    let mut complaints = Vec::new();
    let mut long: BTreeMap<&str, usize> = LONG_FILES.iter().copied().collect();
    for source in sources().iter().filter(|source| source.is_rust()) {
        let lines = source.text.lines().count();
        let exception = long.remove(source.path.as_str());
        let allowed = exception.unwrap_or(LINES_MAX);
        if lines > allowed {
            complaints.push(format!("{}: {lines} lines, {allowed} allowed", source.path));
        }
        if exception.is_some() && lines <= LINES_MAX {
            complaints.push(format!("{}: short again, take it from the list", source.path));
        }
    }
    complaints.extend(long.keys().map(|path| format!("{path}: gone, take it from the list")));
    assert_clean("files too long; split by noun, not by number", &complaints);
}

#[test]
fn nothing_is_left_open_in_the_code() {
    // Put together here, so that this file does not complain about itself.
    let marks = [["TO", "DO"], ["FIX", "ME"], ["XX", "X"], ["todo", "!("], ["unimpl", "emented!("]]
        .map(|halves| halves.concat());
    let mut complaints = Vec::new();
    for source in sources() {
        if !(source.is_rust() || source.path.ends_with(".md") || source.path.ends_with(".py")) {
            continue;
        }
        for (number, line) in source.lines() {
            if marks.iter().any(|mark| line.contains(mark)) && !names_the_rule(line) {
                complaints.push(format!("{}:{number}: {}", source.path, line.trim()));
            }
        }
    }
    assert_clean("left open; do it, or file it and take it out", &complaints);
}

/// A line that speaks about the marks rather than leaving one: `mktemp` patterns end in many X.
fn names_the_rule(line: &str) -> bool {
    line.contains(&"X".repeat(6))
}

#[test]
fn modules_are_files_beside_their_directory() {
    let complaints: Vec<_> = sources()
        .into_iter()
        .filter(|source| source.path.ends_with("/mod.rs"))
        .map(|source| source.path)
        .collect();
    assert_clean("foo.rs + foo/, never mod.rs", &complaints);
}

#[test]
fn every_file_of_code_opens_by_saying_what_it_is() {
    let complaints: Vec<_> = sources()
        .into_iter()
        .filter(|source| source.is_rust() && !source.text.starts_with("//!"))
        .map(|source| source.path)
        .collect();
    assert_clean("files without an opening //! line", &complaints);
}

#[test]
fn no_lint_is_switched_off_for_a_whole_file() {
    let mut complaints = Vec::new();
    for source in sources().iter().filter(|source| source.is_rust()) {
        for (number, line) in source.lines() {
            if line.trim_start().starts_with("#![allow(") {
                complaints.push(format!("{}:{number}: {}", source.path, line.trim()));
            }
        }
    }
    assert_clean("use #[expect(lint, reason = \"...\")] on the item", &complaints);
}

#[test]
fn time_is_simulated_where_it_must_be() {
    let mut complaints = Vec::new();
    for source in sources().iter().filter(|source| source.is_rust()) {
        if !source.path.starts_with("protocol/") && !source.path.starts_with("simulations/") {
            continue;
        }
        for (number, line) in source.lines() {
            if line.contains("sleep(") {
                complaints.push(format!("{}:{number}: {}", source.path, line.trim()));
            }
        }
    }
    assert_clean("sleeping in code without a clock", &complaints);
}

#[test]
fn no_path_of_one_machine_is_in_the_project() {
    let root = workspace();
    let here = root.to_str().expect("the checkout's path is UTF-8").to_owned();
    let mut paths = vec![["/work", "/shared"].concat(), ["/work", "/wt"].concat()];
    // A checkout in a directory such as /src would only raise false alarms.
    if here.matches('/').count() >= 2 {
        paths.push(here);
    }
    let mut complaints = Vec::new();
    for source in sources() {
        for (number, line) in source.lines() {
            if paths.iter().any(|path| line.contains(path)) {
                complaints.push(format!("{}:{number}: {}", source.path, line.trim()));
            }
        }
    }
    assert_clean("paths of one machine", &complaints);
}

#[test]
fn the_core_depends_on_nothing_that_does_io() {
    let manifest = fs::read_to_string(workspace().join("protocol/Cargo.toml"));
    let manifest = manifest.expect("the core has a manifest");
    let dependencies = manifest.split("[dependencies]").nth(1).expect("it has dependencies");
    let dependencies = dependencies.split("\n[").next().unwrap_or_default();
    let complaints: Vec<_> = dependencies
        .lines()
        .filter_map(|line| line.split(['.', ' ', '=']).next())
        .filter(|name| !name.is_empty() && !name.starts_with('#'))
        .filter(|name| !CORE_MAY_USE.contains(name))
        .map(str::to_owned)
        .collect();
    assert_clean("dependencies of protocol/ that nobody has judged", &complaints);
}

#[test]
fn every_requirement_is_named_by_a_test() {
    let sources = sources();
    let mut defined: BTreeMap<String, String> = BTreeMap::new();
    for page in sources.iter().filter(|source| source.path.starts_with("specs/")) {
        for (number, line) in page.lines() {
            for id in requirements_in(line) {
                let place = format!("{}:{number}", page.path);
                if let Some(first) = defined.insert(id.clone(), place.clone()) {
                    panic!("requirement {id} is defined twice: {first} and {place}");
                }
            }
        }
    }
    let mut named: BTreeSet<String> = BTreeSet::new();
    for source in &sources {
        if source.is_rust() || source.path.ends_with(".py") {
            named.extend(names_in(&source.text));
        }
    }
    let allowed: BTreeSet<&str> =
        UNCOVERED.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
    let mut complaints = Vec::new();
    for (id, place) in &defined {
        let listed = allowed.contains(id.as_str());
        match (named.contains(id), listed) {
            (false, false) => complaints.push(format!("{place}: no test names {id}")),
            (true, true) => complaints.push(format!("{id} is covered: take it from the list")),
            (true, false) | (false, true) => {}
        }
    }
    for id in allowed.iter().filter(|id| !defined.contains_key(**id)) {
        complaints.push(format!("{id} is not defined in specs/: take it from the list"));
    }
    assert_clean("requirements and tests do not match", &complaints);
}

/// The ids defined in a line of a spec: `**NAME-n**`.
fn requirements_in(line: &str) -> Vec<String> {
    line.split("**").skip(1).step_by(2).filter(|text| is_id(text)).map(str::to_owned).collect()
}

fn is_id(text: &str) -> bool {
    let Some((name, number)) = text.rsplit_once('-') else { return false };
    let upper = |byte: u8| byte.is_ascii_uppercase() || byte == b'_';
    !name.is_empty()
        && name.bytes().all(upper)
        && !number.is_empty()
        && number.bytes().all(|byte| byte.is_ascii_digit())
}

/// Ids that a text of code names: `PACK-3` anywhere, or `pack_3` in the name of a function.
fn names_in(text: &str) -> BTreeSet<String> {
    let word = |c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '-');
    let mut names: BTreeSet<String> = text
        .split(word)
        .map(|piece| piece.trim_matches('-'))
        .filter(|piece| is_id(piece))
        .map(str::to_owned)
        .collect();
    for line in text.lines() {
        let Some((_, rest)) = line.split_once("fn ") else { continue };
        let name = rest.split('(').next().unwrap_or_default();
        let parts: Vec<&str> = name.split('_').collect();
        for end in 1..parts.len() {
            if !parts[end].is_empty() && parts[end].bytes().all(|byte| byte.is_ascii_digit()) {
                for start in 0..end {
                    let noun = parts[start..end].join("_").to_ascii_uppercase();
                    names.insert(format!("{noun}-{}", parts[end]));
                }
            }
        }
    }
    names
}

#[test]
fn ids_are_recognised_in_specs_and_in_code() {
    let line = "**PACK-3** A pack is **never** longer; see **DEVICE_LOG-12**, not PACK-4.";
    assert_eq!(requirements_in(line), ["PACK-3", "DEVICE_LOG-12"]);
    let code = "// PACK-3, HEAD-1: both\nfn device_log_12_is_kept() {}\n";
    let names = names_in(code);
    for id in ["PACK-3", "HEAD-1", "DEVICE_LOG-12"] {
        assert!(names.contains(id), "{id} not among {names:?}");
    }
    assert!(!names.contains("PACK-30"));
}

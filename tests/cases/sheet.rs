//! The recovery sheet: what stands on the paper, and nothing else, brings everything back.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use larder_tests::{circle::Circle, compare, node::Node, short_directory, tree};
use serde_json::Value;

/// The token of a relay that nobody runs.
const TOKEN: &str = "abcdefghijklmnopqrstuvwxy4";

fn read(path: &Path) -> String {
    fs::read_to_string(path).expect("the sheet was written")
}

/// The lines under a heading, up to the next one.
fn under<'a>(paper: &'a str, heading: &str) -> Vec<&'a str> {
    let lines = paper.lines().skip_while(|line| *line != heading).skip(2);
    let mut found: Vec<&str> = Vec::new();
    for line in lines {
        if line.starts_with("---") {
            found.pop();
            break;
        }
        found.push(line);
    }
    found
}

/// The tickets, as a person would type them.
fn tickets(paper: &str) -> Vec<String> {
    let mut tickets = Vec::new();
    let mut lines = under(paper, "Who keeps it").into_iter();
    while lines.by_ref().any(|line| line.ends_with("its ticket:")) {
        let typed = lines.by_ref().skip(1).take_while(|line| !line.is_empty());
        tickets.push(typed.map(str::trim).collect::<Vec<_>>().join(" "));
    }
    tickets
}

fn head_of(sheet: &Value, name: &str) -> u64 {
    let devices = sheet["devices"].as_array().expect("devices are a list");
    let device = devices.iter().find(|device| device["name"] == name);
    device.and_then(|it| it["head"].as_u64()).unwrap_or_else(|| panic!("{name}: {sheet:#}"))
}

fn write(node: &Node, words: &[&str], out: &Path) -> Value {
    let all = ["sheet"].iter().chain(words).copied().chain(["--out"]);
    node.cli(all, [out]).ok().json()
}

// SHEET-1, SHEET-6, SHEET-7
#[test]
fn what_stands_on_the_sheet_brings_everything_back() {
    let mut circle = Circle::new(2);
    let folder = circle.folder("folder");
    tree::ordinary(&folder, 51, 40, 20_000);
    circle.backup(&folder);
    let phrase = circle.phrase.to_str().unwrap().to_owned();
    let paper = circle.path("sheet.txt");
    let told = write(&circle.source, &["--phrase-file", &phrase], &paper);
    assert_eq!(told["path"].as_str(), paper.to_str());
    assert_eq!(told["holders"].as_array().map(Vec::len), Some(2), "{told:#}");
    assert_eq!(fs::metadata(&paper).unwrap().permissions().mode() & 0o7777, 0o600);
    let words = read(&circle.phrase);
    let three = words.split_whitespace().take(3).collect::<Vec<_>>().join(" ");
    assert!(!told.to_string().contains(&three), "the phrase is in the document");
    // The same without a running node, and as PDF.
    circle.source.stop();
    let pdf = circle.path("sheet.pdf");
    let alone = write(&circle.source, &[], &pdf);
    assert_eq!(alone["devices"], told["devices"]);
    assert!(fs::read(&pdf).unwrap().starts_with(b"%PDF-"));
    assert!(head_of(&told, "source") > 0);
    circle.lose_source();

    let paper = read(&paper);
    let typed = circle.path("words.txt");
    fs::write(&typed, under(&paper, "The 24 words").join("\n")).unwrap();
    let tickets = tickets(&paper);
    assert_eq!(tickets.len(), 2, "{paper}");
    for (number, ticket) in tickets.iter().enumerate() {
        let fresh = circle.recoverer(&format!("fresh{number}"));
        fresh.cli(["recover", "--connect", ticket, "--phrase-file"], [&typed]).ok();
        let now = fresh.ask(["sheet"]);
        assert!(head_of(&now, "source") >= head_of(&told, "source"), "{now:#}");
        let target = circle.path(&format!("restored{number}"));
        fresh.cli(["restore", "latest", "--to"], [&target]).ok();
        compare::assert_same_tree(&folder, &compare::below(&target, &folder));
    }
}

// SHEET-2, SHEET-6
#[test]
fn a_wrong_phrase_and_a_file_that_is_there_stop_it() {
    let directory = short_directory();
    let node = |name: &str| Node::new(directory.path(), name);
    let (mine, other) = (node("mine"), node("other"));
    let path = |path: PathBuf| path.to_str().unwrap().to_owned();
    let (right, wrong) = (path(mine.init()), path(other.init()));
    let out = path(directory.path().join("sheet.pdf"));
    let (message, hint) = mine.refused(["sheet", "--phrase-file", &wrong, "--out", &out], 5);
    assert!(message.contains("another vault"), "{message}");
    assert!(hint.contains("nothing was written") && !Path::new(&out).exists(), "{hint}");
    mine.ask(["sheet", "--phrase-file", &right, "--out", &out]);
    let before = fs::read(&out).unwrap();
    let (message, _) = mine.refused(["sheet", "--out", &out], 1);
    assert!(message.contains("not written over"), "{message}");
    assert_eq!(fs::read(&out).unwrap(), before);
    let (_, hint) = mine.refused(["sheet", "--out", "sheet.odt"], 2);
    assert!(hint.contains("sheet.pdf"), "{hint}");
}

// SHEET-7
#[test]
fn relays_are_on_the_paper_with_their_tokens_and_in_the_document_without() {
    let directory = short_directory();
    let address = format!("https://{TOKEN}@127.0.0.1:9");
    let mut node = Node::new(directory.path(), "node").with_relay(&address);
    node.init();
    node.up();
    let out = directory.path().join("sheet.txt");
    let told = write(&node, &[], &out);
    assert_eq!(told["relays"][0], "https://127.0.0.1:9", "{told:#}");
    assert!(!told.to_string().contains(TOKEN), "{told:#}");
    let paper = read(&out);
    assert!(paper.contains(&address), "{paper}");
    assert!(paper.contains("Nobody keeps anything of this vault yet"), "{paper}");
}

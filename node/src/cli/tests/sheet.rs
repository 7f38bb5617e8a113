//! `sheet`: what is written where, and what is not.

use std::os::unix::fs::PermissionsExt;

use larder_protocol::keys::phrase::Phrase;

use super::*;
use crate::cli::sheet::tests::{TOKEN, sample_phrase};

fn words_in(directory: &Path, phrase: &Phrase) -> String {
    let file = directory.join("words");
    fs::write(&file, phrase.words().text().as_bytes()).unwrap();
    file.to_str().unwrap().to_owned()
}

// SHEET-6
#[test]
fn a_sheet_is_a_new_file_that_its_owner_alone_can_read() {
    let (home, paper) = (made(), tempfile::tempdir().unwrap());
    for (name, begins) in [("sheet.pdf", &b"%PDF-1.7\n"[..]), ("Sheet.TXT", b"Recovery sheet\n===")]
    {
        let out = paper.path().join(name);
        let line = ["sheet", "--out", out.to_str().unwrap()];
        let (code, document) = json(home.path(), &line);
        assert_eq!((code, &document["outcome"]), (0, &"sheet".into()), "{document}");
        assert_eq!(document["path"], out.to_str().unwrap());
        assert_eq!(fs::metadata(&out).unwrap().permissions().mode() & 0o7777, 0o600);
        let bytes = fs::read(&out).unwrap();
        assert!(bytes.starts_with(begins), "{name}");
        let (code, document) = json(home.path(), &line);
        let message = document["error"]["message"].as_str().unwrap();
        assert!(code == 1 && message.contains("not written over"), "{document}");
        assert_eq!(fs::read(&out).unwrap(), bytes);
    }
    let quiet = paper.path().join("quiet.pdf");
    let line = ["sheet", "--quiet", "--out", quiet.to_str().unwrap()];
    assert_eq!(larder(home.path(), &line), (0, Vec::new()));
    let nowhere = paper.path().join("no/where.pdf");
    assert_eq!(larder(home.path(), &["sheet", "--out", nowhere.to_str().unwrap()]).0, 1);
}

// SHEET-6
#[test]
fn the_ending_of_the_name_decides_the_form() {
    let (home, paper) = (made(), tempfile::tempdir().unwrap());
    for name in ["sheet", "sheet.doc", ".pdf"] {
        let out = paper.path().join(name);
        let (code, document) = json(home.path(), &["sheet", "--out", out.to_str().unwrap()]);
        assert_eq!((code, &document["error"]["kind"]), (2, &"usage".into()));
        assert!(document["error"]["hint"].as_str().unwrap().contains("sheet.pdf"));
        assert!(!out.exists());
    }
}

// SHEET-2
#[test]
fn the_phrase_of_another_vault_is_refused() {
    let (home, paper) = (made(), tempfile::tempdir().unwrap());
    let out = paper.path().join("sheet.pdf");
    let line = |words: &str| {
        let out = out.to_str().unwrap();
        json(home.path(), &["sheet", "--phrase-file", words, "--out", out])
    };
    let (code, document) = line(&words_in(paper.path(), &Phrase::from_entropy([8; 32])));
    assert_eq!((code, &document["error"]["kind"]), (5, &"key".into()));
    assert!(document["error"]["message"].as_str().unwrap().contains("another vault"));
    // What is no phrase at all.
    let words = home.path().join("phrase");
    let (code, document) = line(words.to_str().unwrap());
    assert_eq!((code, &document["error"]["kind"]), (5, &"key".into()));
    assert!(!format!("{document}").contains("abandon"));
    assert!(!out.exists());
    assert_eq!(line(&words_in(paper.path(), &sample_phrase())).0, 0);
}

// SHEET-7
#[test]
fn no_document_has_the_words_or_the_token_of_a_relay() {
    let (home, paper) = (made(), tempfile::tempdir().unwrap());
    let words = words_in(paper.path(), &sample_phrase());
    let out = paper.path().join("sheet.txt");
    let line = ["sheet", "--phrase-file", &words, "--out", out.to_str().unwrap()];
    let (with_file, without) = (json(home.path(), &line).1, json(home.path(), &line[..3]).1);
    let first = sample_phrase().words().iter().next().unwrap();
    for document in [&with_file, &without] {
        let text = document.to_string();
        assert!(!text.contains(first) && !text.contains(TOKEN), "{text}");
        assert_eq!(document["relays"], serde_json::json!(["https://relay.example.org:8443"]));
        assert_eq!(document["holders"].as_array().unwrap().len(), 3);
        assert!(document["aside"].is_null());
    }
    // They are on the paper, and on the terminal when that is the paper.
    let (code, shown) = larder(home.path(), &line[..3]);
    assert_eq!((code, &shown), (0, &fs::read(&out).unwrap()));
    let shown = String::from_utf8(shown).unwrap();
    assert!(shown.contains(first) && shown.contains(TOKEN), "{shown}");
}

//! What a holder keeps or is told holds nothing that anybody could read.

use std::{fs, os::unix::fs::symlink};

use larder_tests::{circle::Circle, dice::Dice, needles::found};

// INV-12
#[test]
fn a_canary_is_never_in_anything_that_a_holder_keeps() {
    let mut circle = Circle::new(2);
    let folder = circle.folder("canary-folder-name-4401");
    let text = b"canary-in-plain-text-9137 ";
    // Bytes that no compressor changes: they would stand in a stored block as they are.
    let random = Dice::new(51).bytes(64);
    fs::write(folder.join("canary-file-name-2210"), text.repeat(400)).unwrap();
    fs::write(folder.join("short"), text).unwrap();
    let mut large = Dice::new(52).bytes(3_000_000);
    large[1_500_000..1_500_064].copy_from_slice(&random);
    fs::write(folder.join("large"), &large).unwrap();
    fs::write(folder.join("compressible"), [&vec![b'a'; 90_000], &random[..]].concat()).unwrap();
    symlink("canary-link-target-7733", folder.join("link")).unwrap();
    fs::create_dir(folder.join("canary-directory-name-6120")).unwrap();
    let mut needles: Vec<Vec<u8>> = vec![text.to_vec(), random];
    let names = ["folder-name-4401", "file-name-2210", "link-target-7733", "directory-name-6120"];
    needles.extend(names.map(|name| format!("canary-{name}").into_bytes()));
    // Words of the phrase, and the plain chunk frames as zstd writes them.
    let phrase = fs::read_to_string(&circle.phrase).unwrap();
    needles.push(phrase.trim().as_bytes().to_vec());
    assert_eq!(found(&folder, &needles[..1]).len(), 2, "the search itself works");

    circle.backup(&folder);
    for holder in &mut circle.holders {
        holder.stop();
        assert!(found(holder.home(), &needles).is_empty(), "{:#?}", found(holder.home(), &needles));
        let log = holder.last_words();
        assert!(!log.contains("canary"), "{log}");
    }
    circle.source.stop();
    // The spool and the databases of the source may name files; what stands in the depot may not.
    let depot = circle.source.home().join("depot");
    assert!(found(&depot, &needles).is_empty(), "{:#?}", found(&depot, &needles));
}

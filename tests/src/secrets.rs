//! The secrets of a home, as a search for them needs them.

use std::{
    fs,
    path::{Path, PathBuf},
};

use larder_node::vaults::Vaults;
use larder_protocol::keys::KeyFile;

use crate::tree;

/// Secrets of a device whose key is in clear: both seeds as text and as bytes, the key of each epoch and the content
/// key as bytes and as text. The first two are those that `device.key` holds.
pub fn of_home(home: &Path) -> Vec<Vec<u8>> {
    let file = fs::read(home.join("device.key")).expect("there is a key");
    let Ok(KeyFile::Clear(keys)) = KeyFile::parse(&file) else { panic!("it is in clear") };
    let clear = String::from_utf8(file).expect("it is text");
    let seeds: Vec<&str> = clear.lines().skip(1).take(2).map(|line| &line[5..]).collect();
    let mut secrets: Vec<Vec<u8>> = seeds.iter().map(|seed| seed.as_bytes().to_vec()).collect();
    secrets.extend(seeds.iter().map(|seed| raw(seed)));
    let vaults = Vaults::open(&home.join("vaults")).expect("the vaults can be read");
    let logs: Vec<_> = vaults.read().values().map(|known| known.log().clone()).collect();
    for log in logs {
        for key in log.epoch_keys(&keys).unwrap_or_default() {
            let content = blake3::derive_key("larder 2026 content key v1", key.expose_secret());
            for secret in [*key.expose_secret(), content] {
                secrets.push(secret.to_vec());
                secrets.push(blake3::Hash::from_bytes(secret).to_hex().as_bytes().to_vec());
            }
        }
    }
    secrets
}

fn raw(hex: &str) -> Vec<u8> {
    let byte = |pair: &[u8; 2]| {
        let text = str::from_utf8(pair).expect("it is ASCII");
        u8::from_str_radix(text, 16).expect("it is hex")
    };
    hex.as_bytes().as_chunks::<2>().0.iter().map(byte).collect()
}

/// Whether any of these is within the bytes.
pub fn holds_any(bytes: &[u8], needles: &[Vec<u8>]) -> bool {
    needles.iter().any(|needle| holds(bytes, needle))
}

fn holds(bytes: &[u8], needle: &[u8]) -> bool {
    bytes.windows(needle.len()).any(|window| window == needle)
}

/// Files below a directory that hold any of these, with the number of the needle.
pub fn found(directory: &Path, needles: &[Vec<u8>]) -> Vec<(PathBuf, usize)> {
    let files = tree::bottom_up(directory).into_iter().filter(|path| path.is_file());
    let within = |path: PathBuf| {
        let bytes = fs::read(&path).unwrap_or_default();
        let hits = (0..needles.len()).filter(move |at| holds(&bytes, &needles[*at]));
        hits.map(|at| (path.clone(), at)).collect::<Vec<_>>()
    };
    files.flat_map(within).collect()
}

//! What is wrong gets a clear answer, never a panic, and nothing is lost.

use std::{
    fs,
    io::{Read, Write},
    net::UdpSocket,
    os::unix::net::UnixStream,
    time::Duration,
};

use larder_tests::{
    circle::Circle,
    dice::Dice,
    node::{Node, error_of},
    short_directory, tree,
};

#[test]
fn a_wrong_phrase_is_exit_code_5_and_makes_no_vault() {
    let circle = Circle::new(1);
    let folder = circle.folder("folder");
    tree::ordinary(&folder, 71, 5, 1000);
    circle.backup(&folder);
    let ticket = circle.holders[0].ticket();
    // The phrase of a vault that nobody here has heard of; a word swapped; a word missing; no words.
    let stranger = Node::new(&circle.path(""), "stranger");
    let other = stranger.init();
    let words = fs::read_to_string(&circle.phrase).unwrap();
    let words: Vec<&str> = words.split_whitespace().collect();
    let mut swapped = words.clone();
    swapped.swap(0, 5);
    let wrong = [
        fs::read_to_string(other).unwrap(),
        swapped.join(" "),
        words[1..].join(" "),
        "larder xyzzyquux".to_owned(),
    ];
    for (number, phrase) in wrong.iter().enumerate() {
        let file = circle.path(&format!("wrong{number}"));
        fs::write(&file, phrase).unwrap();
        let fresh = circle.recoverer("fresh");
        let words = ["recover", "--connect", &ticket, "--phrase-file"];
        let output = fresh.cli(words, [&file]).expect_code(5);
        let (message, _) = error_of(&output);
        // A single word of the list may be one that any message has, such as "phrase" itself.
        let words: Vec<&str> = phrase.split_whitespace().collect();
        for secret in words.windows(2).map(|two| two.join(" ")).chain(["xyzzyquux".to_owned()]) {
            assert!(!output.stderr.contains(&secret), "words of the phrase in {output}");
            assert!(!message.contains(&secret), "words of the phrase in {message}");
        }
    }
    // The same home takes the right phrase afterwards.
    let fresh = circle.recoverer("fresh");
    circle.recover(&fresh, &[0]).ok();
}

#[test]
fn a_damaged_ticket_or_code_is_refused_before_anything_is_done() {
    let circle = Circle::new(1);
    let ticket = circle.holders[0].ticket();
    let invitation = circle.source.ask(["invite", "--circle"]);
    let code = invitation["code"].as_str().unwrap();
    for whole in [&ticket, code] {
        let verb = if whole == code { "join" } else { "connect" };
        let swapped: String = {
            let mut bytes = whole.as_bytes().to_vec();
            let at = bytes.len() / 2;
            bytes[at] = if bytes[at] == b'a' { b'b' } else { b'a' };
            String::from_utf8(bytes).unwrap()
        };
        let half = &whole[..whole.len() / 2];
        let damaged = [half, &whole[..whole.len() - 1], &swapped, "", "x", "larder"];
        for text in damaged {
            let output = circle.source.cli([verb, "--", text], [""; 0]);
            assert!(matches!(output.code, Some(1 | 2)), "{output}");
            error_of(&output);
        }
    }
    let peers = circle.source.ask(["peers"]);
    assert_eq!(peers["peers"].as_array().unwrap().len(), 1, "{peers:#}");
}

#[test]
fn words_that_make_no_sense_are_refused_with_advice() {
    let circle = Circle::new(0);
    let folder = circle.folder("folder");
    tree::ordinary(&folder, 72, 5, 1000);
    let node = &circle.source;
    let done = node.cli(["backup", "--wait", "local"], [&folder]).ok().json();
    assert_eq!(done["reached"], "local", "{done:#}");
    for (words, code) in [
        (vec!["restore", "ffffffffffff", "--to", "/nonexistent"], 1),
        (vec!["ls", "latest", "no/such/file"], 1),
        (vec!["cat", "latest", ".."], 1),
        (vec!["config", "set", "no.such", "1"], 1),
        (vec!["backup", "/nonexistent/folder"], 1),
        (vec!["add", "--exclude", "[x", "/tmp"], 2),
        (vec!["backup", "--exclude", "[x", "/tmp"], 2),
        (vec!["completions", "bash"], 2),
    ] {
        let output = node.cli(&words, [""; 0]);
        assert!(output.code == Some(code) || output.code == Some(2), "{words:?}: {output}");
        error_of(&output);
    }
    // Wrong from the start: before a home is even looked for.
    assert_eq!(node.cli(["no-such-verb"], [""; 0]).code, Some(2));
    assert_eq!(node.cli(["offer", "many"], [""; 0]).code, Some(2));
    // A second vault in the same home is never made.
    let again = node.cli(["init", "--name", "x"], [""; 0]);
    assert_eq!(again.code, Some(1), "{again}");
    error_of(&again);
}

#[test]
fn two_processes_on_one_home_do_no_harm() {
    let mut circle = Circle::new(0);
    let home = circle.source.home().to_path_buf();
    let second = Node::new(home.parent().unwrap(), "source");
    let output = second.cli(["up", "--listen", "127.0.0.1:0"], [""; 0]);
    assert_eq!(output.code, Some(1), "{output}");
    error_of(&output);
    assert!(circle.source.is_up());
    circle.source.ask(["status"]);
}

// CLI-8
#[test]
fn a_node_that_is_stopping_is_waited_for() {
    let mut circle = Circle::new(1);
    let folder = circle.folder("folder");
    tree::ordinary(&folder, 74, 5, 1000);
    circle.backup(&folder);
    let directory = circle.path("");
    for _ in 0..8 {
        circle.source.ask(["down"]);
        // The next one starts while the first still closes its files.
        let mut next = Node::new(&directory, "source");
        next.up();
        circle.source.kill();
        circle.source = next;
    }
}

#[test]
fn garbage_on_the_control_socket_and_on_the_udp_port_is_survived() {
    let mut circle = Circle::new(1);
    let folder = circle.folder("folder");
    tree::ordinary(&folder, 73, 5, 1000);
    let mut dice = Dice::from_env("LARDER_SEED", 73);
    let socket = circle.source.home().join("node.sock");
    let mut shapes: Vec<Vec<u8>> = vec![
        b"\n\n\n".to_vec(),
        b"{}\n".to_vec(),
        b"{\"command\":\"no-such\"}\n".to_vec(),
        vec![b'['; 200_000],
        vec![0xff; 4],
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        0xffff_fff0_u32.to_be_bytes().to_vec(),
    ];
    shapes.extend((0..40).map(|_| {
        let length = dice.index(3000);
        dice.bytes(length)
    }));
    for shape in &shapes {
        let mut stream = UnixStream::connect(&socket).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        // It may hang up before everything is written, and answer or not: both are fine.
        let _hung_up = stream.write_all(shape);
        let _hung_up = stream.shutdown(std::net::Shutdown::Write);
        let _hung_up = stream.read(&mut [0; 4096]);
    }
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let addresses = circle.source.ready()["addresses"].as_array().unwrap().clone();
    for address in addresses.iter().filter_map(|address| address.as_str()) {
        for _ in 0..1500 {
            let length = dice.index(1400) + 1;
            let mut datagram = dice.bytes(length);
            // Half of them look like a QUIC version 1 initial packet.
            if length > 6 && dice.hits(2) {
                datagram[..5].copy_from_slice(&[0xc3, 0, 0, 0, 1]);
            }
            // The kernel may refuse what nobody picks up fast enough.
            let _full = udp.send_to(&datagram, address);
        }
    }
    assert!(circle.source.is_up(), "{}", circle.source.last_words());
    circle.backup(&folder);
    assert!(!circle.source.last_words().contains("panicked"), "{}", circle.source.last_words());
    assert!(!circle.source.last_words().contains("internal error"));
}

#[test]
fn a_damaged_home_is_said_and_left_alone() {
    let directory = short_directory();
    let node = Node::new(directory.path(), "node");
    node.init();
    for name in ["device.key", "config.toml"] {
        let path = node.home().join(name);
        let kept = fs::read(&path).ok();
        fs::write(&path, b"\xffgarbage = [").unwrap();
        let output = node.cli(["status"], [""; 0]).expect_code(1);
        error_of(&output);
        assert_eq!(fs::read(&path).unwrap(), b"\xffgarbage = [", "{name} was touched");
        match kept {
            Some(bytes) => fs::write(&path, bytes).unwrap(),
            None => fs::remove_file(&path).unwrap(),
        }
    }
    // The scan cache may be damaged at any time: HOME-5.
    fs::write(node.home().join("cache.redb"), b"no database").unwrap();
    node.ask(["status"]);
}

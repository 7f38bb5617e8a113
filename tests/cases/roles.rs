//! A member of a vault: what it may do, what it is refused, and what everybody calls whom.

use std::time::Duration;

use larder_tests::{
    circle::{Circle, pair},
    compare,
    houses::Houses,
    node::Node,
    process::eventually,
    short_directory, skipped,
    terminal::Terminal,
    tree,
};
use serde_json::Value;

/// Longest until a screen shows something, or two that are both there have met, on a busy machine.
const LIMIT: Duration = Duration::from_secs(60);

/// Name and role of each device as a node lists them, sorted.
fn devices(node: &Node) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().expect("it is a text").to_owned();
    let listed = node.ask(["devices"]);
    let all = listed["devices"].as_array().expect("devices are a list");
    let mut all: Vec<_> = all.iter().map(|it| (text(&it["name"]), text(&it["role"]))).collect();
    all.sort();
    all
}

/// Waits until each of these lists the devices so: names, and a star behind that of a member.
fn all_list(nodes: &[&Node], expected: &[&str]) {
    for node in nodes {
        let what = format!("{} lists {expected:?}", node.name);
        eventually(&what, LIMIT, || {
            let mark = |(name, role): (String, String)| match role.as_str() {
                "member" => format!("{name}*"),
                _ => name,
            };
            let listed: Vec<String> = devices(node).into_iter().map(mark).collect();
            listed == expected
        });
    }
}

fn knows(node: &Node, name: &str) -> bool {
    let listed = node.ask(["peers"]);
    let peers = listed["peers"].as_array().expect("peers are a list");
    peers.iter().any(|peer| peer["name"] == name)
}

/// The long code on a screen.
fn long(shown: &str) -> String {
    let is_code = |word: &&str| word.starts_with("larder-");
    shown.split_whitespace().find(is_code).expect("a code is shown").to_owned()
}

/// A device that is invited as a member, by a person who is asked about it.
fn tablet(circle: &Circle) -> Node {
    let mut tablet = Node::new(&circle.path(""), "tablet");
    let words = ["invite", "--device", "--role", "member"];
    let mut screen = Terminal::start(circle.source.plain(words));
    let shown = screen.sees("waiting for somebody to come", LIMIT);
    assert!(shown.contains("can not invite, remove or name"), "{shown}");
    let code = long(&shown);
    let words = ["join", &code, "--name", "tablet", "--site", "pocket"];
    std::thread::scope(|scope| {
        let joins = scope.spawn(|| tablet.cli(words, [""; 0]));
        let asked = screen.sees("is it let in?", LIMIT);
        assert!(asked.contains("as a member"), "{asked}");
        screen.types("y");
        let joined = joins.join().expect("it ends").ok();
        assert_eq!(joined.json()["role"], "member");
        assert!(joined.stderr.contains("can not invite, remove or name"), "{joined}");
    });
    assert!(screen.ended(LIMIT).success(), "{}", screen.shown());
    tablet.up();
    tablet
}

// PAIR-20, PAIR-22, LOG-23, LOG-27, CLI-23
#[test]
fn a_member_backs_up_and_names_itself_and_has_no_say_in_the_others() {
    let circle = Circle::new(1);
    let (laptop, friend) = (&circle.source, &circle.holders[0]);
    let mut desk = circle.phone();
    let tablet = tablet(&circle);
    pair(&tablet, friend, "--circle");
    all_list(&[laptop, &desk, &tablet], &["phone", "source", "tablet*"]);

    let (message, hint) = tablet.refused(["revoke", "phone", "--reason", "stolen"], 2);
    assert!(message.contains("is a member"), "{message}");
    assert!(hint.contains("source") && hint.contains("phone"), "{hint}");
    let (message, hint) = tablet.refused(["invite", "--device"], 2);
    assert!(message.contains("only an owner invites"), "{message}");
    assert!(hint.contains("source") && !hint.contains("tablet"), "{hint}");
    tablet.refused(["rename", "mine", "--device", "phone"], 2);
    all_list(&[laptop, &desk, &tablet], &["phone", "source", "tablet*"]);

    // It saves, reads what others have saved, and restores.
    let (folder, of_laptop) = (circle.folder("of the tablet"), circle.folder("of the laptop"));
    tree::ordinary(&folder, 601, 20, 40_000);
    tree::ordinary(&of_laptop, 602, 20, 40_000);
    circle.backup(&of_laptop);
    let done = tablet.cli(["backup"], [&folder]).ok().json();
    assert_eq!(done["reached"], "safe", "{done:#}");
    let snapshots = tablet.ask(["snapshots"]);
    for original in [&folder, &of_laptop] {
        let all = snapshots["snapshots"].as_array().expect("snapshots are a list");
        let path = original.to_str().expect("the path is a text");
        let of = all.iter().find(|one| one["path"] == path).expect("it is listed");
        let target = circle.path("restored").join(original.file_name().expect("it has a name"));
        let id = of["snapshot"].as_str().expect("it has an id");
        tablet.cli(["restore", id, "--to"], [&target]).ok();
        compare::assert_same_tree(original, &compare::below(&target, original));
    }

    // Its own name it gives itself; the friend, who reads no label, hears it as well.
    assert!(knows(friend, "tablet"));
    let done = tablet.ask(["rename", "Ben's tablet"]);
    assert_eq!(done["before"], "tablet");
    all_list(&[laptop, &tablet], &["Ben's tablet*", "phone", "source"]);
    // The desk, of which the tablet knows no address, hears it when it meets another of them: at a backup.
    let of_desk = circle.folder("of the desk");
    tree::ordinary(&of_desk, 603, 5, 4_000);
    desk.cli(["backup"], [&of_desk]).ok();
    all_list(&[&desk], &["Ben's tablet*", "phone", "source"]);
    eventually("the friend knows the new name", LIMIT, || knows(friend, "Ben's tablet"));
    let of_tablet = laptop.ask(["snapshots", "--device", "Ben's tablet"]);
    assert_eq!(of_tablet["snapshots"].as_array().map(Vec::len), Some(1), "{of_tablet:#}");

    // An owner names another device, which is told; and one that sleeps says its own.
    let done = laptop.ask(["rename", "desk", "--device", "phone"]);
    assert_eq!(done["not_told"].as_array().map(Vec::len), Some(0), "{done:#}");
    all_list(&[laptop, &desk, &tablet], &["Ben's tablet*", "desk", "source"]);
    eventually("its settings follow", LIMIT, || {
        desk.ask(["config", "get", "device.name"])["settings"][0]["value"] == "desk"
    });
    desk.stop();
    desk.ask(["config", "set", "device.name", "tower"]);
    all_list(&[&desk, laptop], &["Ben's tablet*", "source", "tower"]);
    let lines = laptop.ask(["log"]);
    let lines = lines["entries"].as_array().expect("entries are a list").iter();
    assert_eq!(lines.filter(|line| line["what"] == "rename").count(), 3);

    // What a member cannot say the owner can.
    laptop.ask(["revoke", "Ben's tablet", "--reason", "lost"]);
    std::fs::write(folder.join("more"), b"saved by whoever found it").expect("it can be written");
    let tried = tablet.cli(["backup", "--timeout", "10"], [&folder]);
    assert_ne!(tried.code, Some(0), "it is out: {tried}");
}

// PAIR-20: by a code that is said.
#[test]
fn a_spoken_code_makes_a_member_as_a_long_one_does() {
    let Some(houses) = Houses::new(2) else {
        skipped("a member by words", "no network namespaces can be made and joined here");
        return;
    };
    let directory = short_directory();
    let mut laptop = houses.node(0, directory.path(), "laptop").with_lan();
    laptop.init();
    laptop.up();
    let mut child = houses.node(1, directory.path(), "child").with_lan();
    let invited = laptop.ask(["invite", "--device", "--role", "member"]);
    assert_eq!(invited["role"], "member");
    let code = invited["spoken"].as_str().expect("there is a code that can be spoken");
    assert_eq!(child.ask(["join", code, "--name", "child"])["role"], "member");
    child.up();
    all_list(&[&laptop, &child], &["child*", "laptop"]);
    child.refused(["invite", "--device"], 2);
}

"""The reader against specs/vectors/: another implementation of the same pages, or the pages are not enough."""

import json
import os
import unittest
from pathlib import Path

from blake3 import blake3
from cryptography.exceptions import InvalidTag

import cbor
import coding
import device_log
import guarding
import head
import key_file
import keys
import leaving
import locating
import meeting
import pack
import pairing
import phrase
import ristretto
import tending
import trail
import tree

VECTORS = Path(os.environ.get("LARDER_VECTORS", Path(__file__).parents[2] / "specs" / "vectors"))


def vectors(name):
    return json.loads((VECTORS / f"{name}.json").read_text())


def raw(text):
    return bytes.fromhex(text)


class Keys(unittest.TestCase):
    """KEYS-1, KEYS-4, KEYS-8, KEYS-10, KEYS-13, KEYS-15"""

    def test_phrases(self):
        page = vectors("keys")
        for case in page["phrases"]:
            entropy = phrase.entropy(case["words"])
            self.assertEqual(entropy.hex(), case["entropy"])
            recovery = keys.Recovery(entropy)
            self.assertEqual(recovery.signing.hex(), case["recovery_signing_public"])
            self.assertEqual(recovery.access.hex(), case["recovery_access_public"])
            self.assertEqual(recovery.hpke.hex(), case["recovery_hpke_public"])
        for case in page["refused_phrases"]:
            with self.assertRaises(phrase.PhraseError, msg=case["error"]):
                phrase.entropy(case["words"])

    def test_derivations_from_an_epoch_key(self):
        epoch = vectors("keys")["epoch"]
        secret, salt = raw(epoch["secret"]), raw(epoch["salt"])
        for purpose in ("pack key", "pack commitment", "label key"):
            derived = keys.derive(f"larder 2026 {purpose} v1", secret + salt)
            self.assertEqual(derived.hex(), epoch[purpose.replace(" ", "_")])
        content = keys.Content(secret)
        self.assertEqual(content.key.hex(), epoch["content_key"])
        plain = raw(epoch["plaintext"])
        for number, kind in enumerate(keys.KINDS):
            self.assertEqual(content.chunk_id(number, plain).hex(), epoch[f"chunk_id_{kind}"])
        self.assertEqual(content.slice_digest(plain).hex(), epoch["slice_digest"])

    def test_key_files(self):
        page = vectors("keys")
        expected = tuple(raw(page["device"][name]) for name in ("signing_seed", "receiving_secret"))
        files = page["key_files"]
        self.assertEqual(key_file.secrets(files["clear"]), expected)
        for case in files["sealed"]:
            self.assertEqual(key_file.passphrase_bytes(case["passphrase"]).hex(), case["passphrase_bytes"])
            self.assertEqual(key_file.secrets(case["text"], case["passphrase"]), expected)
            with self.assertRaises(InvalidTag):
                key_file.secrets(case["text"], case["passphrase"] + " ")
        with self.assertRaises(key_file.KeyFileError):
            key_file.secrets(files["clear"].replace("sign", "sigh"))

    def test_signatures(self):
        for case in vectors("keys")["signatures"]:
            valid = keys.verify(raw(case["domain"]), raw(case["key"]), raw(case["body"]), raw(case["signature"]))
            self.assertEqual(valid, case["valid"], case["why"])

    def test_wraps(self):
        for case in vectors("keys")["wraps"]:
            wrap = cbor.decode(raw(case["record"]))
            terms = (case["epoch"], raw(case["commitment"]), raw(case["salt"]))
            secret = raw(case["recipient_secret"])
            self.assertEqual(keys.open_wrap(wrap, secret, *terms).hex(), case["opens_to"])
            wrong_salt = bytes(32)
            self.assertIsNone(keys.open_wrap(wrap, secret, terms[0], terms[1], wrong_salt))


class Pairing(unittest.TestCase):
    """PAIR-11"""

    def test_proofs_and_words(self):
        for kind, case in enumerate(vectors("pairing")["invitations"]):
            inviter, joiner, own = (raw(case[it]) for it in ("inviter", "joiner", "inviter_vault"))
            theirs = case["joiner_vault"] and raw(case["joiner_vault"])
            secret = raw(case["secret"])
            said = pairing.transcript(False, kind, inviter, joiner, theirs, None)
            self.assertEqual(pairing.proof(secret, said).hex(), case["joiner_proof"])
            said = pairing.transcript(True, kind, inviter, joiner, theirs, own)
            self.assertEqual(pairing.proof(secret, said).hex(), case["inviter_proof"])
            numbers = raw(case["joiner_nonce"]), raw(case["inviter_nonce"])
            self.assertEqual(pairing.words(*numbers, said), case["words"])
            _, hello = cbor.decode(raw(case["hello"]))
            self.assertEqual(hello[5], pairing.commitment(numbers[0]))
            member = case["as_member"]
            if member:
                said = pairing.transcript(True, kind, inviter, joiner, theirs, own, pairing.MEMBER)
                self.assertEqual(pairing.proof(secret, said).hex(), member["inviter_proof"])
                self.assertEqual(pairing.words(*numbers, said), member["words"])
                _, welcome = cbor.decode(raw(member["welcome"]))
                self.assertEqual((welcome[1].hex(), welcome[4]), (member["inviter_proof"], pairing.MEMBER))


class Trail(unittest.TestCase):
    """TRAIL-3"""

    def test_chain(self):
        page = vectors("trail")
        entries = [raw(case["entry"]) for case in page["trail"]]
        bodies, last = trail.check(entries)
        self.assertEqual(last.hex(), page["trail"][-1]["hash"])
        self.assertEqual({body[1].hex() for body in bodies}, {page["device"]})
        self.assertEqual([body[4] for body in bodies], [case["time"] for case in page["trail"]])
        for gone in range(1, len(entries) - 1):
            with self.assertRaises(ValueError):
                trail.check(entries[:gone] + entries[gone + 1 :])


class Meeting(unittest.TestCase):
    """MEET-11"""

    def test_channels(self):
        for case in vectors("meeting")["channels"]:
            seed, public = meeting.channel(case["number"])
            self.assertEqual((seed.hex(), public.hex()), (case["seed"], case["id"]))

    def test_cpace(self):
        case = vectors("meeting")["cpace"]
        ci, said = meeting.context(7), [meeting.associated(side, 1) for side in (b"guest", b"host")]
        self.assertEqual([ci.hex(), *(data.hex() for data in said)], [case["ci"], case["ad_a"], case["ad_b"]])
        generator = meeting.generator(case["password"].encode(), ci)
        self.assertEqual(ristretto.encode(generator).hex(), case["generator"])
        scalars = [ristretto.scalar(raw(case[name])) for name in ("random_a", "random_b")]
        points = [ristretto.encode(ristretto.multiply(scalar, generator)) for scalar in scalars]
        self.assertEqual([point.hex() for point in points], [case["point_a"], case["point_b"]])
        for scalar, other in zip(scalars, reversed(points)):
            self.assertEqual(meeting.agree(scalar, other, points, said).hex(), case["isk"])
        later = [meeting.associated(side, 2) for side in (b"guest", b"host")]
        self.assertNotEqual(meeting.agree(scalars[0], points[1], points, later).hex(), case["isk"])

    def test_the_meeting_went_on_with_that_key(self):
        page = vectors("meeting")
        isk, went = raw(page["cpace"]["isk"]), page["meeting"]
        self.assertEqual(cbor.decode(raw(went["hello"])), [0, {0: 1, 1: raw(page["cpace"]["point_a"])}])
        self.assertEqual(cbor.decode(raw(went["answer"])), [1, {0: raw(page["cpace"]["point_b"])}])
        self.assertEqual(cbor.decode(raw(went["proof"])), [2, {0: meeting.guest_proof(isk)}])
        sealed, proof = meeting.seal(isk, page["after_cpace"]["ticket"])
        self.assertEqual(cbor.decode(raw(went["invited"])), [3, {0: proof, 1: sealed}])

    def test_after_cpace(self):
        case = vectors("meeting")["after_cpace"]
        isk = raw(case["isk"])
        self.assertEqual(meeting.guest_proof(isk).hex(), case["guest_proof"])
        sealed, proof = meeting.seal(isk, case["ticket"])
        self.assertEqual((sealed.hex(), proof.hex()), (case["sealed"], case["host_proof"]))


class Locating(unittest.TestCase):
    """LOC-9"""

    def test_record(self):
        page = vectors("locating")
        public = [raw(page[name]) for name in ("signing_public", "access_public", "hpke_public")]
        locator = locating.locator(*public)
        self.assertEqual(locator.hex(), page["locator"])
        self.assertEqual(locating.slot(locator).hex(), page["slot"])
        shown = page["seek_beacon"]
        beacon = locating.seek_beacon(locator, raw(shown["nonce"]), shown["clock"])
        self.assertEqual(beacon.hex(), shown["beacon"])
        publisher, made, found = locating.read(locator, raw(page["record"]))
        seed = raw(page["device_signing_seed"])
        self.assertEqual(publisher, locating.publisher(seed, locating.slot(locator)))
        self.assertEqual((publisher.hex(), made), (page["publisher"], page["made"]))
        self.assertEqual((found[0].hex(), found[1]), (page["device"], page["addresses"]))
        for at in range(0, locating.RECORD_BYTES, 97):
            broken = bytearray(raw(page["record"]))
            broken[at] ^= 1
            self.assertRaises(ValueError, locating.read, locator, bytes(broken))


class Guarding(unittest.TestCase):
    """GUARD-15"""

    def test_splitting(self):
        for case in vectors("guarding")["splitting"]:
            shares = [(share["place"], raw(share["bytes"])) for share in case["shares"]]
            threshold = case["threshold"]
            for some in (shares, shares[::-1], shares[-threshold:]):
                self.assertEqual(guarding.join(threshold, some).hex(), case["secret"])
            self.assertRaises(ValueError, guarding.join, threshold, shares[: threshold - 1])
            self.assertRaises(ValueError, guarding.join, 2, [shares[0], shares[0]])
            self.assertRaises(ValueError, guarding.join, 2, [shares[0], (0, bytes(32))])

    def test_phrase(self):
        page = vectors("guarding")
        vault, signing = raw(page["vault"]), raw(page["recovery_signing_public"])
        of = guarding.Set(raw(page["set"]), vault, signing)
        shares = []
        for guardian in page["guardians"]:
            secret = guarding.receiving(raw(guardian["epoch_key"]))
            self.assertEqual(secret.hex(), guardian["receiving_secret"])
            share = of.share(secret)
            self.assertEqual((share[0], share[1].hex()), (guardian["place"], guardian["share"]))
            shares.append(share)
        self.assertIsNone(of.share(guarding.receiving(bytes(32))))
        named = {
            (guardian["vault"], guardian["name"], guardian["epoch"], guardian["receiving_public"])
            for guardian in page["guardians"]
        }
        names = of.names(raw(page["epoch_key_1"]))
        self.assertEqual({(vault.hex(), name, epoch, key.hex()) for vault, name, epoch, key in names}, named)
        for two in (shares[:2], shares[1:], shares[::2]):
            secret = of.secret(two)
            self.assertEqual(secret.hex(), page["set_secret"])
        self.assertEqual(of.release_seed(secret).hex(), page["release_seed"])
        self.assertEqual(of.release.hex(), page["release_key"])
        self.assertEqual(of.entropy(secret, raw(page["sealed_phrase"])).hex(), page["phrase_entropy"])
        self.assertIsNone(guarding.Set(raw(page["dissolved"]), vault, signing).appointed)

    def test_release(self):
        page = vectors("guarding")
        of = guarding.Set(raw(page["set"]), raw(page["vault"]), raw(page["recovery_signing_public"]))
        request = of.request(raw(page["request"]))
        self.assertEqual(request[5], "new-laptop")
        of.stop(raw(page["stop"]), request, raw(page["stopped_by"]))
        kept = cbor.decode(raw(page["guard_file"]))
        self.assertEqual((kept[1].hex(), kept[2].hex()), (page["set"], page["sealed_phrase"]))
        self.assertEqual(kept[3][0][0].hex(), page["request"])
        self.assertEqual(kept[3][0][2].hex(), page["stop"])
        handed = cbor.decode(raw(page["handed"])[4:])
        proof = guarding.help_proof(raw(page["invite_secret"]), raw(page["helps"]), raw(page["asks"]))
        self.assertEqual((handed[1], handed[3].hex(), handed[4].hex()), (proof, page["genesis"], page["set"]))
        self.assertTrue(of.has(handed[5][0], handed[5][1]))


class Tending(unittest.TestCase):
    """TEND-13"""

    def test_records(self):
        page = vectors("tending")
        log = device_log.Log(raw(page["vault"]), [raw(entry) for entry in page["log"]])
        for site in page["site_tags"]:
            self.assertEqual(tending.site_tag(raw(page["epoch_key_1"]), site["name"]).hex(), site["tag"])
        device, number, copies, holders = tending.introduction(raw(page["introduction"]), log)
        self.assertEqual((device.hex(), number, copies), (page["device"], 1_800_000_000, 2))
        self.assertEqual([tag.hex() for _, tag, _ in holders], [site["tag"] for site in page["site_tags"]])
        kept = cbor.decode(raw(page["introductions_file"]))
        self.assertEqual([record.hex() for record in kept[1]], [page["introduction"]])
        of, roots = tending.claimed(raw(page["claimed_file"]), log)
        self.assertEqual((of.device.hex(), [root.hex() for root in roots]), (page["device"], page["claimed_roots"]))
        for name, reader in (("introduction", tending.introduction), ("claimed_file", tending.claimed)):
            broken = bytearray(raw(page[name]))
            broken[-1] ^= 1
            self.assertRaises(ValueError, reader, bytes(broken), log)
        self.assertEqual(cbor.decode(raw(page["vigil"]))[1], 259_200)


class Leaving(unittest.TestCase):
    """LEAVE-9"""

    def test_words(self):
        page = vectors("leaving")
        log = device_log.Log(raw(page["vault"]), [raw(entry) for entry in page["log"]])
        for said in page["words"]:
            device, other, number, wish, waives = leaving.word(raw(said["word"]), log)
            self.assertEqual((device.hex(), other.hex(), number), (page["device"], page["other"], said["number"]))
            expected = said["wish"] and (said["wish"]["number"], said["wish"]["leaves"], said["wish"]["stayed"])
            self.assertEqual((wish, waives), (expected, said["waives"]))
            broken = bytearray(raw(said["word"]))
            broken[-1] ^= 1
            self.assertRaises(ValueError, leaving.word, bytes(broken), log)
        self.assertEqual(cbor.decode(raw(page["days"]))[2], 1)
        vault, other, number = raw(page["vault"]), raw(page["other"]), page["tag"]["number"]
        known = [(vault, other, raw(page["device"]), number), (other, vault, raw(page["tag"]["other_device"]), number)]
        self.assertEqual(leaving.tag(known).hex(), page["tag"]["both_have_said_number_1"])


class DeviceLog(unittest.TestCase):
    """LOG-1, LOG-2, LOG-12"""

    def test_log(self):
        page = vectors("device_log")
        entries = [raw(entry["entry"]) for entry in page["entries"]]
        vault = raw(page["vault"])
        for order in (entries, entries[::-1]):
            log = device_log.Log(vault, order)
            self.assertEqual(log.refused, 0)
            self.assertEqual(sorted(d.hex() for d in log.devices), sorted(d["id"] for d in page["devices"]))
        recovery = keys.Recovery(phrase.entropy(page["words"]))
        self.assertTrue(log.belongs_to(recovery))
        self.assertEqual([log.epoch_keys(recovery)[1][0].hex()], page["epoch_keys"])

    def test_removals(self):
        """LOG-16, LOG-17, LOG-18, LOG-19"""
        page = vectors("device_log")
        recovery = keys.Recovery(phrase.entropy(page["words"]))
        for case in page["with_removals"]:
            entries, vault = [raw(entry) for entry in case["entries"]], raw(page["vault"])
            for order in (entries, entries[::-1]):
                with self.subTest(case["what"]):
                    log = device_log.Log(vault, order)
                    self.assertEqual(log.refused, 0)
                    self.assertEqual(sorted(device.hex() for device in log.devices), case["living"])
                    self.assertEqual(sorted(device.hex() for device in log.removed), case["removed"])
                    opened = log.epoch_keys(recovery)
                    found = [key.hex() for number in sorted(opened) for key in opened[number]]
                    self.assertEqual(found, case["epoch_keys"])

    def test_names_and_roles(self):
        """LOG-23, LOG-24, LOG-26, LOG-27, LOG-28"""
        page = vectors("device_log")
        recovery = keys.Recovery(phrase.entropy(page["words"]))
        for case in page["with_names_and_roles"]:
            entries, vault = [raw(entry) for entry in case["entries"]], raw(page["vault"])
            for order in (entries, entries[::-1]):
                with self.subTest(case["what"]):
                    log = device_log.Log(vault, order)
                    self.assertEqual(log.refused, 0)
                    opened = log.epoch_keys(recovery)
                    found = [
                        {
                            "id": device.hex(),
                            "name": log.label(device, opened)[0],
                            "role": "owner" if device in log.owners else "member",
                        }
                        for device in sorted(log.devices)
                    ]
                    self.assertEqual(found, case["devices"])
        of_members = page["refused_of_members"]
        first = [raw(entry) for entry in of_members["first"]]
        for case in of_members["refused"]:
            with self.subTest(case["why"]):
                try:
                    log = device_log.Log(raw(page["vault"]), first + [raw(case["entry"])])
                except (device_log.LogError, cbor.CborError):
                    continue
                self.assertEqual((log.refused, len(log.entries)), (1, 2))

    def test_refused_entries(self):
        page = vectors("device_log")
        first, vault = raw(page["entries"][0]["entry"]), raw(page["vault"])
        for case in page["refused_after_the_first_entry"]:
            with self.subTest(case["why"]):
                try:
                    log = device_log.Log(vault, [first, raw(case["entry"])])
                except (device_log.LogError, cbor.CborError):
                    continue
                self.assertEqual((log.refused, len(log.entries)), (1, 1))
        for case in page["refused_as_first_entry"]:
            entry = raw(case["entry"])
            with self.subTest(case["why"]), self.assertRaises(device_log.LogError):
                device_log.Log(keys.derive("larder 2026 log entry v1", cbor.decode(entry)[0]), [entry])


class Heads(unittest.TestCase):
    """HEAD-1, HEAD-5, HEAD-9, HEAD-10"""

    def test_heads(self):
        page = vectors("head")
        records = [raw(entry) for entry in page["log"]]
        genesis = keys.derive("larder 2026 log entry v1", cbor.decode(records[0])[0])
        log = device_log.Log(genesis, records)
        for case in page["heads"]:
            found = head.Head(raw(case["head"]), log)
            self.assertEqual(found.hash.hex(), case["hash"])
            self.assertEqual((found.seq, found.device.hex()), (case["seq"], case["device"]))
            self.assertEqual((found.commit_root.hex(), found.commit_bytes), (case["commit_root"], case["commit_bytes"]))
        for case in page["refused"]:
            with self.assertRaises(head.HeadError, msg=case["why"]):
                head.Head(raw(case["head"]), log)
        named = [("", raw(case["head"])) for case in page["heads"] + page["refused"]]
        best, refused = head.newest(named, log)
        expected = {}
        for case in page["heads"]:
            expected[case["device"]] = max(case["seq"], expected.get(case["device"], 0))
        self.assertEqual({found.device.hex(): found.seq for found in best}, expected)
        self.assertEqual(len(refused), len(page["refused"]))
        claims = page["claims"]
        self.assertEqual(head.claims_root([raw(root) for root in claims["roots"]]).hex(), claims["root"])


class Packs(unittest.TestCase):
    """PACK-1, PACK-2, PACK-12, PACK-13, PACK-14, INDEX-6, CHUNK-9, CHUNK-12"""

    def test_packs_without_and_with_an_index(self):
        page = vectors("pack")
        epoch_keys = {1: [raw(page["epoch_key_1"])], 2: [raw(page["epoch_key_2"])]}
        content, vault = keys.Content(epoch_keys[1][0]), raw(page["vault"])
        for case in page["packs"]:
            data = raw(case["pack"])
            opened = pack.Pack(data, vault, epoch_keys)
            plains = {}
            for kind in range(len(keys.KINDS)):
                plains.update(opened.chunks(content, kind))
            for chunk in case["chunks"]:
                self.assertEqual(plains[chunk["position"]].hex(), chunk["plain"])
                self.assertEqual(opened.records[chunk["position"]][0].hex(), chunk["id"])
            home = Shards({raw(case["root"]): data})
            store = pack.Store(home, vault, epoch_keys)
            store.add_segment(raw(case["index_segment"]))
            for chunk in case["chunks"]:
                kind = keys.KINDS.index(chunk["kind"].lower())
                self.assertEqual(store.chunk(raw(chunk["id"]), kind).hex(), chunk["plain"])
            with self.assertRaises(pack.PackError):
                pack.Pack(data, vault, {1: [bytes(32)], 2: [bytes(32)]})
            for at in (0, 8, 20, 50, len(data) - 1, len(data) - 30):
                damaged = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
                with self.assertRaises(pack.PackError):
                    pack.Pack(damaged, vault, epoch_keys)

    def test_frames(self):
        page = vectors("chunk")
        content = keys.Content(raw(page["epoch_key_1"]))
        for case in page["frames"]:
            plain = pack.decompress(raw(case["frame"]), case["plain_bytes"])
            self.assertEqual(plain.hex(), case["plain"])
            self.assertEqual(content.chunk_id(keys.DATA, plain).hex(), case["chunk_id_data"])
            self.assertEqual(content.slice_digest(plain).hex(), case["slice_digest"])
            for wrong in (case["plain_bytes"] - 1, case["plain_bytes"] + 1, 5 << 20):
                with self.assertRaises(pack.PackError):
                    pack.decompress(raw(case["frame"]), wrong)


class Coding(unittest.TestCase):
    """CODE-1, CODE-2, CODE-4, CODE-5, CODE-11, CODE-13"""

    def test_field_and_factors(self):
        page = vectors("coding")
        for a, b, product in page["products"]:
            self.assertEqual(coding.multiply(a, b), product)
        for case in page["rows"]:
            self.assertEqual(coding.factors(case["k"], case["shard"]), case["factors"])

    def test_shards_and_packs_from_the_last_of_them(self):
        for case in vectors("coding")["codes"]:
            k, n, length = case["k"], case["n"], case["pack_bytes"]
            with self.subTest(k=k, n=n, length=length):
                pack_bytes = bytes((j * j // 7 + j) % 251 for j in range(length))
                self.assertEqual(blake3(pack_bytes).hexdigest(), case["pack_root"])
                self.assertEqual(coding.shard_bytes(k, length), case["shard_bytes"])
                shards = [coding.shard(k, i, pack_bytes) for i in range(n)]
                self.assertEqual([blake3(shard).hexdigest() for shard in shards], case["roots"])
                self.assertEqual([shard.hex() for shard in shards if len(shard) <= 64], case["shards"])
                last = {i: shards[i] for i in range(n - k, n)}
                self.assertEqual(coding.decode(k, length, last), pack_bytes)
                roots = [raw(root) for root in case["roots"]]
                self.assertEqual(coding.record(raw(case["record"])), (k, length, roots))

    def test_refused_records(self):
        for case in vectors("coding")["refused_records"]:
            with self.subTest(case["why"]), self.assertRaises((coding.CodingError, cbor.CborError)):
                coding.record(raw(case["record"]))


class Shards:
    """A home that has shards only."""

    def __init__(self, shards):
        self.shards = shards

    def shard(self, root, _length):
        return self.shards[root]


class Chunks:
    """A store that has chunks only."""

    def __init__(self, content):
        self.content, self.plain = content, {}

    def chunk(self, chunk_id, _kind):
        return self.plain[chunk_id]


class Trees(unittest.TestCase):
    """TREE-1, TREE-3, TREE-18, SNAPSHOT-3, MANIFEST-4"""

    def test_nodes(self):
        page = vectors("tree")
        store = Chunks(keys.Content(raw(page["epoch_key_1"])))
        for name, node in page["nodes"].items():
            kind = keys.EXTENTS if name.startswith("extents") else keys.DIRECTORY
            plain = raw(node["plain"])
            self.assertEqual(store.content.chunk_id(kind, plain).hex(), node["id"])
            store.plain[raw(node["id"])] = plain
        listed = list(tree.entries(store, raw(page["nodes"]["directory_of_all_entries"]["id"])))
        expected = [tree.Entry(cbor.decode(raw(case["entry"]))) for case in page["entries"]]
        self.assertEqual([e.name for e in listed], sorted(e.name for e in expected))
        self.assertEqual(list(tree.entries(store, raw(page["nodes"]["empty_directory"]["id"]))), [])

    def test_snapshot_and_manifest(self):
        page = vectors("tree")
        content = keys.Content(raw(page["epoch_key_1"]))
        for name, kind in (("snapshot", keys.SNAPSHOT), ("manifest", keys.MANIFEST)):
            plain = raw(page[name]["plain"])
            self.assertEqual(content.chunk_id(kind, plain).hex(), page[name]["id"])
            self.assertEqual(cbor.encode(cbor.decode(plain)), plain)

    def test_hostile_names(self):
        fine = cbor.decode(raw(vectors("tree")["entries"][0]["entry"]))
        for name in (b"", b".", b"..", b"a/b", b"/etc", b"a\0b", b"x" * 1025):
            with self.assertRaises(tree.TreeError, msg=name):
                tree.Entry({**fine, 0: name})


if __name__ == "__main__":
    unittest.main()

"""The reader against specs/vectors/: another implementation of the same pages, or the pages are not enough."""

import json
import os
import unittest
from pathlib import Path

import cbor
import device_log
import head
import keys
import phrase

VECTORS = Path(os.environ.get("LARDER_VECTORS", Path(__file__).parents[2] / "specs" / "vectors"))


def vectors(name):
    return json.loads((VECTORS / f"{name}.json").read_text())


def raw(text):
    return bytes.fromhex(text)


class Keys(unittest.TestCase):
    """KEYS-1, KEYS-4, KEYS-8, KEYS-10"""

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
        self.assertEqual([log.epoch_keys(recovery)[1].hex()], page["epoch_keys"])

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


if __name__ == "__main__":
    unittest.main()

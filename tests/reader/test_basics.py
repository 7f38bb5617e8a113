"""What needs no page of specs/: the standards that the reader stands on, against their own published vectors."""

import unittest

import cbor
import hpke
import phrase
import ristretto


class Cbor(unittest.TestCase):
    def test_values_go_round_and_have_one_form(self):
        for value in (0, 23, 24, 255, 256, 2**32, 2**64 - 1, -1, -500, b"\x00\xff", "ü", [], [1, [2]], {0: b"", 1: None}, True):
            self.assertEqual(cbor.decode(cbor.encode(value)), value)
        for wrong in ("1807", "190001", "a201010000", "a2000100", "9f00ff", "0000", "", "5803aa", "f7", "fb3ff0000000000000"):
            with self.assertRaises(cbor.CborError, msg=wrong):
                cbor.decode(bytes.fromhex(wrong))


class Phrase(unittest.TestCase):
    def test_published_vectors_of_bip39(self):
        zero = "abandon " * 23 + "art"
        self.assertEqual(phrase.entropy(zero), bytes(32))
        self.assertEqual(phrase.entropy("zoo " * 23 + "vote"), b"\xff" * 32)
        self.assertEqual(phrase.entropy(zero.upper().replace(" ", ", ")), bytes(32))
        for wrong in ("abandon " * 24, "abandon " * 22 + "art", "abandon " * 22 + "aardvark art"):
            with self.assertRaises(phrase.PhraseError):
                phrase.entropy(wrong)


class Ristretto(unittest.TestCase):
    def test_published_vectors_of_rfc_9496(self):
        multiples = [
            "0000000000000000000000000000000000000000000000000000000000000000",
            "e2f2ae0a6abc4e71a884a961c500515f58e30b6aa582dd8db6a65945e08d2d76",
            "6a493210f7499cd17fecb510ae0cea23a110e8d5b901f8acadd3095c73a3b919",
        ]
        base = ristretto.decode(bytes.fromhex(multiples[1]))
        for scalar, encoded in enumerate(multiples):
            self.assertEqual(ristretto.encode(ristretto.multiply(scalar, base)).hex(), encoded)
            self.assertEqual(ristretto.encode(ristretto.decode(bytes.fromhex(encoded))).hex(), encoded)
        self.assertEqual(ristretto.encode(ristretto.multiply(ristretto.ORDER, base)), bytes(32))
        for wrong in ("01" + 31 * "00", 32 * "ff", "ed" + 30 * "ff" + "7f", 31 * "00"):
            with self.assertRaises(ValueError, msg=wrong):
                ristretto.decode(bytes.fromhex(wrong))


class Hpke(unittest.TestCase):
    def test_published_vector_of_rfc_9180_a_2_1(self):
        secret = bytes.fromhex("8057991eef8f1f1af18f4a9491d16a1ce333f695d4db8e38da75975c4478e0fb")
        encapped = bytes.fromhex("1afa08d3dec047a643885163f1180476fa7ddb54c6a8029ea33f95796bf2ac4a")
        info = bytes.fromhex("4f6465206f6e2061204772656369616e2055726e")
        aad = bytes.fromhex("436f756e742d30")
        sealed = bytes.fromhex(
            "1c5250d8034ec2b784ba2cfd69dbdb8af406cfe3ff938e131f0def8c8b60b4db21993c62ce81883d2dd1b51a28"
        )
        plain = hpke.open_single(secret, encapped, info, aad, sealed)
        self.assertEqual(plain, b"Beauty is truth, truth beauty")


if __name__ == "__main__":
    unittest.main()

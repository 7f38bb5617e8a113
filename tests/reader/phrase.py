"""The recovery phrase: 24 words of BIP39's English list, 256 bits and 8 bits of check. No PBKDF2."""

import hashlib
import re
from pathlib import Path

WORDS = (Path(__file__).parent / "english.txt").read_text().split()


class PhraseError(ValueError):
    """Not a recovery phrase."""


def entropy(text):
    """The 32 bytes behind a phrase. Upper case, line ends, commas and numbers before the words do no harm."""
    words = [word for word in re.split(r"[\s,;]+", text.lower()) if not re.fullmatch(r"[0-9.):]*", word)]
    if len(words) != 24:
        raise PhraseError(f"a phrase has 24 words, this one has {len(words)}")
    number = 0
    for position, word in enumerate(words, 1):
        if word not in WORDS:
            raise PhraseError(f"word {position} is not in the list")
        number = number << 11 | WORDS.index(word)
    secret = (number >> 8).to_bytes(32, "big")
    if hashlib.sha256(secret).digest()[0] != number & 0xFF:
        raise PhraseError("the words do not fit together: one is wrong, or two are swapped")
    return secret

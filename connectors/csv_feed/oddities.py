"""Text that went through a wrong decoding or a web page: letters are lost, or stand for others."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

_ENTITY = re.compile(r"&(?:amp|lt|gt|quot|apos|nbsp|#\d{2,5}|#x[0-9a-f]{2,5});", re.IGNORECASE)
_WORD = re.compile(r"[^\W\d_]+")
_REMEMBERED = 4096


def oddity(text: str) -> str:
    """What is wrong with a cell's letters, "" = nothing."""
    if text.isascii():
        return "codes of a web page such as &amp;" if "&" in text and _ENTITY.search(text) else ""
    return _of_letters(text)


@lru_cache(_REMEMBERED)
def _of_letters(text: str) -> str:
    if "\ufffd" in text or any("\x80" <= char <= "\x9f" for char in text):
        return "characters that were lost in decoding"
    if _was_decoded_twice(text):
        return "letters of text that was decoded in the wrong encoding"
    scripts = [_scripts(word) for word in _WORD.findall(text)]
    if any("FULLWIDTH" in one for one in scripts):
        return "letters as wide as Chinese ones"
    if any(len(one) > 1 for one in scripts):
        return "words with letters of two alphabets that look alike"
    return "codes of a web page such as &amp;" if _ENTITY.search(text) else ""


def _was_decoded_twice(text: str) -> bool:
    """Its bytes as Windows or Latin-1 text are UTF-8: written so by chance only in texts of two letters and less."""
    for encoding in ("cp1252", "latin-1"):
        try:
            return text.encode(encoding).decode("utf-8") != text
        except UnicodeError:
            continue
    return False


def _scripts(word: str) -> set[str]:
    names = {unicodedata.name(char, "").partition(" ")[0] for char in word if not char.isascii()}
    latin = {"LATIN"} if any(char.isascii() for char in word) else set()
    return (names & {"LATIN", "CYRILLIC", "GREEK", "ARMENIAN", "CHEROKEE", "FULLWIDTH"}) | latin

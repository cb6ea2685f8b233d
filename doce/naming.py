"""Names and slugs out of what people write."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable

MAX_SLUG = 50
MAX_NAME = 60

#: Words that say nothing about the site.
_FILLER = frozenset(
    """a an and are as at be build built by can could create design develop do doce for from generate give good great has have
    help i in into is it its just like looking make me modern my need new nice of on one or our page please really show simple
    site so some that the their them there this to up us use using very want we web webapp webpage website which who will with
    would you your""".split()
)


def meaningful(text: str, most: int) -> list[str]:
    """Up to `most` different words of `text` that say something, in their order; of a text without any, just words."""
    words = [word for word in re.findall(r"[^\W_][\w'’-]*", text[:2000]) if not word.isdigit()]
    telling = [word for word in words if word.lower() not in _FILLER] or words
    return list({word.lower(): word for word in reversed(telling)}.values())[::-1][:most]


def capitalized(word: str) -> str:
    """`word` with a capital, unless it has its own."""
    return word if any(character.isupper() for character in word[1:]) else word[:1].upper() + word[1:]


def name_from(prompt: str) -> str:
    """2-4 meaningful words of `prompt` in title case; what a project is called until somebody says better."""
    chosen: list[str] = []
    for word in meaningful(prompt, 4):
        chosen.append(word)
        if sum(map(len, chosen)) > 32:
            break
    return " ".join(capitalized(word) for word in chosen)[:MAX_NAME].strip() or "New Site"


def slug_from(name: str) -> str:
    """`name` as lower-case ASCII words joined by hyphens; what stands in addresses."""
    ascii_name = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    slug = re.sub(r"[^a-z0-9]+", "-", ascii_name.lower()).strip("-")[:MAX_SLUG].strip("-")
    return slug or "site"


def free_slug(slug: str, taken: Callable[[str], bool]) -> str:
    """`slug`, or the first of ``slug-2``, ``slug-3`` … that is not `taken`, never longer than a slug may be."""
    number, candidate = 1, slug
    while taken(candidate):
        number += 1
        suffix = f"-{number}"
        candidate = slug[: MAX_SLUG - len(suffix)].strip("-") + suffix
    return candidate

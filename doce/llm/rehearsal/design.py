"""From words to a design: title, colours, sections. The same words always make the same design."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

from doce.naming import capitalized, meaningful

#: Named colours and moods as a hue in degrees.
HUES = {
    "red": 4, "crimson": 350, "terracotta": 16, "rust": 18, "orange": 28, "amber": 40, "gold": 45, "yellow": 50, "mustard": 48,
    "olive": 72, "lime": 84, "green": 140, "forest": 150, "mint": 160, "emerald": 152, "teal": 178, "turquoise": 182, "cyan": 190,
    "sky": 204, "blue": 216, "navy": 222, "ocean": 200, "indigo": 240, "violet": 262, "purple": 276, "lavender": 264, "magenta": 310,
    "pink": 334, "rose": 344, "warm": 24, "earthy": 30, "cool": 208, "fresh": 150, "calm": 196, "bold": 8, "sand": 38, "clay": 18,
    "coffee": 26, "cafe": 26, "café": 26, "bakery": 34, "bread": 34, "sea": 200, "wine": 340, "garden": 130, "tea": 110, "ceramicist": 18,
}  # fmt: skip

#: What a word in a prompt asks for: (section kind, its title).
SECTION_WORDS = {
    "gallery": ("gallery", "Gallery"), "portfolio": ("gallery", "Selected work"), "photos": ("gallery", "Photos"),
    "pictures": ("gallery", "Pictures"), "projects": ("gallery", "Projects"), "work": ("gallery", "Selected work"),
    "price": ("prices", "Prices"), "prices": ("prices", "Prices"), "pricing": ("prices", "Prices"), "shop": ("prices", "Shop"),
    "store": ("prices", "Shop"), "products": ("prices", "Products"), "services": ("prices", "Services"), "menu": ("menu", "Menu"),
    "drinks": ("menu", "Drinks"), "hours": ("hours", "Opening hours"), "opening": ("hours", "Opening hours"),
    "contact": ("contact", "Contact"), "booking": ("contact", "Book"), "reservation": ("contact", "Reserve a table"),
    "about": ("about", "About"), "story": ("about", "Our story"), "bio": ("about", "About"), "team": ("team", "Team"),
    "people": ("team", "People"), "faq": ("faq", "Questions and answers"), "questions": ("faq", "Questions and answers"),
    "testimonials": ("voices", "What people say"), "reviews": ("voices", "What people say"), "quotes": ("voices", "What people say"),
    "events": ("programme", "Events"), "schedule": ("programme", "Schedule"), "programme": ("programme", "Programme"),
    "program": ("programme", "Programme"), "dates": ("programme", "Dates"), "workshops": ("programme", "Workshops"),
    "classes": ("programme", "Classes"), "blog": ("posts", "Latest posts"), "posts": ("posts", "Latest posts"),
    "news": ("posts", "News"), "newsletter": ("newsletter", "Newsletter"), "location": ("location", "Where to find us"),
    "map": ("location", "Where to find us"), "directions": ("location", "Where to find us"), "features": ("features", "Features"),
}  # fmt: skip

_MENU, _HOURS, _PLACE = ("menu", "Menu"), ("hours", "Opening hours"), ("location", "Where to find us")
_WORK, _ABOUT, _CONTACT = ("gallery", "Selected work"), ("about", "About"), ("contact", "Contact")
_PRICES, _FAQ, _PROGRAMME = ("prices", "Prices"), ("faq", "Questions and answers"), ("programme", "Programme")
_POSTS, _LETTER, _FEATURES = ("posts", "Latest posts"), ("newsletter", "Newsletter"), ("features", "What you find here")

#: What kinds of sites usually have.
TYPES: tuple[tuple[str, tuple[tuple[str, str], ...]], ...] = (
    (r"restaurant|caf[eé]|bar\b|pizzeria|bistro|bakery|food|kitchen|tavern", (_MENU, _HOURS, _PLACE)),
    (r"portfolio|artist|ceramic|potter|photograph|paint|illustrat|design|architect|sculpt", (_WORK, _ABOUT, _CONTACT)),
    (r"shop|store|market|sell|boutique|merch", (("prices", "Shop"), _FAQ, _CONTACT)),
    (r"wedding|conference|festival|event|meetup|concert|party", (_PROGRAMME, _PLACE, _FAQ)),
    (r"blog|journal|magazine|writer|diary", (_POSTS, _ABOUT, _LETTER)),
    (r"app\b|startup|software|saas|product|tool|platform|agency|company", (("features", "Features"), _PRICES, _FAQ)),
    (r"yoga|gym|studio|school|course|teach|class|club", (("programme", "Classes"), ("team", "Team"), _PRICES)),
)
USUAL = (_FEATURES, _ABOUT, _CONTACT)


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the page: what kind it is, its title, and a word it is about."""

    kind: str
    title: str
    about: str

    @property
    def id(self) -> str:
        slug = re.sub(r"[^a-z0-9]+", "-", self.title.lower()).strip("-")
        return slug or self.kind


@dataclass(frozen=True, slots=True)
class Design:
    """Everything a page is made from."""

    title: str
    tagline: str
    words: tuple[str, ...]
    hue: int
    #: ``light dark``, ``dark`` or ``light``
    scheme: str
    sections: tuple[Section, ...]
    seed: int


def design(prompt: str) -> Design:
    """The design of a first prompt."""
    words = tuple(word for word in meaningful(prompt, 12) if not _is_wish(word)) or ("Site",)
    seed = int(hashlib.sha256(prompt.encode("utf-8", "replace")).hexdigest()[:12], 16)
    title = title_of(prompt, words)
    tagline = " ".join(prompt.split())
    return Design(
        title=title,
        tagline=tagline if len(tagline) <= 160 else tagline[:157].rsplit(" ", 1)[0] + " …",
        words=words,
        hue=hue_of(prompt, seed % 360),
        scheme=scheme_of(prompt) or "light dark",
        sections=sections_of(prompt, words),
        seed=seed,
    )


def title_of(prompt: str, words: tuple[str, ...]) -> str:
    """What the person calls it, else its first telling words."""
    named = re.search(r"(?:called|named|titled)\s+[\"“']?([^\"”'.,;\n]{2,50})", prompt, re.IGNORECASE)
    if named:
        return re.split(r"\s+(?:with|and|for|that|which|in)\s+", named[1])[0].strip()
    quoted = re.search(r"[\"“]([^\"”\n]{2,50})[\"”]", prompt)
    if quoted:
        return quoted[1].strip()
    return " ".join(capitalized(word) for word in words[:3])[:60]


def hue_of(prompt: str, default: int) -> int:
    """The first colour or mood that is named."""
    for word in re.findall(r"\w+", prompt.lower()):
        if word in HUES:
            return HUES[word]
    return default


def scheme_of(prompt: str) -> str | None:
    """Whether dark or light was asked for."""
    if re.search(r"\b(dark(er)?|night|black)\b", prompt, re.IGNORECASE):
        return "dark"
    if re.search(r"\b(light(er)?|bright(er)?|white)\b", prompt, re.IGNORECASE):
        return "light"
    return None


def sections_of(prompt: str, words: tuple[str, ...]) -> tuple[Section, ...]:
    """What was named, then what such a site usually has: 3 to 6, each once."""
    named = [SECTION_WORDS[word] for word in re.findall(r"[^\W_]+", prompt.lower()) if word in SECTION_WORDS]
    usual = next((sections for pattern, sections in TYPES if re.search(pattern, prompt, re.IGNORECASE)), USUAL)
    chosen: dict[str, str] = {}
    for kind, title in (*named, *usual):
        if kind not in chosen and len(chosen) < 6:
            chosen[kind] = title
    return tuple(Section(kind, title, words[index % len(words)]) for index, (kind, title) in enumerate(chosen.items()))


def section_for(request: str, words: tuple[str, ...]) -> Section:
    """The section that a follow-up asks for: a known kind, else one about its own words."""
    for word in re.findall(r"[^\W_]+", request.lower()):
        if word in SECTION_WORDS:
            kind, title = SECTION_WORDS[word]
            return Section(kind, title, words[0] if words else title)
    title = " ".join(capitalized(word) for word in words[:4]) or "More"
    return Section("text", title, title)


_WISHES = frozenset("page website site homepage section warm dark light colours colors style".split())


def _is_wish(word: str) -> bool:
    return word.lower() in _WISHES

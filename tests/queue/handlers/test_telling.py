"""What a failed build's record says of its log."""

from __future__ import annotations

from doce.queue.handlers.production import telling

ASTRO = """\
18:12:27 [build] Building static entrypoints...
18:12:28 [ERROR] [vite] ✗ Build failed in 881ms
[UNRESOLVED_IMPORT] Could not resolve './nowhere.js' in src/pages/index.astro
   ╭─[ src/pages/index.astro:2:15 ]
   │
 2 │ import x from "./nowhere.js";
   │               ───────┬──────
   │                      ╰──────── Module not found.
   │ Help: 'src/pages/index.astro' is imported by the following path:
───╯
  Location:
    /data/builds/9869/src/src/pages/index.astro:2:14
""".splitlines()


def test_it_begins_where_the_error_does() -> None:
    assert telling(ASTRO).splitlines() == [
        "Its log says:",
        "18:12:28 [ERROR] [vite] ✗ Build failed in 881ms",
        "[UNRESOLVED_IMPORT] Could not resolve './nowhere.js' in src/pages/index.astro",
        "[ src/pages/index.astro:2:15 ]",
        '2 │ import x from "./nowhere.js";',
        "Module not found.",
        "Help: 'src/pages/index.astro' is imported by the following path:",
    ]


def test_without_one_the_last_lines_say_where_it_stood() -> None:
    assert telling(["one", "two", "", "───", "three", "four"]) == "Its log says:\ntwo\nthree\nfour"
    assert telling(["x" * 1000]) == "Its log says:\n" + "x" * 300
    assert telling([]) == telling(["", "──╯"]) == ""

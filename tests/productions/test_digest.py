"""What a build made, kept as a release."""

from __future__ import annotations

from pathlib import Path

from doce.productions.digest import copy, measure
from doce.productions.layout import CURRENT, ProductionLayout

NOW = 1_800_000_000_000


def release(layout: ProductionLayout, made: Path, **files: str) -> Path:
    """Keep `files` as the pipeline does, and switch to them."""
    for name, text in files.items():
        (made / name).parent.mkdir(parents=True, exist_ok=True)
        (made / name).write_text(text)
    hash = measure(made).hash
    copy(made, layout.release(hash) / "dist", layout.next_time(NOW), layout.root / CURRENT / "dist")
    layout.switch(hash, NOW)
    return layout.release(hash) / "dist"


def test_no_two_versions_of_a_file_have_the_same_time_and_size(tmp_path: Path) -> None:
    """A browser that has one of them would be told that it is the other; here all are deployed within the same second."""
    layout, made = ProductionLayout(tmp_path / "production"), tmp_path / "made"
    kept = [release(layout, made, index=f"page {number}", same="always", grows="x" * number) for number in range(5)]
    assert len({(folder / "index").stat().st_mtime for folder in kept}) == 5
    assert min((folder / "index").stat().st_mtime for folder in kept) == NOW / 1000
    assert {(folder / "same").stat().st_mtime for folder in kept} == {NOW / 1000}, "what did not change is not fetched again"
    # Back to a page that was there before: it is another file than the one before it, whatever the clock says.
    again = release(layout, made, index="page 0", grows="", other="new")
    assert (again / "index").stat().st_mtime > max((folder / "index").stat().st_mtime for folder in kept)
    assert (again / "other").stat().st_mode & 0o777 == 0o444

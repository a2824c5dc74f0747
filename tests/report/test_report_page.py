"""The page and the files beside it."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from aiida_limsm.compute.base import Status
from aiida_limsm.compute.results import AnalyseResults
from aiida_limsm.report import html
from aiida_limsm.report.html import CSV_NAME, SUMMARY_NAME, render_page, write_report
from aiida_limsm.report.study import Study, TemperatureResult

VOID = {"meta", "img", "br", "link", "hr", "input"}
PIXEL = b"\x89PNG-not-looked-at"


class Page(HTMLParser):
    """Collect tags with attributes and text; every tag must be closed in order."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.open, self.heads = [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] == "h2":
            self.heads.append(data)

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="module")
def quick_figures():
    """Render at low resolution: these tests look at the page, not at the pictures."""
    patch = pytest.MonkeyPatch()
    render = html.figures.png_bytes
    patch.setattr(html.figures, "png_bytes", lambda figure, dpi=150: render(figure, 25))
    patch.setattr(html, "SVG_LIMIT", 0)
    yield
    patch.undo()


@pytest.fixture(scope="module")
def text(study, quick_figures):
    return render_page(study, PIXEL)


def test_report_is_three_files_with_equal_bytes(study, tmp_path):
    first = write_report(study, tmp_path / "a" / "deep")
    second = write_report(study, tmp_path / "b")
    assert sorted(path.name for path in first.parent.iterdir()) == sorted(
        ["report.html", SUMMARY_NAME, CSV_NAME]
    )
    for name in ("report.html", SUMMARY_NAME, CSV_NAME):
        assert (first.parent / name).read_bytes() == (second.parent / name).read_bytes()


def test_page_parses_and_begins_with_the_answer(text):
    page = Page(text)
    assert page.heads == [
        "Diffusion coefficient", "How far to trust it", "Mean-square displacement",
        "Sites and jumps", "Where the numbers come from", "Settings",
        "What is toy here, and what is not", "How it was run",
    ]  # fmt: skip
    assert page.all("html") == [{"lang": "en"}]


def test_pictures_are_inside_and_described(text):
    pictures = Page(text).all("img")
    assert len(pictures) == 6 + 4  # one jump network per temperature
    for picture in pictures:
        assert picture["src"].startswith("data:image/")
        assert len(picture["alt"]) > 30


def test_nothing_is_loaded_from_elsewhere(text):
    page = Page(text)
    assert not page.all("script")
    assert not page.all("link")
    assert "@import" not in text
    assert not re.search(r"url\(", text)
    without_data = re.sub(r'src="data:[^"]*"', "", text)
    assert "http://" not in without_data
    assert "https://" not in without_data


def test_numbers_carry_errors_or_bounds(text):
    assert "(2.34 ± 0.14) × 10⁻⁵" in text
    assert "&lt; 3.2 × 10⁻⁷ (95 %)" in text
    assert "not resolved: 2 independent jumps seen, 10 asked" in text
    assert "0.22 ± 0.03 eV" in text


def test_what_the_jumps_amount_to_has_errors_too(text):
    for written in (
        "0.77 ± 0.03",  # correlation factor
        "not resolved: its error is larger than a third (32 independent windows of 12.5 ps)",
        "off by 0.013 at most (a probability), 1.4 of its errors",
        "along [1 0 0]",
        "Li1 → Li3, 2.65 Å, 0.2",  # bottleneck along x, with the error of its kind of jump
        "about 0.01 per ps",  # along y, which the table of jumps does not hold
        "no way through was seen",
        "4.2 ± 0.3 ps, about 1 ps, no error bar",
    ):
        assert written in text, written


def test_disagreement_is_explained(text):
    assert "2.9 σ apart, more than the error bars allow" in text
    assert "mean-square displacement is the higher one" in text


def test_foreign_text_is_escaped(text):
    assert "<script>" not in text
    assert "&lt;script&gt;" in text


def test_rows_of_the_trace_may_differ_in_columns(text):
    for head in ("cutoffs (Ry)", "frames used"):
        assert f'<th scope="col">{head}</th>' in text


@pytest.mark.usefixtures("quick_figures")
def test_page_of_next_to_nothing():
    bare = Study("Bare", "LiSi", "LiSi", "1 × 1 × 1", "Li", "aiida-limsm 0.0.0")
    text = render_page(bare, PIXEL)
    Page(text)
    assert "No temperature was analysed." in text
    assert "how good the potential is, is not known" in text
    failed = AnalyseResults(status=Status.TRAJECTORY_UNUSABLE, warnings=("too short",))
    text = render_page(replace(bare, temperatures=(TemperatureResult(300.0, failed),)), PIXEL)
    Page(text)
    assert "not computed" in text
    assert "No jump was seen." in text
    assert "too short" in text

"""What pages show is run, or listed here with the reason; the guide leaves no call out."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from grantlog.schema.compile import compile_schema
from grantlog.wire.transcode import ROUTES, Route
from tests.pages.blocks import ROOT, Block, blocks_of
from tests.pages.stories import GUIDE, all_blocks, covered
from tests.unit.test_links import LINK, tracked

PAGES = [str(page.relative_to(ROOT)) for page in tracked("*.md")]
LANGUAGE = "docs/schema-language.md"
"""Its schemas, errors and warnings have a test of their own: tests/unit/schema."""

NOT_RUN = {
    ("ARCHITECTURE.md", "clients ── gRPC"): "a picture",
    ("CONTRIBUTING.md", "make test"): "the run that runs this",
    ("CONTRIBUTING.md", "uv pip compile"): "asks the package index",
    ("README.md", "make serve"): "what the tests start by themselves, on other ports",
    ("README.md", "sudo python3 examples/posix"): "minutes; tests/e2e has it with --generated",
    ("README.md", "cp deploy/example.env"): "tests/e2e/deployed runs what compose.yaml says",
    ("docs/deploying.md", "cp deploy/example.env"): "tests/e2e/deployed runs what it says",
    ("docs/deploying.md", "docker compose up"): "tests/e2e/deployed/test_docker.py, with an engine",
    (
        "docs/deploying.md",
        "docker compose -f compose.yaml",
    ): "tests/e2e/deployed/test_consumer.py runs what it says",
    ("docs/operations.md", '{"topic"'): "log lines; tests/integration/kafka/test_following.py",
    ("docs/operations.md", '{"kafka"'): "log lines; tests/integration/kafka/test_following.py",
    ("benchmarks/README.md", "make bench"): "minutes",
    ("docs/change-topic.md", '{\n  "tenant"'): "tests/unit/wire/test_topic_page.py compares it",
    ("docs/change-topic.md", '{"epoch"'): "tests/unit/wire/test_topic_page.py compares it",
    ("docs/operations.md", '{"event":"call"'): "tests/unit/serving/test_call_lines.py reads it",
    ("docs/operations.md", "grantlog serve "): "a tree of processes",
    ("docs/operations.md", "export GRANTLOG_DATABASE_URL"): "nodes; tests/e2e/test_ring.py",
    ("docs/operations.md", "GRANTLOG_RING=postgres"): "two nodes; tests/e2e/test_ring.py",
    ("docs/operations.md", "grantlog is serving"): "what every test that serves waits for",
    ("docs/operations.md", "grantlog.json"): "a list of files",
    ("docs/operations.md", 'psql "postgresql'): "the folder's name is another on each machine",
    (
        "examples/consumer/README.md",
        ".venv/bin/python examples",
    ): "tests/e2e/test_consumer.py runs it",
    ("examples/posix/README.md", "make serve"): "minutes; tests/e2e has it with --generated",
    ("services/api/README.md", "GRANTLOG_DATABASE_URL"): "integration tests start it so",
    ("services/projector/README.md", "GRANTLOG_DATABASE_URL"): "integration tests start it so",
    ("services/watch/README.md", "GRANTLOG_DATABASE_URL"): "e2e tests start it so",
}
"""By page and first words."""

SCHEMAS = [
    block for block in all_blocks(PAGES) if block.language == "grantlog" and block.page != LANGUAGE
]


def reason_of(block: Block) -> str:
    return next(
        (why for (page, words), why in NOT_RUN.items()
         if page == block.page and block.text.lstrip().startswith(words)),
        "",
    )  # fmt: skip


def test_every_block_is_run_or_listed_with_the_reason():
    ran = covered()
    unknown = [
        f"{block.place}: {block.text.splitlines()[0]}"
        for block in all_blocks(PAGES)
        if block not in ran
        and block not in SCHEMAS
        and not reason_of(block)
        and not (block.page == LANGUAGE and block.language in ("grantlog", "text"))
    ]
    assert unknown == []


def test_every_reason_is_still_needed():
    blocks = all_blocks(PAGES)
    idle = [
        key
        for key in NOT_RUN
        if not any(b.page == key[0] and b.text.lstrip().startswith(key[1]) for b in blocks)
    ]
    assert idle == []


@pytest.mark.parametrize("block", SCHEMAS, ids=lambda block: block.place)
def test_a_pages_schema_compiles(block: Block):
    assert compile_schema(block.text).warnings == ()


def test_the_guide_writes_the_schema_that_it_shows():
    blocks = blocks_of("docs/api/schema.md")
    shown = next(b for b in blocks if b.language == "grantlog")
    written = [b for b in blocks if "rule cleared" in b.text and b is not shown]
    assert {b.track for b in written} == {"curl", "grpcurl", "python", "node"}
    for block in written:
        assert squeezed(shown.text) in squeezed(block.text), block.place


def squeezed(text: str) -> str:
    return re.sub(r"\s+", "", text)


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.full_method)
def test_the_guide_shows_every_call_in_four_ways(route: Route):
    text = "\n".join((ROOT / page).read_text() for page in GUIDE)
    heading = rf"^## {route.service}\.{route.method}\n(.*?)(?=^## |\Z)"
    section = re.search(heading, text, re.DOTALL | re.MULTILINE)
    assert section, f"the guide has no section {route.full_method}"
    path = re.sub(r"\{\w+\}", r"[\\w-]+", route.path_template)
    assert re.search(rf"curl .*localhost:3476{path}[ \n]", section[1])
    assert f"{route.full_method[1:]}\n" in section[1]
    assert "```python\n" in section[1]
    assert "```js\n" in section[1]


def test_the_index_leads_to_every_page():
    index = ROOT / "docs" / "README.md"
    led = {(index.parent / link).resolve() for link in LINK.findall(index.read_text())}
    pages = {
        ROOT / page
        for page in PAGES
        if page.startswith("docs/") and not page.startswith(("docs/adr/", "docs/README"))
    }
    assert {str(page.relative_to(ROOT)) for page in pages - led} == set()


def test_no_page_keeps_the_name_of_a_way_to_run_it_that_nobody_knows():
    words = {block.info for block in all_blocks(PAGES)}
    known = {
        (), ("indented",), ("sh",), ("sh", "stream"), ("json",), ("json", "part"), ("text",),
        ("python",), ("python", "grpc"), ("js",),
        ("grantlog",), ("grantlog", "refused"), ("grantlog", "warns"),
    }  # fmt: skip
    assert words <= known


def test_blocks_are_found_with_their_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("tests.pages.blocks.ROOT", tmp_path)
    (tmp_path / "page.md").write_text(
        "# A\n\n    make serve\n\n- item\n\n    of the item\n\n"
        "## B\n````sh stream\ncurl x\n```\n````\n"
    )
    assert blocks_of("page.md") == [
        Block("page.md", 3, 1, ("indented",), "make serve\n"),
        Block("page.md", 10, 2, ("sh", "stream"), "curl x\n```\n"),
    ]

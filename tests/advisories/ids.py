"""The advisories and bugs of this field that the tests here answer, by group."""

from __future__ import annotations

from typing import Final

GROUPS: Final[dict[str, tuple[str, ...]]] = {
    "A": (
        "CVE-2024-56323", "CVE-2025-46331", "CVE-2026-33729", "CVE-2026-41131", "CVE-2026-34972",
        "CVE-2026-48096", "CVE-2026-46668", "CVE-2026-55866", "permify-cache-key",
    ),
    "B": (
        "CVE-2022-21646", "CVE-2022-39341", "CVE-2022-39352", "CVE-2025-25196", "CVE-2025-48371",
        "CVE-2025-64751", "CVE-2026-24851",
    ),
    "C": ("CVE-2022-39342", "CVE-2022-23542", "CVE-2023-40579", "CVE-2025-55213"),
    "D": (
        "CVE-2024-31452", "CVE-2024-42473", "CVE-2024-38361", "CVE-2024-46989", "CVE-2025-49011",
    ),
    "E": (
        "CVE-2023-35930", "CVE-2024-32001", "CVE-2024-48909", "CVE-2025-65111", "CVE-2024-27101",
    ),
    "F": (
        "CVE-2023-35933", "CVE-2023-43645", "CVE-2023-45810", "CVE-2024-23820",
        "GHSA-vhvq-fv9f-wh4q",
    ),
    "G": (
        "CVE-2022-39340", "CVE-2026-40293", "CVE-2026-55689", "CVE-2023-29193", "CVE-2023-46255",
        "CVE-2026-40091",
    ),
    "H": ("CVE-2025-64529", "CVE-2026-55170", "CVE-2026-33505"),
    "I": (
        "spicedb-3243", "spicedb-2958", "spicedb-3239", "crdb-fully-consistent", "permify-2573",
        "permify-3002", "spicedb-1272", "spicedb-3114", "spicedb-3210", "spicedb-3211",
        "openfga-3152", "permify-watch-overlapping", "permify-watch-moment",
        "permify-watch-collected", "permify-1471", "permify-2291", "permify-gc-old-token",
        "permify-1802", "permify-3023", "openfga-3125", "permify-1923", "permify-2362",
        "permify-492", "spicedb-3136", "spicedb-3140", "spicedb-3142", "spicedb-3174",
        "singleflight-cancel", "singleflight-failure", "openfga-3155", "ttl-jitter", "cidr",
        "jwks-rotation", "constant-time", "well-known", "pgbouncer", "json-numbers",
    ),
}  # fmt: skip
"""A number behind a product's name is an issue or pull request of it; the rest are findings."""

MUST_BE_TESTED: Final = "ABCDEFH"
"""Groups of which no row may be without a test."""

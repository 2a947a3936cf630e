"""Prints the section of CHANGELOG.md for a version: release_notes.py 1.2.3. Fails if the section is absent or empty, or if
the workspace has another version."""

import pathlib
import re
import sys
import tomllib


def section(changelog, version):
    """The text below `## [1.2.3] - 2026-01-31`, up to the next heading of that level."""
    heading = re.compile(rf"^## \[{re.escape(version)}\] - \d{{4}}-\d{{2}}-\d{{2}}$", re.MULTILINE)
    found = heading.search(changelog)
    if not found:
        sys.exit(f"CHANGELOG.md has no heading ## [{version}] - YYYY-MM-DD: add the section, or write the date into it")
    text = re.split(r"^## ", changelog[found.end():], maxsplit=1, flags=re.MULTILINE)[0].strip()
    return text or sys.exit(f"the section {version} of CHANGELOG.md is empty")


def main(version):
    root = pathlib.Path(__file__).parent.parent
    workspace = tomllib.loads((root / "Cargo.toml").read_text())["workspace"]["package"]["version"]
    if workspace != version:
        sys.exit(f"Cargo.toml has version {workspace}, the tag {version}")
    print(section((root / "CHANGELOG.md").read_text(), version))


main(sys.argv[1])

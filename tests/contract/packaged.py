"""What a package's own code says of an extract, with no cloud round it."""

import json
import subprocess
import sys
from pathlib import Path

CSV = b"event_begin_time,magnitude,month\n1993-03-25T16:10:00,1.75,3\n1985-03-04T17:00:00,,3\n"
SETTINGS = {"CHART_TITLE": "Hail in März: <5 $ & more", "CHART_SOURCE": "a test"}
JSON, PAGE = "application/json", ""

_SAY = """
import io, json, sys
sys.path[:0] = sys.argv[1:3]
import chart
csv = sys.stdin.buffer.read()
json.dump({accept: chart.respond(io.BytesIO(csv), accept=accept)[1] for accept in sys.argv[3:]}, sys.stdout)
"""


def said(root: Path, libraries: str) -> dict[str, bytes]:
    """The body for each Accept header, of the package unpacked at ``root``."""
    command = [sys.executable, "-I", "-S", "-c", _SAY, str(root), str(root / libraries), JSON, PAGE]
    temporary = root.with_name(f"{root.name}-tmp")
    temporary.mkdir()
    environment = {**SETTINGS, "LANG": "C.UTF-8", "TMPDIR": str(temporary)}
    answered = subprocess.run(command, input=CSV, env=environment, capture_output=True, check=True).stdout
    return {accept: body.encode() for accept, body in json.loads(answered).items()}

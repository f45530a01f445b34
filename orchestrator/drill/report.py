"""What a drill says: a line for each fault, a summary, and files for programs (JUnit's XML, JSON)."""

import json
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree as ET

from orchestrator.drill.play import Outcome
from orchestrator.report import visible


def line(outcome: Outcome) -> str:
    """Number, what, verdict and seconds; of one that is not clean, what is wrong and where to look."""
    head = f"{outcome.fault.number:4} {outcome.fault.name}: "
    if not outcome.wrong:
        return f"{head}clean ({outcome.seconds:.1f} s)"
    kept = [f"see {outcome.folder}"] if outcome.folder else []
    return "\n       ".join([f"{head}NOT CLEAN ({outcome.seconds:.1f} s)", *map(visible, outcome.wrong), *kept])


def summary(outcomes: Sequence[Outcome]) -> str:
    """The last line."""
    clean = sum(not outcome.wrong for outcome in outcomes)
    return f"drill: {len(outcomes)} faults, {clean} clean, {left(outcomes)} left"


def left(outcomes: Sequence[Outcome]) -> int:
    """How many things are left in the stand-in clouds, over all faults."""
    return sum(outcome.left for outcome in outcomes)


def write_junit(outcomes: Sequence[Outcome], path: Path) -> None:
    """A test case for each fault, as CI systems read them: https://github.com/testmoapp/junitxml."""
    failures = sum(bool(outcome.wrong) for outcome in outcomes)
    seconds = f"{sum(outcome.seconds for outcome in outcomes):.3f}"
    counts = {"tests": str(len(outcomes)), "failures": str(failures), "time": seconds}
    suites = ET.Element("testsuites", counts)
    suite = ET.SubElement(suites, "testsuite", {"name": "drill", **counts})
    for outcome in outcomes:
        fault = outcome.fault
        case = ET.SubElement(
            suite,
            "testcase",
            {
                "classname": f"drill.{fault.cloud}.{fault.kind}",
                "name": f"{fault.number:03} {fault.where}: {fault.effect}",
                "time": f"{outcome.seconds:.3f}",
            },
        )
        if outcome.wrong:
            said = visible("\n".join([*outcome.wrong, *([f"see {outcome.folder}"] if outcome.folder else [])]))
            ET.SubElement(case, "failure", {"message": visible(outcome.wrong[0])}).text = said
    ET.indent(suites)
    ET.ElementTree(suites).write(path, encoding="utf-8", xml_declaration=True)


def write_json(outcomes: Sequence[Outcome], path: Path) -> None:
    """A list of all that is known of each fault."""
    content = [
        {
            "number": outcome.fault.number,
            "cloud": outcome.fault.cloud,
            "kind": outcome.fault.kind,
            "where": outcome.fault.where,
            "effect": outcome.fault.effect,
            "clean": not outcome.wrong,
            "wrong": outcome.wrong,
            "left": outcome.left,
            "exit_codes": outcome.codes,
            "seconds": round(outcome.seconds, 3),
            "folder": str(outcome.folder) if outcome.folder else None,
        }
        for outcome in outcomes
    ]
    path.write_text(json.dumps(content, indent=2) + "\n")

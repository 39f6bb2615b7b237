"""What the sections of RESULTS.md are written with."""

import json


def read(path):
    return json.loads(path.read_text()) if path.exists() else None


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def measured(score, digits=3):
    """A measure with its interval; a star where that leaves out the trivial baseline."""
    if score["value"] is None:
        return f"none: {score['why_none']}"
    text = f"{score['value']:.{digits}f} ({score['low']:.{digits}f} to {score['high']:.{digits}f})"
    # Where answering the same for all has no value, as a correlation, it tells nothing: 0.
    baseline = 0.0 if score["baseline"] is None else score["baseline"]
    beyond = score["low"] > baseline if score["higher_is_better"] else score["high"] < baseline
    return text + (" \\*" if beyond else "")

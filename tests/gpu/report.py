"""What is found, written to a file as soon as it is known; see run.sh."""

import datetime
import os
import pathlib


def say(text):
    print(text, flush=True)


def figure(value, form):
    return "–" if value is None else format(value, form)


class Report:
    """One section of a file of results, which is written anew with every line of it."""

    def __init__(self, device):
        self.title = f"## {datetime.date.today().isoformat()}: {device}"
        self.path, self.before = None, ""
        self.fastest = {}
        self.facts, self.rows, self.details, self.failures, self.parts = [], [], [], [], []

    def write_to(self, path):
        self.path = pathlib.Path(path)
        self.before = self.path.read_text().rstrip("\n") + "\n\n" if self.path.is_file() else ""
        self.save()

    def text(self):
        parts = ", ".join(self.parts) or "none yet"
        lines = [self.title, "", f"- parts that ran to their end: {parts}",
                 f"- disagreements and failures: {'none' if not self.failures else '; '.join(self.failures)}"]
        lines += [f"- {fact}" for fact in self.facts]
        if self.rows:
            lines += ["", "| bf16, random proteins of a proteome's lengths | tokens/s | TFLOP/s | share of nominal peak | note |",
                      "|---|---|---|---|---|", *self.rows]
        for title, body in self.details:
            lines += ["", f"### {title}", "", body]
        return "\n".join(lines) + "\n"

    def save(self):
        if not self.path:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        beside = self.path.with_name(self.path.name + ".part")
        with open(beside, "w") as file:
            file.write(self.before + self.text())
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, self.path)

    def fact(self, text):
        say(text)
        self.facts.append(text)
        self.save()

    def row(self, what, tokens_per_second, tflops, nominal, note):
        share = tflops / nominal if tflops and nominal else None
        line = (f"| {what} | {figure(tokens_per_second, ',.0f')} | {figure(tflops, '.1f')} | {figure(share, '.1%')} "
                f"| {note} |")
        say(line)
        self.rows.append(line)
        self.save()

    def detail(self, title, body):
        say(f"{title}\n{body}")
        self.details.append((title, body))
        self.save()

    def check(self, what, holds, detail=""):
        words = f"{what} {detail}".strip()
        say(f"{'ok  ' if holds else 'FAIL'} {words}")
        if not holds:
            self.failures.append(words)
            self.save()

    def part(self, name):
        self.parts.append(name)
        self.save()

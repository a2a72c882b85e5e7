"""Pictures of results: bars with the spread of their rounds, as SVG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from xml.sax.saxutils import escape

# A picture is so wide, or wider where its texts leave less room than this for the bars.
WIDTH = 960
ROOM = 300
LINE = 20
OURS, OTHERS, SPREAD, TEXT, FAINT = "#2b6cb0", "#b8c4d0", "#1a202c", "#1a202c", "#5a6472"


@dataclass(frozen=True)
class Bar:
    """A number with its spread, and what else is to be said of it."""

    label: str
    median: float
    least: float
    greatest: float
    note: str = ""
    ours: bool = False

    @classmethod
    def of(cls, label: str, spread: Mapping[str, float], note: str = "", ours: bool = False) -> Bar:
        """A bar for a spread of the results."""
        return cls(label, spread["median"], spread["min"], spread["max"], note, ours)


@dataclass
class Panel:
    """Numbers that can be compared."""

    title: str
    unit: str
    bars: list[Bar] = field(default_factory=list)


def rates(title: str, servers: Mapping[str, Any], titles: Mapping[str, str], ours: str) -> Panel:
    """Requests a second of servers, by the results of serving."""
    panel = Panel(title, "requests/s")
    for name, label in titles.items():
        numbers = servers[name]
        note = f"p99 {numbers['p99_ms']['median']:g} ms" + (f", {numbers['errors']} errors" if numbers["errors"] else "")
        panel.bars.append(Bar.of(label, numbers["per_second"], note, name == ours))
    return panel


def number(value: float) -> str:
    """A number for a person: no digits that mean nothing."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def when_and_where(result: dict[str, Any]) -> str:
    """The date and the machine of a result."""
    machine = result["machine"]
    what = f"{machine['cores']} cores of {machine['cpu']}, {machine['memory_gib']} GiB, Linux {machine['kernel']}"
    return f"{result['date']}; {what}; load {machine['load'][0]:g} before"


def width_of(content: str, size: int = 12, bold: bool = False) -> float:
    """How wide a text is at most; the font is that of who looks at the picture."""
    return len(content) * size * (0.68 if bold else 0.6)


def content_of(row: Bar) -> str:
    """What stands behind a bar."""
    return number(row.median) + (f" · {row.note}" if row.note else "")


def bars(title: str, subtitle: str, panels: Sequence[Panel], result: dict[str, Any]) -> str:
    """A picture of panels, one below the other."""
    parts: list[str] = []

    def text(x: float, y: float, content: str, size: int = 12, fill: str = TEXT, anchor: str = "start", weight: str = "normal") -> None:
        parts.append(f'<text x="{x:g}" y="{y:g}" font-size="{size}" fill="{fill}" text-anchor="{anchor}" font-weight="{weight}">{escape(content)}</text>')

    text(16, 28, title, 18, weight="bold")
    text(16, 48, subtitle, fill=FAINT)
    text(16, 65, when_and_where(result), fill=FAINT)
    y = 84
    rows = [row for panel in panels for row in panel.bars]
    labels = max((width_of(row.label, bold=row.ours) for row in rows), default=0) + 24
    notes = max((width_of(content_of(row)) for row in rows), default=0) + 24
    heads = [width_of(subtitle), width_of(when_and_where(result)), *(width_of(f"{panel.title}   {panel.unit}", 13, bold=True) for panel in panels)]
    width = max(WIDTH, round(labels + ROOM + notes), round(max(heads)) + 32)
    room = width - labels - notes
    for panel in panels:
        y += 14
        unit = f'<tspan font-size="12" font-weight="normal" fill="{FAINT}">{escape(panel.unit)}</tspan>'
        parts.append(f'<text x="16" y="{y:g}" font-size="13" fill="{TEXT}" font-weight="bold">{escape(panel.title)} &#160; {unit}</text>')
        scale = room / (max((row.greatest for row in panel.bars), default=0) or 1)
        for row in panel.bars:
            y += LINE
            text(labels - 8, y, row.label, anchor="end", weight="bold" if row.ours else "normal")
            parts.append(f'<rect x="{labels:g}" y="{y - 11}" width="{max(1, row.median * scale):.1f}" height="14" fill="{OURS if row.ours else OTHERS}"/>')
            if row.greatest > row.least:
                least, greatest = labels + row.least * scale, labels + row.greatest * scale
                parts.append(f'<path d="M{least:.1f} {y - 7}v6m0-3H{greatest:.1f}m0-3v6" stroke="{SPREAD}" fill="none"/>')
            text(labels + row.greatest * scale + 8, y, content_of(row))
        y += 14
    height = y + 10
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" font-family="sans-serif">'
    return "\n".join([head, f"<title>{escape(title)}</title>", f'<rect width="{width}" height="{height}" fill="#ffffff"/>', *parts, "</svg>", ""])

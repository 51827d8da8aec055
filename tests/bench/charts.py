"""The kinds of figures of the report."""

import re
from collections.abc import Callable
from dataclasses import dataclass

from .axis import Axis
from .stats import Estimate
from .svg import FONT, GRID, INK, OTHERS, OURS, PALE, SERIES, Drawing, width_of

SHEET = 760
ROW, BAR = 34, 18
TOP, BOTTOM = 44, 30
EDGE = 16

Form = Callable[[float], str]


@dataclass(frozen=True)
class Bar:
    """A value with its interval, in our colour or another."""

    name: str
    value: Estimate
    ours: bool = False


def bars(title: str, drawn: list[Bar], form: Form, *, logarithmic: bool = False,
         limits: tuple[tuple[float, str], ...] = ()) -> str:
    """Bars with their intervals, one below the other; limits are dashed lines with a word."""
    left = EDGE + max(width_of(bar.name) for bar in drawn) + 8
    words = [form(bar.value.value) for bar in drawn]
    right = SHEET - EDGE - max(width_of(word) for word in words) - 12
    most = max([bar.value.ends[1] for bar in drawn] + [limit for limit, _ in limits])
    least = min(0.0, *(bar.value.ends[0] for bar in drawn)) * 1.05
    low = 0.5 * min(bar.value.ends[0] for bar in drawn) if logarithmic else least
    axis = Axis(low, most * 1.05, left, right, logarithmic)
    height = TOP + ROW * len(drawn) + BOTTOM + (16 if limits else 0)
    drawing = Drawing(SHEET, height, title)
    drawing.text(EDGE, 24, title, bold=True)
    bottom = TOP + ROW * len(drawn)
    _scale(drawing, axis, TOP, bottom, form)
    zero = low if logarithmic else 0.0
    for number, (bar, word) in enumerate(zip(drawn, words)):
        y = TOP + ROW * number + (ROW - BAR) / 2
        middle = y + BAR / 2
        begin, end = sorted((axis.place(zero), axis.place(bar.value.value)))
        drawing.text(left - 8, middle + 4, bar.name, anchor="end", bold=bar.ours)
        drawing.rectangle(begin, y, end - begin, BAR, OURS if bar.ours else OTHERS)
        low_end, high_end = map(axis.place, bar.value.ends)
        drawing.line([(low_end, middle), (high_end, middle)], INK, 1.5)
        for place in (low_end, high_end):
            drawing.line([(place, middle - 5), (place, middle + 5)], INK, 1.5)
        drawing.text(right + 12, middle + 4, word, bold=bar.ours)
    for limit, word in limits:
        place = axis.place(limit)
        drawing.line([(place, TOP - 2), (place, bottom)], SERIES[4], 1.5, "5 4")
        drawing.text(place, bottom + 32, word, anchor="middle", colour=SERIES[4])
    return drawing.svg()


def stacks(title: str, parts: list[str], drawn: dict[str, dict[str, float]], form: Form) -> str:
    """One bar per row, made of parts that follow each other; a legend tells the parts' colours."""
    left = EDGE + max(map(width_of, drawn)) + 8
    right = SHEET - EDGE - 70
    axis = Axis(0, max(sum(row.values()) for row in drawn.values()) * 1.02, left, right)
    lines = _legend_lines(parts)
    top = TOP + 20 * len(lines)
    drawing = Drawing(SHEET, top + ROW * len(drawn) + BOTTOM, title)
    drawing.text(EDGE, 24, title, bold=True)
    colours = {part: SERIES[number % len(SERIES)] for number, part in enumerate(parts)}
    _legend(drawing, lines, colours)
    _scale(drawing, axis, top, top + ROW * len(drawn), form)
    for number, (name, row) in enumerate(drawn.items()):
        y = top + ROW * number + (ROW - BAR) / 2
        drawing.text(left - 8, y + BAR / 2 + 4, name, anchor="end")
        begin = 0.0
        for part in parts:
            took = row.get(part, 0.0)
            if took > 0:
                start, end = axis.place(begin), axis.place(begin + took)
                drawing.rectangle(start, y, end - start, BAR, colours[part])
            begin += took
        drawing.text(axis.place(begin) + 8, y + BAR / 2 + 4, form(begin))
    return drawing.svg()


def lines(title: str, x_title: str, y_title: str, drawn: dict[str, list[tuple[float, float]]], x_form: Form,
          y_form: Form) -> str:
    """Lines through points, on logarithmic axes, each with its name at its right end. The first one is ours."""
    right = SHEET - EDGE - max(map(width_of, drawn)) - 10
    points = [point for line in drawn.values() for point in line]
    bottom = 330
    across = Axis(min(x for x, _ in points), max(x for x, _ in points), 84, right, True)
    up = Axis(min(y for _, y in points) * 0.7, max(y for _, y in points) * 1.4, bottom, TOP + 14, True)
    drawing = Drawing(SHEET, bottom + 48, title)
    drawing.text(EDGE, 24, title, bold=True)
    drawing.text(EDGE, TOP + 2, y_title, colour=PALE)
    for mark in up.marks():
        drawing.line([(84, up.place(mark)), (right, up.place(mark))], GRID)
        drawing.text(78, up.place(mark) + 4, y_form(mark), anchor="end", colour=PALE)
    for mark in sorted({x for x, _ in points}):
        drawing.line([(across.place(mark), bottom), (across.place(mark), bottom + 4)], PALE)
        drawing.text(across.place(mark), bottom + 20, x_form(mark), anchor="middle", colour=PALE)
    drawing.text((84 + right) / 2, bottom + 40, x_title, anchor="middle", colour=PALE)
    ends = _apart([up.place(line[-1][1]) for line in drawn.values()])
    for number, (name, line) in enumerate(drawn.items()):
        colour = SERIES[number % len(SERIES)]
        drawing.line([(across.place(x), up.place(y)) for x, y in line], colour, 2)
        for x, y in line:
            drawing.dot(across.place(x), up.place(y), colour)
        drawing.text(right + 8, ends[number] + 4, name, colour=colour, bold=number == 0)
    return drawing.svg()


def _scale(drawing: Drawing, axis: Axis, top: float, bottom: float, form: Form) -> None:
    """Marks below, and a pale line up from each."""
    for mark in axis.marks():
        place = axis.place(mark)
        drawing.line([(place, top), (place, bottom)], GRID)
        round_ = re.sub(r"\.0+(?!\d)", "", form(mark))
        drawing.text(place, bottom + 16, round_, anchor="middle", colour=PALE, size=FONT - 2)


def _legend_lines(parts: list[str]) -> list[list[str]]:
    found: list[list[str]] = [[]]
    for part in parts:
        if sum(width_of(word) + 34 for word in [*found[-1], part]) > SHEET - 2 * EDGE:
            found.append([])
        found[-1].append(part)
    return found


def _legend(drawing: Drawing, lines_of_parts: list[list[str]], colours: dict[str, str]) -> None:
    for number, parts in enumerate(lines_of_parts):
        x, y = float(EDGE), TOP + 20 * number
        for part in parts:
            drawing.rectangle(x, y - 11, 12, 12, colours[part])
            drawing.text(x + 18, y, part)
            x += width_of(part) + 34


def _apart(places: list[float]) -> list[float]:
    """The same places, moved so that texts there do not cover each other."""
    moved = list(places)
    last = None
    for number in sorted(range(len(places)), key=lambda at: places[at]):
        if last is not None and moved[number] < last + FONT + 3:
            moved[number] = last + FONT + 3
        last = moved[number]
    return moved

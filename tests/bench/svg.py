"""A small writer of SVG: rectangles, lines and texts, in colours that can be told apart and read on light and dark."""

from xml.sax.saxutils import escape

INK, PALE, GRID = "#1f2933", "#5f6c7b", "#d9dee4"
OURS, OTHERS = "#0b6e99", "#a9b4c0"
# Of parts that stand side by side.
SERIES = ["#0b6e99", "#e07b39", "#7a9e3f", "#8c6bb1", "#c94f6d", "#4bb3b3", "#a58a5b"]
FONT = 13
# A character's width, in parts of the font's size: generous, since no two machines have the same font.
WIDTH = 0.6


class Drawing:
    """Shapes on a white sheet, drawn in the order in which they are added."""

    def __init__(self, width: int, height: int, title: str) -> None:
        self._size = (width, height)
        self._title = title
        self._shapes: list[str] = []

    def rectangle(self, x: float, y: float, width: float, height: float, colour: str) -> None:
        self._shapes.append(f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(width, 0.5):.1f}" height="{height:.1f}" '
                            f'fill="{colour}"/>')

    def line(self, points: list[tuple[float, float]], colour: str, width: float = 1, dashes: str = "") -> None:
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        dashed = f' stroke-dasharray="{dashes}"' if dashes else ""
        self._shapes.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="{width}"{dashed}/>')

    def dot(self, x: float, y: float, colour: str, radius: float = 3) -> None:
        self._shapes.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius}" fill="{colour}"/>')

    def text(self, x: float, y: float, text: str, *, anchor: str = "start", colour: str = INK, size: int = FONT,
             bold: bool = False) -> None:
        """anchor: which part of the text is at x: "start", "middle" or "end"; y is its base line."""
        weight = ' font-weight="bold"' if bold else ""
        self._shapes.append(f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}" '
                            f'font-size="{size}"{weight}>{escape(text)}</text>')

    def svg(self) -> str:
        width, height = self._size
        return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
                f'height="{height}" font-family="Helvetica, Arial, DejaVu Sans, sans-serif" role="img">\n'
                f"<title>{escape(self._title)}</title>\n"
                f'<rect width="{width}" height="{height}" fill="#ffffff"/>\n' + "\n".join(self._shapes) + "\n</svg>\n")


def width_of(text: str, size: int = FONT) -> float:
    """About how wide a text will be."""
    return len(text) * size * WIDTH

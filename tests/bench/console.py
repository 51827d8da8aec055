"""When a guest said something, by this machine's clock: its own clock stands still while it moves."""

import threading
import time

from lab import Guest, Seen


class Listener(threading.Thread):
    """Notes the time of each line of a guest's console from its beginning to the end of the with-block."""

    PAUSE = 0.004

    def __init__(self, guest: Guest) -> None:
        super().__init__(daemon=True)
        self._guest = guest
        self._mark = guest.mark()
        self._size = guest.console_path.stat().st_size
        self._over = threading.Event()
        self.heard: list[tuple[float, Seen]] = []

    def __enter__(self) -> "Listener":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self.join()

    def run(self) -> None:
        while not self._over.wait(self.PAUSE):
            size = self._guest.console_path.stat().st_size
            if size != self._size:
                self._size = size
                now = time.time()
                for seen in self._guest.said()[self._mark:]:
                    self._mark += 1
                    self.heard.append((now, seen))

    def first(self, kind: str, since: float, text: str | None = None) -> float | None:
        """When the guest first said this, from a time on."""
        return next((when for when, seen in self.heard
                     if when >= since and seen.kind == kind and (text is None or seen.text == text)), None)

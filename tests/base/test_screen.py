"""What a running program prints."""

import io
import time

from mdnnp.base.report.screen import Bar


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_a_bar_counts_on_a_terminal(monkeypatch):
    screen = Terminal()
    monkeypatch.setattr("sys.stderr", screen)
    with Bar("choosing", 3, "function") as bar:
        time.sleep(1.1)  # it shows after a second
        assert list(bar.over("ab")) == ["a", "b"]
        bar.describe("counting")
        time.sleep(0.2)  # it is drawn ten times a second at most
        bar.reach(3, 4)
    assert "choosing" in screen.getvalue() and "counting" in screen.getvalue()
    assert "2/3" in screen.getvalue() and "3/7" in screen.getvalue()


def test_a_bar_is_silent_elsewhere(capfd):
    with Bar("choosing", 3) as bar:
        bar.begin(2, "step")
        assert list(bar.over("ab")) == ["a", "b"]
        bar.describe("counting")
        bar.reach(2)
    assert capfd.readouterr() == ("", "")

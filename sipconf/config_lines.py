"""The line of every key of a TOML text. Positions only: values are tomllib's business, meaning is `config`'s.

The text must already be accepted by tomllib; of one that is not, the map may be incomplete. A path is a tuple of
keys and, inside arrays, indexes: ("conferences", 1, "access_code"), ("sip", "listen", 2). TOML 1.0.
"""

KeyPath = tuple[str | int, ...]

_BARE_END = frozenset(" \t\r\n=.]")
_SCALAR_END = frozenset(",]}#\n")
_ESCAPES = {"b": "\b", "t": "\t", "n": "\n", "f": "\f", "r": "\r", '"': '"', "\\": "\\"}


def key_lines(text: str) -> dict[KeyPath, int]:
    """Map each key path of a valid TOML text to the line (from 1) on which it first stands."""
    return _Scanner(text.replace("\r\n", "\n")).scan()


def line_of(lines: dict[KeyPath, int], path: KeyPath) -> int:
    """The line of a path, or of the nearest thing around it that is written in the file; else 1."""
    for length in range(len(path), 0, -1):
        if path[:length] in lines:
            return lines[path[:length]]
    return 1


class _Scanner:
    """One pass over the text; `position` walks, `line` counts the newlines passed."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.position = 0
        self.line = 1
        self.lines: dict[KeyPath, int] = {}
        self.array_lengths: dict[KeyPath, int] = {}  # of arrays of tables only

    def scan(self) -> dict[KeyPath, int]:
        table: KeyPath = ()
        while True:
            self._skip_space(newlines=True)
            if self.position >= len(self.text):
                return self.lines
            table = self._header() if self._peek() == "[" else self._pair(table)

    def _peek(self, length: int = 1) -> str:
        return self.text[self.position : self.position + length]

    def _advance(self, length: int = 1) -> None:
        self.line += self.text.count("\n", self.position, self.position + length)
        self.position += length

    def _skip_space(self, newlines: bool) -> None:
        blank = " \t\r\n" if newlines else " \t"
        while self.position < len(self.text):
            if self.text[self.position] in blank:
                self._advance()
            elif self.text[self.position] == "#" and newlines:
                end = self.text.find("\n", self.position)
                self.position = len(self.text) if end < 0 else end
            else:
                return

    def _header(self) -> KeyPath:
        """[table] or [[array of tables]]: the path that the keys below it belong to."""
        double = self._peek(2) == "[["
        line = self.line
        self._advance(2 if double else 1)
        keys = self._dotted_key()
        self._advance(2 if double else 1)
        path: KeyPath = ()
        for key in keys[:-1]:
            path = self._into(path, key, line)
        if not double:
            return self._into(path, keys[-1], line)
        path = (*path, keys[-1])
        self.lines.setdefault(path, line)
        index = self.array_lengths.get(path, 0)
        self.array_lengths[path] = index + 1
        path = (*path, index)
        self.lines[path] = line
        return path

    def _into(self, path: KeyPath, key: str, line: int) -> KeyPath:
        """Step into a sub-table; an array of tables is stepped into at its latest element."""
        path = (*path, key)
        self.lines.setdefault(path, line)
        if path in self.array_lengths:
            path = (*path, self.array_lengths[path] - 1)
        return path

    def _pair(self, table: KeyPath) -> KeyPath:
        """key = value, recorded below `table`. Returns the table."""
        path = table
        line = self.line
        for key in self._dotted_key():
            path = (*path, key)
            self.lines.setdefault(path, line)
        self._advance()  # "="
        self._value(path)
        self._skip_space(newlines=False)
        return table

    def _dotted_key(self) -> list[str]:
        keys = []
        while True:
            self._skip_space(newlines=False)
            if self._peek() in ('"', "'"):
                keys.append(self._string())
            else:
                start = self.position
                while self.position < len(self.text) and self.text[self.position] not in _BARE_END:
                    self.position += 1
                keys.append(self.text[start : self.position])
            self._skip_space(newlines=False)
            if self._peek() != ".":
                return keys
            self._advance()

    def _value(self, path: KeyPath) -> None:
        self._skip_space(newlines=False)
        first = self._peek()
        if first in ('"', "'"):
            self._string()
        elif first == "[":
            self._array(path)
        elif first == "{":
            self._inline_table(path)
        else:
            while self.position < len(self.text) and self.text[self.position] not in _SCALAR_END:
                self.position += 1

    def _array(self, path: KeyPath) -> None:
        self._advance()
        index = 0
        while self.position < len(self.text):
            self._skip_space(newlines=True)
            if self._peek() == "]":
                break
            if self._peek() == ",":
                self._advance()
                continue
            self.lines[(*path, index)] = self.line
            self._value((*path, index))
            index += 1
        self._advance()

    def _inline_table(self, path: KeyPath) -> None:
        self._advance()
        while self.position < len(self.text):
            self._skip_space(newlines=True)  # later TOML versions allow newlines here
            if self._peek() == "}":
                break
            if self._peek() == ",":
                self._advance()
                continue
            self._pair(path)
        self._advance()

    def _string(self) -> str:
        """Pass a string of any of the four kinds. The text is exact for one-line strings, which keys are."""
        quote = self._peek()
        fence = quote * 3 if self._peek(3) == quote * 3 else quote
        self._advance(len(fence))
        parts: list[str] = []
        while self.position < len(self.text):
            if self._peek(len(fence)) == fence:
                while len(fence) == 3 and self._peek(4) == quote * 4:  # quotes right before the fence are content
                    parts.append(quote)
                    self._advance()
                self._advance(len(fence))
                break
            if quote == '"' and self._peek() == "\\":
                parts.append(self._escape())
            else:
                parts.append(self._peek())
                self._advance()
        return "".join(parts)

    def _escape(self) -> str:
        letter = self._peek(2)[1:]
        if letter in ("u", "U"):
            digits = 4 if letter == "u" else 8
            code = self.text[self.position + 2 : self.position + 2 + digits]
            self._advance(2 + digits)
            return chr(int(code, 16))
        self._advance(2)
        return _ESCAPES.get(letter, "")

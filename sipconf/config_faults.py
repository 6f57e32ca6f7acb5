"""What is wrong with a configuration file and what would be right, in words for the person who wrote it.

pydantic and tomllib are met here: their errors are translated, and nothing else of them is shown. A value that may
be secret is never repeated.
"""

import difflib
import re
import types
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError

from sipconf.config_lines import KeyPath
from sipconf.errors import SipconfError

_SECRET_KEYS = frozenset({"password", "admin_password", "access_code", "administrator_code"})
_EXAMPLES = {
    "extension": '"2001"',
    "conference": '"2001"',
    "number": '"+3225551234"',
    "host": '"sip.provider.example"',
    "certificate": '"fullchain.pem"',
    "key": '"privkey.pem"',
}
_LISTS = ("users", "conferences", "incoming_numbers", "trunks")


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong; line 0 where the file as a whole is meant."""

    file: str
    line: int
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.message}" if self.line else f"{self.file}: {self.message}"


class ConfigError(SipconfError):
    """The file cannot be used. faults: every one, in the order of the file; str() is one line for each."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(str(fault) for fault in self.faults))


def endless_fault(file: str, text: str) -> Fault:
    """For what tomllib gives up on: a number or a nesting too long for it. The line is the one with most of either."""
    lines = text.split("\n")
    digits = [sum(map(str.isdigit, line)) for line in lines]
    brackets = [line.count("[") + line.count("{") + line.count(".") for line in lines]
    most = max(range(len(lines)), key=lambda number: max(digits[number], brackets[number]))
    return Fault(file, most + 1, "a number or a nesting without end; nothing here takes more than a few of either")


def syntax_fault(file: str, text: str, message: str) -> Fault:
    """From tomllib's message, which ends in "(at line 3, column 5)" or "(at end of document)"."""
    place = re.search(r"\(at line (\d+), column (\d+)\)$", message)
    what = re.sub(r"\s*\(at [^()]*\)$", "", message)
    line = int(place[1]) if place else text.rstrip().count("\n") + 1
    source = text.split("\n")
    written = source[line - 1].strip() if line <= len(source) else ""
    return Fault(file, line, f"not valid TOML: {what[:1].lower()}{what[1:]}; {_syntax_hint(what, written)}")


def _syntax_hint(what: str, written: str) -> str:
    if "Invalid value" in what or "Expected newline" in what:
        return 'text goes in double quotes, as in name = "Weekly stand-up"; yes and no are written true and false'
    if "overwrite" in what or "twice" in what or "Cannot mutate" in what or "Cannot declare" in what:
        return "write each key, and each [section], once; only [[lists]] repeat"
    if "Unclosed array" in what:
        return 'close the list with "]" and put commas between its values'
    if written.startswith("["):
        return "a section is written [sip], one item of a list [[users]]"
    return 'a line is written key = "value"'


def validation_faults(
    error: ValidationError, model: type[BaseModel], raw: Mapping[str, Any]
) -> list[tuple[KeyPath, str]]:
    """Every fault that pydantic found, as (path in the file, message)."""
    faults = []
    for detail in error.errors(include_url=False, include_input=True):
        if detail["type"] == "too_short" and detail["input"]:
            continue  # only for its faulty items, which are reported themselves, does it count as empty
        path = _path_in_file(detail["loc"], raw)
        faults.append((path, _message(detail, path, model)))
    return list(dict.fromkeys(faults))


def _path_in_file(loc: tuple[str | int, ...], raw: Any) -> KeyPath:
    """pydantic's location without its own markers: keys and indexes that are in the file, plus a missing last."""
    path: list[str | int] = []
    for position, step in enumerate(loc):
        present = (isinstance(raw, Mapping) and step in raw) or (
            isinstance(raw, list) and isinstance(step, int) and step < len(raw)
        )
        if present:
            raw = raw[step]
            path.append(step)
        elif position == len(loc) - 1 and isinstance(raw, Mapping):
            path.append(step)
    return tuple(path)


def _message(detail: Any, path: KeyPath, model: type[BaseModel]) -> str:
    kind, context, key = detail["type"], detail.get("ctx", {}), _name(path)
    if kind == "extra_forbidden":
        return unknown_key(path, _known_keys(model, path[:-1]))
    if kind == "missing":
        example = _EXAMPLES.get(str(path[-1]), '"..."')
        return f"{key} is missing; add {path[-1]} = {example}"
    if kind == "value_error":
        return f"{key}: {context['error']}"
    if kind == "literal_error":
        known = context["expected"].replace(" or ", ", ")
        verdict = "is not one of" if "," in known else "is not known here; it must be"
        return f"{key}: {_shown(path, detail['input'])} {verdict} {known}"
    return f"{key}: {_type_message(kind, context, path, detail['input'])}"


def _type_message(kind: str, context: Mapping[str, Any], path: KeyPath, given: Any) -> str:
    shown = _shown(path, given)
    if kind in ("string_type", "path_type"):
        if isinstance(given, (int, float)) and not isinstance(given, bool) and path[-1] not in _SECRET_KEYS:
            return f'{shown} is a number; put it in quotes: "{given}"'
        return f'{shown} is not text; write it in quotes, as in "text"'
    if kind.startswith("bool"):
        return f"{shown} is neither true nor false; write true or false, without quotes"
    if kind.startswith("int"):
        return f"{shown} is not a whole number; write for example 20, without quotes"
    if kind.startswith(("float", "finite")):
        return f"{shown} is not a number of seconds; write for example 60, without quotes"
    if kind in ("tuple_type", "list_type"):
        if isinstance(given, Mapping) or path[-1] in _LISTS:
            return f"a list is expected; write each item below a heading [[{path[-1]}]]"
        return f"a list is expected; write [{shown}]"
    if kind in ("model_type", "model_attributes_type", "dict_type"):
        if path[0] in _LISTS:
            return f"a list of sections is expected; write each item below a heading [[{path[0]}]]"
        return f"a section is expected; write its keys below a heading [{path[0]}]"
    if kind in ("string_too_short", "too_short"):
        return "is empty; write a value, or leave the key out where it is optional"
    if kind in ("string_too_long", "too_long"):
        return f"is too long; at most {context.get('max_length')} characters"
    if kind == "greater_than_equal":
        return f"{shown} is too small; at least {context['ge']:g}"
    if kind == "less_than_equal":
        return f"{shown} is too large; at most {context['le']:g}"
    return f"{shown} cannot be used here"


def unknown_key(path: KeyPath, known: Iterable[str]) -> str:
    """Names the nearest known key, or all of them where none is near."""
    known = sorted(known)
    written = str(path[-1])
    where = f" in [{_name(path[:-1])}]" if len(path) > 1 else ""
    near = difflib.get_close_matches(written.lower().replace("-", "_"), known, n=1, cutoff=0.5)
    right = f'did you mean "{near[0]}"?' if near else f"known are: {', '.join(known)}"
    return f'unknown key "{written}"{where}; {right}'


def _name(path: KeyPath) -> str:
    """("conferences", 1, "access_code") -> "conferences.access_code": the line tells which one."""
    return ".".join(str(step) for step in path if isinstance(step, str))


def _shown(path: KeyPath, given: Any) -> str:
    if any(step in _SECRET_KEYS for step in path):
        return "the value"
    if isinstance(given, bool):
        return "true" if given else "false"
    text = f'"{given}"' if isinstance(given, str) else str(given)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _known_keys(model: type[BaseModel], path: KeyPath) -> list[str]:
    for step in path:
        if isinstance(step, str):
            field = next(
                field for name, field in model.model_fields.items() if (field.alias or name) == step
            )
            model = _model_in(field.annotation) or model
    return [field.alias or name for name, field in model.model_fields.items()]


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The model inside Model, Model | None or tuple[Model, ...]."""
    if isinstance(annotation, type) and not isinstance(annotation, types.GenericAlias):
        return annotation if issubclass(annotation, BaseModel) else None
    return next((found for part in typing.get_args(annotation) if (found := _model_in(part))), None)

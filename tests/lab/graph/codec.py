"""Send the emulator's values between two processes: as JSON, with bytes and a few dataclasses marked."""

from __future__ import annotations

import base64
import dataclasses
from typing import Any

from tests.lab.graph.faults import Fault
from tests.lab.graph.log import Item, Record, Violation
from tests.lab.graph.pictures import Photo
from tests.lab.graph.tenant import Write

KNOWN: dict[str, Any] = {kind.__name__: kind for kind in (Fault, Item, Record, Violation, Photo, Write)}


def packed(value: Any) -> Any:
    """Turn a value into what JSON can hold."""
    if isinstance(value, bytes):
        return {"$bytes": base64.b64encode(value).decode()}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {field.name: packed(getattr(value, field.name)) for field in dataclasses.fields(value)}
        return {"$kind": type(value).__name__, "$fields": fields}
    if isinstance(value, dict):
        return {key: packed(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [packed(entry) for entry in value]
    return value


def unpacked(value: Any) -> Any:
    """Turn what came as JSON back into values; sequences come back as lists, but as tuples within dataclasses."""
    if isinstance(value, list):
        return [unpacked(entry) for entry in value]
    if not isinstance(value, dict):
        return value
    if "$bytes" in value:
        return base64.b64decode(value["$bytes"])
    if "$kind" in value:
        fields = {name: unpacked(entry) for name, entry in value["$fields"].items()}
        return KNOWN[value["$kind"]](**{n: tuple(v) if isinstance(v, list) else v for n, v in fields.items()})
    return {key: unpacked(entry) for key, entry in value.items()}

"""Reads a run-<id>.wandb file back: LevelDB log framing around protobuf records."""

import json
import struct
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wandb.proto.wandb_internal_pb2 import Record

_BLOCK = 32768
_FULL, _FIRST, _LAST = 1, 2, 4


@dataclass
class RecordedRun:
    run: Any = None
    config: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    summary: dict[str, Any] = field(default_factory=dict)
    artifacts: list[Any] = field(default_factory=list)
    exit_code: int | None = None


def read_run(path: Path) -> RecordedRun:
    recorded = RecordedRun()
    for record in _records(path.read_bytes()):
        kind = record.WhichOneof("record_type")
        if kind == "run":
            recorded.run = record.run
            recorded.config |= _values(record.run.config.update)
        elif kind == "config":
            recorded.config |= _values(record.config.update)
        elif kind == "history":
            recorded.history.append(_values(record.history.item))
        elif kind == "summary":
            recorded.summary |= _values(record.summary.update)
        elif kind == "artifact":
            recorded.artifacts.append(record.artifact)
        elif kind == "request" and record.request.WhichOneof("request_type") == "log_artifact":
            recorded.artifacts.append(record.request.log_artifact.artifact)
        elif kind == "exit":
            recorded.exit_code = record.exit.exit_code
    return recorded


def _values(items):
    return {item.key or ".".join(item.nested_key): json.loads(item.value_json) for item in items}


def _records(data):
    assert data[:4] == b":W&B", "not a .wandb file"
    position, message = 7, b""
    while position + 7 <= len(data):
        left = _BLOCK - position % _BLOCK
        if left < 7:
            position += left
            continue
        checksum, length, kind = struct.unpack("<IHB", data[position : position + 7])
        chunk = data[position + 7 : position + 7 + length]
        assert zlib.crc32(chunk, zlib.crc32(bytes([kind]))) == checksum, f"damaged at byte {position}"
        position += 7 + length
        message = chunk if kind in (_FULL, _FIRST) else message + chunk
        if kind in (_FULL, _LAST):
            record = Record()
            record.ParseFromString(message)
            yield record

"""As much of a W&B server as the client of wandb 0.31 and wandb-workspaces call, kept in memory.

The protocol is not documented: this is what the client was seen to ask, so the tests that use it name the pinned
version when they break.
"""

import base64
import gzip
import json
import re
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

ENTITY = "tester"


@dataclass
class StoredRun:
    """A run as the server knows it."""

    upsert: dict[str, Any] = field(default_factory=dict)
    """Variables of the client's UpsertBucket calls, later ones over earlier: groupName, jobType, tags, ..."""
    config: dict[str, Any] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)
    exit_code: int | None = None
    is_preempting: bool = False
    lines: dict[str, int] = field(default_factory=dict)
    """Stream -> lines received, for those that are only counted."""


class WandbServer:
    """Runs by id, saved views, and the ways to break it.

    Attributes:
        seconds: to wait before each reply.
        refusal: HTTP status of every reply in place of an answer; None to answer.
        is_down: hang up without a reply.
        calls: names of the GraphQL operations and paths that were answered, in order.
        unknown: GraphQL operations that have no answer here.
    """

    def __init__(self):
        self.runs: dict[str, StoredRun] = {}
        self.views: dict[str, dict[str, Any]] = {}
        self.seconds = 0.0
        self.refusal: int | None = None
        self.is_down = False
        self.calls: list[str] = []
        self.hung_up = 0
        self.unknown: list[str] = []
        self.lock = threading.Lock()
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._http.daemon_threads = True
        self._http.handle_error = lambda *_: None
        self.url = f"http://127.0.0.1:{self._http.server_port}"
        threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True).start()

    def close(self):
        self._http.shutdown()
        self._http.server_close()

    def answer(self, operation: str, values: dict[str, Any]) -> dict[str, Any] | None:
        """The `data` of a GraphQL reply, or None for an operation that is not known."""
        known = getattr(self, f"on_{operation}", None)
        if known is None:
            self.unknown.append(operation)
            return None
        return known(values)

    def stream(self, run_id: str, body: dict[str, Any]) -> None:
        """Lines of a run's files, each addressed by its offset, so that a repeated request changes nothing."""
        run = self.runs[run_id]
        for name, part in (body.get("files") or {}).items():
            offset, lines = part.get("offset", 0), part["content"]
            if name == "wandb-history.jsonl":
                run.history[offset : offset + len(lines)] = [json.loads(line) for line in lines]
            elif name == "wandb-summary.json":
                run.summary |= json.loads(lines[-1])
            else:
                run.lines[name] = max(run.lines.get(name, 0), offset + len(lines))
        run.is_preempting |= bool(body.get("preempting"))
        if body.get("complete"):
            run.exit_code = body["exitcode"]

    def on_Viewer(self, values):  # noqa: N802
        teams = {"edges": [{"node": {"name": ENTITY}}]}
        names = {"id": "1", "entity": ENTITY, "username": ENTITY, "email": "t@example.org", "flags": "{}"}
        return {"viewer": {**names, "admin": False, "teams": teams, "apiKeys": {"edges": []}}}

    on_GetDefaultEntity = on_Viewer

    def on_ServerFeaturesQuery(self, values):  # noqa: N802
        return {"serverInfo": {"features": []}}

    def on_OrganizationCoreWeaveOrganizationID(self, values):  # noqa: N802
        return {"entity": {"organization": {"coreWeaveOrganizationId": None}}}

    def on_UpsertBucket(self, values):  # noqa: N802
        run_id = values.get("name") or base64.b64decode(values["id"]).decode()
        is_new = run_id not in self.runs
        run = self.runs.setdefault(run_id, StoredRun())
        run.upsert |= {name: value for name, value in values.items() if value is not None}
        run.config |= {key: entry["value"] for key, entry in json.loads(values.get("config") or "{}").items()}
        project = {"id": "2", "name": values.get("project"), "entity": {"id": "3", "name": ENTITY}}
        bucket = self._bucket(run_id) | {"project": project, "sweepName": None, "description": None}
        return {"upsertBucket": {"bucket": bucket, "inserted": is_new}}

    def on_RunResumeStatus(self, values):  # noqa: N802
        run = self.runs.get(values["name"])
        if run is None:
            return {"model": None}
        last = json.dumps([json.dumps(row) for row in run.history[-1:]])
        known = {
            "summaryMetrics": json.dumps(run.summary),
            "eventsLineCount": run.lines.get("wandb-events.jsonl", 0),
            "logLineCount": run.lines.get("output.log", 0),
            "historyTail": last,
            "eventsTail": "[]",
            "wandbConfig": json.dumps({"t": 1}),
            "tags": run.upsert.get("tags"),
        }
        entity = {"id": "3", "name": ENTITY}
        bucket = self._bucket(values["name"]) | known
        return {"model": {"id": "2", "name": values["project"], "entity": entity, "bucket": bucket}}

    def _bucket(self, run_id):
        run = self.runs[run_id]
        return {
            "id": base64.b64encode(run_id.encode()).decode(),
            "name": run_id,
            "displayName": run.upsert.get("displayName", run_id),
            "config": json.dumps({key: {"value": value} for key, value in run.config.items()}),
            "historyLineCount": len(run.history),
        }

    def on_CreateRunFiles(self, values):  # noqa: N802
        files = [
            {"name": name, "uploadUrl": f"{self.url}/upload/{values['run']}/{name}"} for name in values.get("files", [])
        ]
        return {"createRunFiles": {"runID": values["run"], "uploadHeaders": [], "files": files}}

    def on_CreateArtifact(self, values):  # noqa: N802
        """Says that it has the artifact already, so that nothing more is asked."""
        sequence = {"latestArtifact": None}
        return {"createArtifact": {"artifact": {"id": "4", "state": "COMMITTED", "artifactSequence": sequence}}}

    def on_GetProjects(self, values):  # noqa: N802
        project = {"id": "2", "name": "mixlingual", "entityName": ENTITY, "createdAt": "2026-01-01", "user": None}
        project |= {"isBenchmark": False, "internalId": "2"}
        page = {"endCursor": None, "hasNextPage": False}
        return {"models": {"edges": [{"node": project, "cursor": ""}], "pageInfo": page}}

    def _save_view(self, values):
        """A view with an id takes the place of the one that has it."""
        identity = values.get("id") or f"view{len(self.views)}"
        self.views[identity] = values
        project = {"id": "2", "name": values["projectName"], "entityName": ENTITY}
        view = {"id": identity, "name": values["name"], "type": values["type"], "displayName": values["displayName"]}
        view |= {"description": "", "spec": values["spec"], "project": project, "createdAt": None, "updatedAt": None}
        return {"upsertView": {"view": view, "inserted": identity == values.get("id")}}

    on_UpsertView2 = on_upsertView = _save_view

    def on_View(self, values):  # noqa: N802
        """The saved workspaces of a name, with or without what the client puts around it."""
        found = [
            {"id": identity, "displayName": view["displayName"], "spec": view["spec"]}
            for identity, view in self.views.items()
            if values["viewName"] == view["name"]
        ]
        return {"project": {"allViews": {"edges": [{"node": node} for node in found]}}}


def _handler(server: WandbServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *args):
            pass

        def _serve(self):
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            time.sleep(server.seconds)
            if server.is_down:
                server.hung_up += 1
                self.close_connection = True
                return
            code, reply = (server.refusal, {}) if server.refusal else (200, self._reply(body))
            content = json.dumps(reply).encode()
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PUT = _serve

        def _reply(self, body):
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            with server.lock:
                if self.path == "/graphql":
                    return self._graphql(json.loads(body))
                server.calls.append(f"{self.command} {self.path}")
                if found := re.fullmatch(r"/files/[^/]+/[^/]+/([^/]+)/file_stream", self.path):
                    server.stream(found[1], json.loads(body))
                    return {"limits": {}}
                if found := re.fullmatch(r"/upload/([^/]+)/(.+)", self.path):
                    server.runs[found[1]].files[found[2]] = body
                return {}

        def _graphql(self, request):
            operation = re.search(r"(?:query|mutation)\s+(\w+)", request["query"])[1]
            server.calls.append(operation)
            data = server.answer(operation, request.get("variables") or {})
            return {"data": data, "errors": [{"message": f"unknown: {operation}"}] if data is None else []}

    return Handler


@contextmanager
def serving():
    """A server while the block runs."""
    server = WandbServer()
    try:
        yield server
    finally:
        server.close()

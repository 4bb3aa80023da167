"""What the server says of itself to Prometheus."""

from __future__ import annotations

from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

TYPE = CONTENT_TYPE_LATEST
ROW_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
DURATIONS = (0.005, 0.02, 0.1, 0.5, 2, 10, 60)


class Metrics:
    """Counters of one server, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        own: dict[str, Any] = {"registry": self.registry}
        self.requests = Counter("unspool_requests", "Requests, by endpoint and status.", ["endpoint", "status"], **own)
        self.prompt_tokens = Counter("unspool_prompt_tokens", "Tokens of prompts.", **own)
        self.new_tokens = Counter("unspool_generated_tokens", "New tokens of the texts that were returned.", **own)
        self.rows = Histogram("unspool_forward_rows", "Rows that a forward of all requests had.", buckets=ROW_BUCKETS, **own)
        self.seconds = Histogram("unspool_request_seconds", "From a request to its whole answer.", ["endpoint"], buckets=DURATIONS, **own)
        self.first = Histogram("unspool_first_piece_seconds", "From a request to the first piece of a stream.", buckets=DURATIONS, **own)
        self.working = Gauge("unspool_requests_running", "Runs that are in the batch.", **own)
        self.waiting = Gauge("unspool_requests_waiting", "Requests that wait for room.", **own)
        self.alive = Gauge("unspool_rows_alive", "Rows that all runs keep.", **own)

    def page(self) -> bytes:
        """All of it as Prometheus reads it."""
        return generate_latest(self.registry)

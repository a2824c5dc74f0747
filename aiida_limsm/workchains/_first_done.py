"""A workchain that goes on as soon as one of the processes it waits for is done."""

from __future__ import annotations

from typing import Any

from aiida.engine import ProcessState


class FirstDoneMixin:
    """Put before ``WorkChain``: AiiDA itself waits for all.

    A step of the outline fills up what is running to ``max_concurrent``, and returns all of it to
    be waited for. Were the hook of AiiDA's that is used here renamed, the result would still be
    right, in groups of ``max_concurrent`` that wait for their slowest.
    """

    _awaitables: Any
    state: Any
    resume: Any

    def _on_awaitable_finished(self, awaitable: Any) -> None:
        # A process that was waited for before is known to two callbacks; by identity, since the
        # two are equal until the first is resolved.
        if not any(own is awaitable for own in self._awaitables):
            return
        super()._on_awaitable_finished(awaitable)  # type: ignore[misc]
        if self.state == ProcessState.WAITING:
            self.resume()

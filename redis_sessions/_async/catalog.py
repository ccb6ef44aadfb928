"""What a cache says of all its sessions: lists, counts, what happens, what is old; and its documents."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from datetime import timedelta
from typing import Unpack

from .._core import leases, queries, watching
from .._core.keys import index_keys, session_keys
from .._core.units import Duration, milliseconds, whole
from ..errors import InvalidInput
from ..models.events import SessionEvent
from ..models.leases import LeaseInfo
from ..models.pages import Page
from ..models.summaries import SessionSummary
from ..settings import Filters
from .calls import Calls
from .documents import AsyncDocuments, Categories
from .fleets import Listed, Tree, watch_all
from .home import Home
from .listing import Listing
from .pruning import Pruning


class AsyncCatalog:
    """The sessions of one namespace as a whole."""

    namespace: str
    _home: Home
    _calls: Calls
    _listing: Listing
    _categories: Categories
    _document_bytes: int

    async def list(
        self, limit: int = 50, cursor: str | None = None, **filters: Unpack[Filters]
    ) -> Page[SessionSummary]:
        """Sessions, newest first by their last update (`order="updated"`) or creation ("created"): a page of 1,000 at most.

        Filters combine: user, agent, label, tags (all of them), kinds (any), active_only (paused ones are not). Each is read
        as it is now; a page is in exact order, and goes on where the last one ended, whatever is written meanwhile. One
        index is read, so a page may hold fewer than `limit` where filters combine; the cursor says whether there are more.
        Three round trips at most. Unknown users and tags are an empty page. Raises InvalidInput.
        """
        return await self._listing.page(queries.query(limit=limit, **filters), cursor)

    def sessions(self, **filters: Unpack[Filters]) -> AsyncIterator[SessionSummary]:
        """All sessions that `list` would page through, as an iterator."""
        return self._listing.every(queries.query(limit=200, **filters))

    async def count(self, **filters: Unpack[Filters]) -> int:
        """How many sessions there are. With one filter as the indexes have it, in one round trip: what others did in the last
        second may be missing, what expired is counted until somebody meets it or sweeps, and paused ones count as active.
        Where filters combine they are listed to be counted.
        """
        return await self._listing.count(queries.query(limit=1000, **filters))

    async def leases(self, limit: int = 50, cursor: str | None = None) -> Page[LeaseInfo]:
        """Leases that are held and have not run out, those that run out first before others; at most 3 round trips a page.

        A lease is listed from a tenth of a second after it was acquired. One that is renewed while pages are read can come
        again, none is missed.
        """
        whole(limit, "limit", least=1, most=1000)
        page = await self._calls.run(leases.listed(index_keys(self.namespace, "leases"), limit, cursor))
        calls = [leases.info(session_keys(self.namespace, id), "") for id in page.items]
        found = await self._calls.run_many(calls)
        held = [lease for lease in found if isinstance(lease, LeaseInfo) and lease.expires_in > timedelta(0)]
        return Page(held, page.cursor)

    def documents(self, category: str) -> AsyncDocuments:
        """A handle on the documents of a category, such as `notes` or `notes/2026`, whether there are any or not. No round trip.

        Raises InvalidInput for a category that is empty, longer than 256 characters, not printable, starts or ends with `/`,
        or contains `//`, `..`, a backslash or braces.
        """
        return AsyncDocuments(self._calls, self._categories, self._categories.of(category), self._document_bytes)

    async def categories(self, limit: int = 50, cursor: str | None = None) -> Page[str]:
        """Categories that hold documents, ascending; the cursor is the last of the page.

        Reads the names of all, and asks each node for those of the page: two round trips on one server, more where categories
        became empty. A category that is written meanwhile may be in it or not. Raises InvalidInput.
        """
        return await self._categories.page(limit, cursor)

    async def sweep(self, agent_id: str | None = None) -> int:
        """Looks after the runs, of one agent or all, whose worker died or whose time is over; and, for all, after the indexes:
        what ended unseen, expired or was left half done by a process that died. Says at how many sessions it looked.

        Whoever else sweeps, each is acted on once. Workers do so for their agent while they wait, and whoever writes does
        a little for the indexes.
        """
        looked = 0
        for agent in [agent_id] if agent_id is not None else await self._home.queues.agents():
            while (some := await self._home.queues.sweep(agent)) > 0:
                looked += some
        return looked + (await self._home.indexes.sweep() if agent_id is None else 0)

    def watch(
        self,
        *,
        user: str | None = None,
        agent: str | None = None,
        tree: str | None = None,
        after: Mapping[str, int | tuple[int, int]] | None = None,
        timeout: Duration | None = None,
    ) -> AsyncIterator[SessionEvent]:
        """What happens in all sessions of a user or an agent, or in the tree of a root, also in those that come later.

        Of each session in order, each once, as `session.watch` has it. It begins with what comes from now on; with `after`
        (the last seq seen, or it and the change, by session id) where that was; sessions that came while nobody watched
        are named there, too, with 0: `list(order="created")` has them. What befalls one session ends no other's: it is
        `deleted`, or `regressed`. New sessions are found within a second. Ends when nothing came for `timeout` seconds, or
        the root of the tree is gone. At most 1,000 sessions at once: more are refused, and those that come beyond wait
        until others have ended. Raises InvalidInput, SessionNotFound (no such root), StoreUnavailable.
        """
        asked = [one for one in (user, agent, tree) if one is not None]
        if len(asked) != 1:
            raise InvalidInput(name="watch", detail="give one of user, agent and tree")
        seconds = None if timeout is None else milliseconds(timeout, "timeout") / 1000
        places = watching.places(after or {})
        finder = Listed(self._listing, user, agent) if tree is None else Tree(self._home, tree)
        return watch_all(self._home, finder, places, seconds)

    async def prune(
        self,
        max_sessions: int = 0,
        max_age: Duration = 0,
        *,
        cooldown: Duration = 0,
        dry_run: bool = False,
        progress: Callable[[int], None] | None = None,
    ) -> int:
        """Removes sessions last updated longer ago than `max_age`, then the oldest beyond `max_sessions`; says how many.

        0 switches a rule off. Trees go as a whole, by their root; one with active children, or whose lease is held, stays,
        and what is written meanwhile is left alone. With a `cooldown` it runs once in that time in the whole fleet, whoever
        asks; else it answers 0. `dry_run` only counts. `progress` is called with how many so far. Without `max_sessions` the
        cost is that of the old ones, else of all: six round trips for a hundred that go. Raises InvalidInput.
        """
        most = whole(max_sessions, "max_sessions")
        age_ms, cooldown_ms = (milliseconds(value, name, least=0, bounds="0 or more")
                               for value, name in ((max_age, "max_age"), (cooldown, "cooldown")))  # fmt: skip
        pruning = Pruning(self._home, self._listing)
        if (most == 0 and age_ms == 0) or (not dry_run and not await pruning.may_begin(cooldown_ms)):
            return 0
        return await pruning.run(most, age_ms, dry_run, progress)

"""The validators of the vendors' rules, each on lists that its vendor accepts and refuses."""

from __future__ import annotations

import pytest

from tests.support.vendors import VALIDATORS, openai_responses
from tests.support.vendors.conversations import WRITERS, Step, conversation, shrink
from tests.support.vendors.samples import ACCEPTED, REFUSED, Payloads, U, item


@pytest.mark.parametrize(("format", "payloads"), ACCEPTED)
def test_accepted_list_has_no_problems(format: str, payloads: Payloads) -> None:
    """A list that the vendor accepts has no problems."""
    assert VALIDATORS[format](payloads) == []


@pytest.mark.parametrize(("format", "payloads", "reason"), REFUSED)
def test_refused_list_has_problems(format: str, payloads: Payloads, reason: str) -> None:
    """A list that the vendor refuses has a problem with the reason."""
    assert any(reason in text for text in VALIDATORS[format](payloads)), VALIDATORS[format](payloads)


@pytest.mark.parametrize("format", VALIDATORS)
def test_empty_list_is_refused(format: str) -> None:
    """No vendor accepts an empty list."""
    assert VALIDATORS[format]([]) == ["the list is empty"]


def test_call_without_its_reasoning_is_refused() -> None:
    """A Responses call is refused without the reasoning item that it was made with, and behind another one."""
    made = [{"type": "function_call", "id": "fc", "call_id": "a"}, item("function_call_output", "a")]
    own, other = item("reasoning", "own"), item("reasoning", "other")
    needs = {"fc": "own"}
    assert openai_responses.problems([U, own, *made], needs) == []
    assert "the reasoning 'own' that it needs" in openai_responses.problems([U, *made], needs)[0]
    assert "of another item" in openai_responses.problems([U, other, *made], needs)[0]


@pytest.mark.parametrize("format", WRITERS)
def test_undisturbed_conversation_is_accepted(format: str) -> None:
    """Messages of each format make an accepted list when each call has its result at once."""
    writer = conversation(format, 7).writer
    payloads = []
    for count in (1, 2, 5, 1, 3):
        calls = writer.new_calls(count)
        entries = [writer.user(), *writer.calling(calls), *writer.answering(calls, True), *writer.answer()]
        payloads += [entry.payload for entry in entries]
    problems = VALIDATORS[format](payloads)
    joined = ("alternate", "extra inputs")  # what `context()` sees to
    assert [text for text in problems if not any(word in text for word in joined)] == []


@pytest.mark.parametrize("format", WRITERS)
def test_same_seed_makes_same_conversation(format: str) -> None:
    """A conversation can be repeated from its seed, and begins with a user message."""
    first, second = conversation(format, 3), conversation(format, 3)
    assert first.steps == second.steps
    assert first.steps[0].entries[0].is_user


def test_redacted_entry_keeps_its_calls_and_marks() -> None:
    """A redacted message has other text, and the same calls, results and marks."""
    writer = conversation("anthropic", 1).writer
    entry = writer.answering(writer.new_calls(2), True)[0]
    redacted = entry.redacted()
    assert redacted.payload != entry.payload
    assert (redacted.results, redacted.calls) == (entry.results, entry.calls)
    assert all(mark in str(redacted.payload) for _, mark in entry.results)


def test_shrunk_steps_are_the_failing_ones() -> None:
    """Shrinking keeps the first step, and the steps and messages without which nothing fails."""
    steps = conversation("openai_chat", 5, 40).steps
    wanted = [step for step in steps if len(step.entries) > 1][:1]

    def fails(left: list[Step]) -> bool:
        return any(wanted[0].entries[1] in step.entries for step in left)

    assert [step.entries for step in shrink(steps, fails)] == [steps[0].entries, (wanted[0].entries[1],)]

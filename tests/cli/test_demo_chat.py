"""The demo of a chat service."""

from __future__ import annotations

import json

from tests.support.command_line import launch


def test_demo_of_a_chat_answers_every_question_once() -> None:
    """The demo kills, stops and ends workers, and each of 192 questions is answered once."""
    done = launch("demo", "--chat", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads(done.stdout)
    assert (report["questions"], report["answered_once"], report["problems"]) == (192, 192, [])
    assert report["killed"] > 0
    assert report["complete"]


def test_demo_of_a_chat_and_a_tree_is_refused() -> None:
    """The options --chat and --tree exclude each other."""
    done = launch("demo", "--chat", "--tree")
    assert done.returncode == 2
    assert "exclude each other" in done.stderr

"""Session records: evaluate a skill with test cases. A limit of turns ends the session, and the record can be exported."""

from __future__ import annotations

import sys

from redis_sessions import Evaluation, LimitExceeded, Message, SessionCache

CASES = [("2 + 2", "4"), ("10 / 4", "2.5"), ("7 * 6", "42"), ("1 - 3", "-2")]


def skill(question: str) -> str:
    """Stand for a model that can add and multiply whole numbers only."""
    left, sign, right = question.split()
    return {"+": str(int(left) + int(right)), "*": str(int(left) * int(right))}.get(sign, "?")


def main(url: str) -> None:
    with SessionCache.from_url(url, namespace="examples-records") as cache:
        session = cache.create(
            name="arithmetic, nightly",
            type=Evaluation(skill_name="arithmetic", test_cases=len(CASES)),
            tags=["nightly"],
            max_turns=3,
            limit_action="end_session",
        )
        session.state["seed"] = 7
        passed = 0
        for question, expected in CASES:
            try:
                session.append({"role": "user", "content": question})
            except LimitExceeded as refused:
                print(f"{question}: not asked, {refused.limit} {refused.current} of {refused.max}")
                break
            answer = skill(question)
            session.append(
                Message.skill_execution("arithmetic", {"answer": answer}, success=answer == expected),
                {"role": "assistant", "content": answer},
            )
            passed += answer == expected
            session.state["passed"] = passed
            print(f"{question} = {answer}, {session.info().remaining_turns} turns left")

        info = session.info()
        print(f"{info.name}: {info.status}, {info.turns} turns, {info.entries} entries, {passed} passed")
        failed = [message for message in session.history(role="skill_execution") if not message.payload["success"]]
        print(f"failed: {[message.content for message in failed]}")
        print(f"the exported record has {len(list(session.export()))} lines")
        session.delete()


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "embedded://")

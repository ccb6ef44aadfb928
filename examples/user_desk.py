"""The sessions of a desk's users, and documents with findings that outlive every session."""

from __future__ import annotations

import sys

from redis_sessions import Message, SessionCache

USERS = {"mia": ["Plan my trip.", "Add a museum."], "tom": ["Find my bag."]}


def serve(cache: SessionCache, user: str, questions: list[str]) -> None:
    """Answer a user's questions in one session, and store a plan and facts in documents."""
    session = cache.get_or_create(user_id=user, metadata={"project_id": f"trips/{user}"})
    for number, question in enumerate(questions, 1):
        reply = Message("assistant", f"Done: {question}", metadata={"phase_reached": "draft"})
        session.append({"role": "user", "content": question}, reply)
        session.patch(metadata={"active_seed_id": f"seed-{number}"})

    documents = cache.documents(f"trips/{user}")
    documents.put("plan", "# Plan\n\n" + "\n".join(f"- {question}" for question in questions))
    documents.put_json("facts", {"questions": len(questions)})


def main(url: str) -> None:
    with SessionCache.from_url(url, namespace="examples-desk", ttl="24h") as cache:
        for user, questions in USERS.items():
            serve(cache, user, questions)

        for summary in cache.list(limit=10).items:  # the session that was updated last comes first
            print(f"{summary.user_id}: {summary.exchanges} exchanges, {summary.active_seed_id}, {summary.project_id}")
        print(f"mia has {cache.count(user_id='mia')} session")

        for category in cache.categories().items:
            documents = cache.documents(category)
            names = documents.list().items
            plan = documents.get("plan") or ""
            print(f"{category}: {names}, {documents.get_json('facts')}, plan of {len(plan)} letters")
            for name in names:
                documents.delete(name)

        deleted = [cache.delete(summary.id) for summary in cache.iter_sessions()]
        print(f"{len(deleted)} sessions deleted, {cache.count()} left")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "embedded://")

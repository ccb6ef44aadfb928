"""The sessions of a desk's users, with what was found out for them in documents that outlive every session."""

from __future__ import annotations

import sys

from redis_sessions import Message, SessionCache

USERS = {"mia": ["Plan my trip.", "Add a museum."], "tom": ["Find my bag."]}


def main(url: str) -> None:
    with SessionCache.from_url(url, namespace="examples-desk", ttl=24 * 3600) as cache:
        for user, questions in USERS.items():
            session = cache.get_or_create(user_id=user, metadata={"project_id": f"trips/{user}"})
            for number, question in enumerate(questions, 1):
                session.append({"role": "user", "content": question})
                reply = Message("assistant", f"Done: {question}", metadata={"phase_reached": "draft"})
                session.append(reply)
                session.patch(metadata={"active_seed_id": f"seed-{number}"})

            documents = cache.documents(f"trips/{user}")
            documents.put("plan", "# Plan\n\n" + "\n".join(f"- {question}" for question in questions))
            documents.put_json("facts", {"questions": len(questions)})

        for one in cache.list(limit=10).items:  # the last updated first
            print(f"{one.user_id}: {one.exchanges} exchanges, {one.active_seed_id}, {one.project_id}")
        print(f"mia has {cache.count(user='mia')} session")

        for category in cache.categories().items:
            documents = cache.documents(category)
            names = documents.list().items
            print(
                f"{category}: {names}, {documents.get_json('facts')}, plan of {len(documents.get('plan') or '')} letters"
            )
            print(f"removed {sum(documents.delete(name) for name in names)}, now {documents.list().items}")

        removed = [cache.delete(one.id) for one in cache.sessions()]
        print(f"{len(removed)} sessions deleted, {len(list(cache.sessions()))} left")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "embedded://")

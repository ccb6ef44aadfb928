-- Stores a session's counts after a change: its rev grows, its life is extended.
local function change(session, messages, now, rules, count)
  count.rev = count.rev + 1
  redis.call('HSET', session, 'counts', string.format('%d %d %d %d %d %d %d %d %d %d %s',
    count.rev, count.last, count.dropped, count.users, count.assistants, count.turns, count.pending,
    count.bytes, count.tokens, count.ops, now .. micros))
  extend(session, messages, now, rules)
end

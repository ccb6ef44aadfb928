-- Keep writes of shared scopes in a session until they are applied. `outbox` has the revisions of those that wait, `before` what it had.
local function add_to_outbox(session, before, rev, writes)
  redis.call('HSET', session, 'outbox', before .. rev .. ' ', 'outbox.' .. rev, writes)
end

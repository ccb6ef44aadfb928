-- Extends a session's life; never shortens it, never past its deadline, and changes nothing else.
-- Returns {life, ms left, or -1 for a persistent session}.
-- Errors: NOT_FOUND REPLACED
--- include: identify clock expire extend
local session  = KEYS[1] -- hash
local messages = KEYS[2] -- list
local life     = ARGV[1] -- the incarnation the caller knows, or ''
local ttl      = ARGV[2] -- ms from now, or '' for the session's own idle ttl

local known = redis.call('HMGET', session, 'life', 'rules')
local refusal = identify(known[1], life)
if refusal then return refusal end
local wanted = ttl == '' and string.match(known[2], '(%d+) %S+$') or ttl
local left = redis.call('PTTL', session)
if left >= 0 and wanted + 0 > left then
  extend(session, messages, clock(), known[2], wanted)
end
return {known[1], redis.call('PTTL', session)}

-- Extends a session's life; never shortens it, never past its deadline, and changes nothing else. A child's ancestors live as
-- long as it does.
-- Returns {life, ms left, or -1 for a persistent session}.
-- Errors: NOT_FOUND REPLACED CHAIN
--- include: rest identify clock expire extend belong
local session  = KEYS[1]       -- hash
local messages = KEYS[2]       -- list
local family   = rest(KEYS, 3) -- session and messages of each ancestor of a child's, the parent's first
local life     = ARGV[1]       -- the incarnation the caller knows, or ''
local ttl      = ARGV[2]       -- ms from now, or '' for the session's own idle ttl

local known = redis.call('HMGET', session, 'life', 'rules', 'place')
local refusal = identify(known[1], life)
if refusal then return refusal end
local unknown, unnamed = belong(family, known[3])
if unnamed then return unknown end
local wanted = ttl == '' and string.match(known[2], '(%d+) %S+$') or ttl
local now = clock()
local function stretch(hash, list, rules)
  local left = redis.call('PTTL', hash)
  if left >= 0 and wanted + 0 > left then extend(hash, list, now, rules, wanted) end
end
stretch(session, messages, known[2])
for at = 1, #family, 2 do
  local rules = redis.call('HGET', family[at], 'rules')
  if rules then stretch(family[at], family[at + 1], rules) end
end
return {known[1], redis.call('PTTL', session)}

-- Tell the watchers of a session something that is not stored, 2 MB at most to all of them together.
-- Returns the incarnation.
-- Errors: SESSION_NOT_FOUND SESSION_REPLACED LIMIT_EXCEEDED
-- Index: none
--- include: check_incarnation notify_subscribers read_clock
local session     = KEYS[1] -- hash
local incarnation = ARGV[1] -- the incarnation the caller knows, or ''
local text        = ARGV[2] -- JSON

local found, subscribers = unpack(redis.call('HMGET', session, 'incarnation', 'subscribers'))
local refusal = check_incarnation(found, incarnation)
if refusal then return refusal end
if subscribers then
  local _, count = string.gsub(subscribers, '\n', '')
  if count * #text > 2000000 then
    return redis.error_reply(string.format('LIMIT_EXCEEDED published_bytes %d 2000000 error', count * #text))
  end
  notify_subscribers(session, subscribers, read_clock(), 'delta', text)
end
return found

-- Tell the watchers of a session a delta, a part of the answer that is being made, and keep the delta for watchers that come
-- later. All deltas since the session's last message are one answer. Its oldest deltas go when it has more bytes than it may
-- have, but the newest one stays. A delta of another incarnation or seq belongs to an answer that is over: readers pass over it,
-- and the next publish removes it. So appends end an answer whether they remove its deltas or not. All watchers together get 2 MB
-- at most.
-- Returns the incarnation.
-- Errors: SESSION_NOT_FOUND SESSION_REPLACED LIMIT_EXCEEDED
-- Index: none
--- include: check_incarnation notify_subscribers read_clock parse_delta
local session     = KEYS[1]           -- hash
local deltas      = KEYS[2]           -- list of '<incarnation> <answer> <seq> <number> <total> <nonce> <data>', see parse_delta
local incarnation = ARGV[1]           -- the incarnation the caller knows, or ''
local data        = ARGV[2]           -- JSON, perhaps encoded
local nonce       = ARGV[3]           -- of this delta, by which it is found when it is sent again
local elapsed_ms  = ARGV[4]           -- since the first attempt, or '' for the first attempt
local restarts    = ARGV[5] == '1'    -- the answer begins again: what was published of it before is void
local max_bytes   = tonumber(ARGV[6]) -- of the deltas that are kept
local keep_ms     = tonumber(ARGV[7]) -- that they are kept without another one, if the session lives so long

local found, counters, status, subscribers = unpack(redis.call(
  'HMGET', session, 'incarnation', 'counters', 'status', 'subscribers'))
local refusal = check_incarnation(found, incarnation)
if refusal then return refusal end
if status ~= 'active' and status ~= 'paused' then return found end -- nothing can watch it any more
if subscribers then
  local _, count = string.gsub(subscribers, '\n', '')
  if count * #data > 2000000 then
    return redis.error_reply(string.format('LIMIT_EXCEEDED published_bytes %d 2000000 error', count * #data))
  end
end
local now_ms, answer = read_clock()
local seq, number, total, last = string.match(counters, '^%d+'), 1, 0, redis.call('LINDEX', deltas, -1)
if last then
  last = parse_delta(last)
  local is_same = last.incarnation == found and last.seq == seq
  for _, element in ipairs(is_same and elapsed_ms ~= '' and redis.call('LRANGE', deltas, -100, -1) or {}) do
    if parse_delta(element).nonce == nonce then return found end
  end
  if is_same and not restarts then
    answer, number, total = last.answer, last.number + 1, last.total
  else
    redis.call('UNLINK', deltas)
    answer = math.max(answer, last.answer + 1)
  end
end
total = total + #data + 100
redis.call('RPUSH', deltas, string.format('%s %d %s %d %d %s ', found, answer, seq, number, total, nonce) .. data)
local oldest = total > max_bytes and parse_delta(redis.call('LINDEX', deltas, 0))
while oldest and total - oldest.total + oldest.size > max_bytes and oldest.number < number do
  redis.call('LPOP', deltas)
  oldest = parse_delta(redis.call('LINDEX', deltas, 0))
end
local left_ms = redis.call('PTTL', session)
redis.call('PEXPIRE', deltas, left_ms < 0 and keep_ms or math.min(left_ms, keep_ms))
if subscribers then
  notify_subscribers(session, subscribers, now_ms, 'delta', string.format('%d %s %d ', answer, seq, number) .. data)
end
return found

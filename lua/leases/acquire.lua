-- Acquire a session's lease, or a place among its waiters: first come, first served. A nonce is one request: repeated, it gets
-- the same fence, or keeps its place. With nothing left to wait it leaves its place.
-- Returns {incarnation, fence, ms that the lease lasts, the session's idle ttl in ms or 0}; for a waiter the fence is 0, and the
-- ms are those after which to ask again.
-- Errors: SESSION_NOT_FOUND SESSION_REPLACED SESSION_LOCKED LEASE_LOST BOUND_EXCEEDED INVALID_INPUT
-- Index: none
--- include: results_field check_incarnation parse_lease find_result read_clock grant_lease parse_settings
--- include: extend_held_session
local session          = KEYS[1]           -- hash
local messages         = KEYS[2]           -- list
local incarnation      = ARGV[1]           -- the incarnation the caller knows, or ''
local nonce            = ARGV[2]           -- of the request
local owner            = ARGV[3]           -- the name of the holder
local ttl_ms           = tonumber(ARGV[4]) -- that the lease lasts
local wait_ms          = tonumber(ARGV[5]) -- that the request waits, or 0
local channel          = ARGV[6]           -- on which the process of the caller hears, or '-'
local counts_receivers = ARGV[7]           -- '1' if PUBLISH returning 0 proves that the waiter is gone
local max_waiters      = tonumber(ARGV[8])

local found, settings, held, waiters, results = unpack(redis.call('HMGET', session, 'incarnation', 'settings', 'lease',
  'lease_waiters', results_field(nonce)))
local refusal = check_incarnation(found, incarnation)
if refusal then return refusal end
if owner == '' or channel == '' or string.find(owner .. nonce .. channel, '%s') then
  return redis.error_reply('INVALID_INPUT owner and channel must be names without white space')
end
local holder, stored_waiters = parse_lease(held), waiters
if find_result(results or '', nonce) then
  return redis.error_reply('LEASE_LOST ' .. holder.fence .. ' ' .. holder.owner)
end
local now_ms = read_clock()
local is_free = holder.deadline_ms - now_ms <= 0
waiters = waiters or ''
if holder.nonce == nonce or (is_free and waiters == '') then
  local fence = holder.fence + (holder.nonce == nonce and 0 or 1)
  grant_lease(session, fence, nonce, owner, channel, counts_receivers, now_ms, ttl_ms)
  return {found, fence, ttl_ms, extend_held_session(session, messages, now_ms, parse_settings(settings), ttl_ms)}
end

--- include: without_waiter format_waiter grant_next_waiter remove_lease_waiter save_lease_waiters
if not string.find('\n' .. waiters, '\n' .. nonce .. ' ', 1, true) then
  if #waiters > max_waiters * 20 then -- no record is that short
    waiters = without_waiter(waiters, '', now_ms)
    local _, count = string.gsub(waiters, '\n', '')
    if count >= max_waiters then
      return redis.error_reply(string.format('BOUND_EXCEEDED waiters %d %d', count + 1, max_waiters))
    end
  end
  waiters = waiters .. format_waiter({
    nonce = nonce, until_ms = now_ms + math.max(wait_ms, 1), counts_receivers = counts_receivers, channel = channel,
    detail = string.format('%d %s', ttl_ms, owner),
  })
end
if is_free then
  if grant_next_waiter(session, holder.fence, waiters, now_ms, nonce) == nonce then
    return {found, holder.fence + 1, ttl_ms, extend_held_session(session, messages, now_ms, parse_settings(settings), ttl_ms)}
  end
  held, waiters = unpack(redis.call('HMGET', session, 'lease', 'lease_waiters'))
  holder, waiters = parse_lease(held), waiters or ''
end
if wait_ms == 0 then waiters = remove_lease_waiter(waiters, nonce) end
if waiters == '' or wait_ms > 0 or waiters ~= stored_waiters then save_lease_waiters(session, waiters) end
if wait_ms > 0 then return {found, 0, holder.deadline_ms - now_ms, parse_settings(settings).ttl_ms} end
return redis.error_reply(string.format('SESSION_LOCKED %s %d %d', holder.owner, holder.fence, holder.deadline_ms - now_ms))

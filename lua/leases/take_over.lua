-- Take a lease from its holder, for operators: grant it again, for a second, to the caller, who then releases it. The former
-- holder's writes are refused from then on, and the holder is notified.
-- Returns {incarnation, fence of the new grant}. A nonce is one request: repeated, it returns the same.
-- Errors: SESSION_NOT_FOUND SESSION_REPLACED LEASE_LOST INVALID_INPUT
-- Index: none
--- include: results_field check_incarnation check_operation parse_lease touch_for_wait find_result grant_lease read_clock
--- include: notify_holder
local session     = KEYS[1]           -- hash
local incarnation = ARGV[1]           -- the incarnation the caller knows, or ''
local nonce       = ARGV[2]           -- of the request
local owner       = ARGV[3]           -- the name of the caller
local fence       = tonumber(ARGV[4]) -- only the lease with this fence, or 0 for any

local found, held, results, run_text =
  unpack(redis.call('HMGET', session, 'incarnation', 'lease', results_field(nonce), 'run'))
local refusal = check_incarnation(found, incarnation) or check_operation(nonce .. owner)
if refusal then return refusal end
local lease = parse_lease(held)
if lease.nonce == nonce then
  touch_for_wait(session, found)
  return {found, lease.fence}
end
local is_released = results and find_result(results, nonce) -- a late duplicate must not take the lease again
if is_released or (fence > 0 and (fence ~= lease.fence or lease.nonce == '-')) then
  return redis.error_reply('LEASE_LOST ' .. lease.fence .. ' ' .. lease.owner)
end
grant_lease(session, lease.fence + 1, nonce, owner, '-', '0', read_clock(), 1000)
if run_text then -- an order of an operator does not count as a death
  --- include: parse_run format_run
  local run = parse_run(run_text)
  run.fence, run.deadline_ms = 0, run.limit_ms
  redis.call('HSET', session, 'run', format_run(run))
end
notify_holder(held, 'lost', '0 0')
return {found, lease.fence + 1}

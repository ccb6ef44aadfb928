-- Apply the outcome with which a claim is given back: it counts a failed attempt, finishes a turn, or parks. Messages that finish
-- a turn are appended once. `given` is {nonce, outcome, delay_ms, problem, parked, entries, operation_id, result, root,
-- format}. Return the refusal of the messages, or nil.
--- include: results_field load_session check_operation find_before drain_inbox record_attempt record_result
--- include: drop_request parse_lineage
local function give_back_run(session, messages, loaded, given, now_ms, now_us)
  local run, outcome, field = loaded.run, given.outcome, results_field(given.operation_id)
  if #given.entries > 0 then
    local own, refusal = load_session(session, '', field), check_operation(given.operation_id)
    own.inbox, own.opens_no_turn, own.never_ends = nil, true, true
    if loaded.status ~= 'active' then refusal = redis.error_reply('SESSION_NOT_ACTIVE ' .. loaded.status) end
    if refusal then return refusal end
    local result = find_before(session, messages, own.results, own.recent, given.operation_id) -- an attempt before appended them already
    if result and not string.find(result, '^%d+ %d') then
      return redis.error_reply('OPERATION_CONFLICT ' .. given.operation_id .. ' finish ' .. string.match(result, '%a%S*'))
    end
    if not result then
      result, refusal = drain_inbox(session, messages, own, given.entries, field, given.operation_id, now_ms, now_us)
    end
    if not result then return refusal end
    if given.format ~= '' then redis.call('HSETNX', session, 'format', given.format) end
    given.operation_id = given.operation_id .. '.inbox'
  end
  if outcome == 'failed' or outcome == 'given_up' then
    record_attempt(session, run, loaded.lease, now_ms, 'failed', given.problem)
    loaded.is_given_up = outcome == 'given_up'
    if loaded.is_given_up and run.turn then run.attempts = run.max_attempts + 0 end
  elseif outcome == 'finished' then
    run.turn, run.attempts, run.has_died = 0, 0, '0'
    redis.call('HDEL', session, 'attempt_log')
    drop_request(given.root, parse_lineage(loaded.lineage).number)
    if not loaded.inbox then redis.call('HDEL', session, 'trace') end -- else it may be that of a message that waits
  elseif outcome == 'parked' then
    loaded.parked = string.format('%d ', now_ms + given.delay_ms) .. given.parked
    redis.call('HSET', session, 'parked', loaded.parked)
    given.delay_ms = 0
  end
  if outcome ~= 'parked' then redis.call('HDEL', session, 'resumed') end
  run.available_ms = now_ms + (given.delay_ms > 0 and given.delay_ms or -10^12)
  field = results_field(given.nonce)
  local counters, results = unpack(redis.call('HMGET', session, 'counters', field))
  record_result(session, counters, field, results or '', given.nonce, given.result)
end

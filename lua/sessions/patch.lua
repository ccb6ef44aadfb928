-- Change the description, the metadata and the settings of a session.
-- Returns {incarnation, '<rev>'}. The same operation again returns its first result.
-- Errors: NEED_ANCESTORS SESSION_NOT_FOUND SESSION_REPLACED SESSION_LOCKED LEASE_LOST SESSION_NOT_ACTIVE REVISION_CONFLICT
--   BOUND_EXCEEDED INVALID_INPUT
-- Index: may_relist
--- include: tail begin_write check_values merge_record parse_settings format_settings commit_write
local session       = KEYS[1]       -- hash
local messages      = KEYS[2]       -- list
local ancestor_keys = {unpack(KEYS, 3)} -- session and messages of each ancestor, the parent's first
local incarnation   = ARGV[1]       -- the incarnation the caller knows, or ''
local operation_id  = ARGV[2]
local lease         = ARGV[3]       -- '<fence> <nonce>' of the lease it is made under, or ''
local expected_rev  = ARGV[4]       -- the revision that must be current, or ''
local set_count     = tonumber(ARGV[5]) -- how many of the following fields are set
local merge_count   = tonumber(ARGV[6]) -- how many records are merged then: name, default, changes ('*' keeps a word)
local bounds        = ARGV[7]       -- '<metadata bytes> <state bytes> <variable bytes> <number of values>'
local fields        = tail(ARGV, 8) -- name, value, … of those set, then the names of those removed, then the merges

local write, reply = begin_write(session, ancestor_keys, incarnation, lease, expected_rev, operation_id)
if not write then return reply end
local first_removed, first_merge = set_count * 2 + 1, #fields - merge_count * 3 + 1
local refusal, value_bytes = check_values(session, fields, 1, set_count, first_merge - 1, bounds)
if refusal then return refusal end
for at = first_merge, #fields, 3 do
  if ancestor_keys[1] and fields[at] == 'tree_limits' then
    return redis.error_reply('INVALID_INPUT options max_depth, max_children, max_active, max_descendants and max_spawned are '
      .. 'options of the root of a tree')
  end
end
for at = 1, set_count * 2, 2 do
  if fields[at] == 'answered_by' then
    --- include: parse_run format_run
    local run = parse_run(redis.call('HGET', session, 'run'))
    if run.max_attempts ~= '-' and not run.turn then
      return redis.error_reply('INVALID_INPUT answered_by cannot be set for a run: a worker claims it as a whole')
    end
    if not run.turn then
      run.max_attempts, run.turn = '3', 0
      redis.call('HSET', session, 'run', format_run(run))
    end
  end
end
for at = 1, set_count * 2, 2 do
  redis.call('HSET', session, fields[at], fields[at + 1])
end
for at = first_merge, #fields, 3 do
  local name, default, changes = unpack(fields, at, at + 2)
  local ttl = name == 'settings' and redis.call('HEXISTS', session, 'idle_ttl') == 1 and string.match(changes, '%S+ %S+ %S+ (%d+)')
  if ttl then -- a session that waits returns to this ttl
    redis.call('HSET', session, 'idle_ttl', ttl)
    changes = string.gsub(changes, '^(%S+ %S+ %S+) %d+', '%1 *')
  end
  local merged = merge_record(redis.call('HGET', session, name) or default, changes)
  redis.call('HSET', session, name, merged)
  if name == 'settings' then write.settings = merged end
end
for at = first_removed, first_merge - 1 do
  if redis.call('HDEL', session, fields[at]) == 1 and fields[at] == 'answered_by' then -- an open turn ends without an answer
    --- include: parse_run format_run drop_request parse_lineage
    local text, lineage = unpack(redis.call('HMGET', session, 'run', 'lineage'))
    local run = parse_run(text)
    run.attempts, run.available_ms, run.turn, run.has_died = 0, 0, 0, '0'
    redis.call('HSET', session, 'run', format_run(run))
    redis.call('HDEL', session, 'attempt_log', 'parked', 'resumed', 'trace')
    drop_request(ancestor_keys[#ancestor_keys - 1] or session, parse_lineage(lineage).number)
  end
end
redis.call('HSET', session, 'value_bytes', value_bytes)
local settings = parse_settings(write.settings)
local parent, parent_idle_ttl
if ancestor_keys[1] then
  parent, parent_idle_ttl = unpack(redis.call('HMGET', ancestor_keys[1], 'settings', 'idle_ttl'))
end
if parent then -- a child lives no longer than its parent
  local max_ttl_ms, idle_ttl = (parent_idle_ttl or parse_settings(parent).ttl_ms) + 0, redis.call('HGET', session, 'idle_ttl')
  local own_ttl_ms = (idle_ttl or settings.ttl_ms) + 0
  local is_too_long = max_ttl_ms > 0 and (own_ttl_ms == 0 or own_ttl_ms > max_ttl_ms)
  if is_too_long and idle_ttl then
    redis.call('HSET', session, 'idle_ttl', string.format('%d', max_ttl_ms))
  elseif is_too_long then
    settings.ttl_ms = max_ttl_ms
    write.settings = format_settings(settings)
    redis.call('HSET', session, 'settings', write.settings)
  end
end
if settings.ttl_ms == 0 and not settings.deadline_ms then
  redis.call('PERSIST', session)
  redis.call('PERSIST', messages)
end
return commit_write(session, messages, write, operation_id, '')

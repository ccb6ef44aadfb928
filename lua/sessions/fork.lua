-- Copy a session up to a message into a new session of its own, in the same slot: its transcript, system prompt, state,
-- variables, description and options, but not its lease, inbox, children, loops or usage. The same call again returns its first
-- result.
-- Returns {incarnation of the new session, its last seq}.
-- Errors: NEED_COPY NEED_PLAN SESSION_NOT_FOUND SESSION_DAMAGED SESSION_REPLACED EDIT_CONFLICT LIMIT_EXCEEDED SESSION_EXISTS
-- Index: none
--- include: tail merge_record check_incarnation read_clock list_index kept_seqs check_boundary copy_transcript parse_counters
--- include: new_settings parse_settings expire_session parse_value_bytes format_value_bytes
local session         = KEYS[1]           -- hash: the session to be copied
local messages        = KEYS[2]           -- list
local fork            = KEYS[3]           -- hash: the new session
local fork_messages   = KEYS[4]           -- list
local copy            = KEYS[5]           -- list: what messages/copy_part has copied; the list of the new session if nothing is
local kept_copy       = KEYS[6]           -- hash: the same of the messages of the hash; the new session if nothing is
local incarnation     = ARGV[1]           -- the incarnation the caller knows, or ''
local new_incarnation = ARGV[2]           -- of the new session
local up_to           = tonumber(ARGV[3]) -- the last seq that is copied, or -1 for all but a call that waits for its result
local caps            = ARGV[4]           -- '<max_messages> <cap_policy> <max_message_bytes>', '*' for those of the session
local ttl_ms          = tonumber(ARGV[5]) -- idle life, 0 for none, or -1 for that of the session
local lifetime_ms     = tonumber(ARGV[6]) -- whole life, 0 for none, or -1 for that of the session
local copied          = ' ' .. ARGV[7] .. ' ' -- the names of the fields that are copied
local copied_rev      = tonumber(ARGV[8]) -- when messages/copy_part has copied the messages: the revision of the copy; or 0
local plan            = ARGV[9]           -- what NEED_PLAN said, or ''
local merges          = ARGV[10]          -- '<name>=<default>=<changes>=' of each record that is merged ('*' keeps a word), or ''
local unset           = ARGV[11]          -- the names of fields that the new session does not have
local fields          = tail(ARGV, 12)    -- other fields of the new session: name, value, …

local found, settings, created, idle_ttl =
  unpack(redis.call('HMGET', session, 'incarnation', 'settings', 'created', 'idle_ttl'))
local refusal = check_incarnation(found, incarnation)
if refusal then return refusal end
local before, counters = unpack(redis.call('HMGET', fork, 'incarnation', 'counters'))
if before == new_incarnation then return {before, parse_counters(counters).last_seq} end
if before then return redis.error_reply('SESSION_EXISTS ' .. before) end
local now_ms, now_us = read_clock()
settings = parse_settings(settings)
caps = merge_record(string.format('%d %s %d', settings.max_messages, settings.cap_policy, settings.max_message_bytes), caps)
if ttl_ms < 0 then ttl_ms = (idle_ttl or settings.ttl_ms) + 0 end
if lifetime_ms < 0 then lifetime_ms = settings.deadline_ms and settings.deadline_ms - math.floor(created / 1000) or 0 end
local function boundary(list, source, layout)
  local at = list_index(up_to + 1, source.dropped, layout.gaps) - 1
  local is_boundary, before_seq, after_seq = check_boundary(list, at, source.last_seq - source.dropped, layout, source.dropped)
  local is_gone = at < 0 and up_to > 0 and (kept_seqs(session, layout)[1] or up_to + 1) > up_to
  if is_boundary and up_to <= source.last_seq and not is_gone then return math.max(at + 1, 0) end
  return nil, redis.error_reply(string.format('EDIT_CONFLICT %s %.0f %.0f %.0f %.0f',
    up_to > source.last_seq and 'beyond_end' or is_gone and 'dropped' or 'in_group', up_to, source.last_seq, before_seq or 0, after_seq or 0))
end
counters, refusal = copy_transcript(session, messages, fork, fork_messages, caps, now_us, copy, kept_copy, copied_rev,
  up_to >= 0 and boundary or nil, up_to >= 0 and up_to or nil, plan)
if refusal then return refusal end
local sizes, count = parse_value_bytes()
for _, name in ipairs(redis.call('HKEYS', session)) do
  if sizes[string.match(name, '^(%l+)%.') or ''] or string.find(copied, ' ' .. name .. ' ', 1, true) then
    redis.call('HSET', fork, name, redis.call('HGET', session, name))
  end
end
for name in string.gmatch(unset, '%S+') do redis.call('HDEL', fork, name) end
for name, default, changes in string.gmatch(merges, '(.-)=(.-)=(.-)=') do
  redis.call('HSET', fork, name, merge_record(redis.call('HGET', fork, name) or default, changes))
end
local text = new_settings(caps, ttl_ms, lifetime_ms, now_ms)
redis.call('HSET', fork, 'incarnation', new_incarnation, 'status', 'active', 'counters', counters, 'settings', text,
  'created', string.format('%.0f', now_us), unpack(fields))
for _, name in ipairs(redis.call('HKEYS', fork)) do
  local prefix, key = string.match(name, '^(%l+)%.(.*)$')
  if sizes[prefix or ''] then
    sizes[prefix], count = sizes[prefix] + #key + redis.call('HSTRLEN', fork, name), count + 1
  end
end
redis.call('HSET', fork, 'value_bytes', format_value_bytes(sizes, count))
expire_session(fork, fork_messages, now_ms, ttl_ms, parse_settings(text).deadline_ms)
return {new_incarnation, parse_counters(counters).last_seq}

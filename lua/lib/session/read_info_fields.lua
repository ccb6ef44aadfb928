-- Read the fields of a session that its info shows, with 'count' (messages in the list), 'left' (ms of life, or -1) and 'now'
-- (ms) added. Return {name, value, …}. With `with_state` the state is among them. The messages, and the fields that only
-- scripts use, are not.
--- include: read_clock
local function read_info_fields(session, messages, with_state)
  local names, shown = {}, {}
  for _, name in ipairs(redis.call('HKEYS', session)) do
    local prefix = string.match(name, '^([%l_]+)%.')
    if (not prefix or prefix == 'meta' or (with_state and prefix == 'state')) and name ~= 'kept_seqs' then names[#names + 1] = name end
  end
  for first = 1, #names, 1000 do
    local last = math.min(first + 999, #names)
    for at, value in ipairs(redis.call('HMGET', session, unpack(names, first, last))) do
      shown[#shown + 1], shown[#shown + 2] = names[first + at - 1], value
    end
  end
  for _, part in ipairs({
    'count', redis.call('LLEN', messages), 'left', redis.call('PTTL', session), 'now', string.format('%d', (read_clock())),
  }) do
    shown[#shown + 1] = tostring(part)
  end
  return shown
end

-- Store the layout of a transcript.
--- include: format_layout
local function save_layout(session, layout)
  local text = format_layout(layout)
  if text then redis.call('HSET', session, 'layout', text) else redis.call('HDEL', session, 'layout') end
end

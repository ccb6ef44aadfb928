-- Begin a guarded write that edits the transcript of an active session. Return what begin_write returns, or nil and the reply.
--- include: begin_write check_list
local function begin_edit(session, messages, ...)
  local write, reply = begin_write(session, ...)
  if not write then return nil, reply end
  if write.status ~= 'active' then return nil, redis.error_reply('SESSION_NOT_ACTIVE ' .. write.status) end
  reply = check_list(messages, write.counters)
  if reply then return nil, reply end
  return write
end

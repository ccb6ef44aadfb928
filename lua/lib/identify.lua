-- The refusal when a session is gone or is another one under the same id, or nil.
local function identify(found, known)
  if not found then
    return redis.error_reply('NOT_FOUND no such session')
  end
  if known ~= '' and known ~= found then
    return redis.error_reply('REPLACED ' .. found)
  end
end

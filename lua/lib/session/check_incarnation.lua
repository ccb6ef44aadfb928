-- Return a refusal when the session does not exist or has another incarnation than the caller knows; else nil.
local function check_incarnation(found, known)
  if not found then return redis.error_reply('SESSION_NOT_FOUND -') end
  if known ~= '' and known ~= found then return redis.error_reply('SESSION_REPLACED ' .. found) end
end

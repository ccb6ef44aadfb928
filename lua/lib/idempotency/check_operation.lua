-- Return a refusal when an operation ID has white space, because IDs are stored as words; else nil.
local function check_operation(operation)
  if string.find(operation, '%s') then return redis.error_reply('INVALID_INPUT batch_id must have no spaces') end
end

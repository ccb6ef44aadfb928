-- Return the named fields of a hash as a table by name. A field that does not exist is nil.
local function read_fields(key, names)
  local fields = {}
  for at, value in ipairs(redis.call('HMGET', key, unpack(names))) do
    fields[names[at]] = value or nil
  end
  return fields
end

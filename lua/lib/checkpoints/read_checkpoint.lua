-- Return a checkpoint as {place, record, blobs, write names, writes}, and the bytes left of `max_bytes`.
-- A blob is its bytes, 1 if it exists but does not fit any more or is in `seen`, or false if there is none. So is a write.
--- include: split_checkpoint write_range
local function read_checkpoint(values, names, place, record, seen, max_bytes)
  local namespace = string.match(place, '^[^\n]*')
  local left = max_bytes - #record
  local function read(field, exists)
    left = left - 1024 -- the time of a command is that of some bytes
    if seen[field] ~= nil then return seen[field] end
    local value
    if left <= 0 then
      value = exists or redis.call('HEXISTS', values, field) == 1
    else
      value = redis.call('HGET', values, field)
    end
    seen[field] = value and 1
    if type(value) ~= 'string' then return seen[field] end
    left = left - #value
    return value
  end
  local blobs, writes = {}, {}
  for name in string.gmatch((split_checkpoint(record)), '([^\n]*\n[^\n]*)\n') do
    blobs[#blobs + 1] = read('b\n' .. namespace .. '\n' .. name)
  end
  local fields = redis.call('ZRANGEBYLEX', names, write_range(place))
  for at, field in ipairs(fields) do writes[at] = read(field, true) end
  return {place, record, blobs, fields, writes}, left
end

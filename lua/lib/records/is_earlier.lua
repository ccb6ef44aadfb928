-- Return whether a time in a header (encode_time) is earlier than another. The operator < would compare texts by the server's locale.
local function is_earlier(time, other)
  for at = 1, 7 do
    local difference = (string.byte(time, at) or 0) - string.byte(other, at)
    if difference ~= 0 then return difference < 0 end
  end
end

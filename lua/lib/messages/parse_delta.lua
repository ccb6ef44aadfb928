-- Parse a stored delta: '<incarnation> <answer> <seq> <number> <total> <nonce> <data>'. `total` is the bytes of the answer up to
-- and with this delta, where each delta counts 100 bytes more than its data. `size` is what this one counts.
local function parse_delta(element)
  local _, last, incarnation, answer, seq, number, total, nonce = string.find(element, '^(%S+) (%d+) (%d+) (%d+) (%d+) (%S+) ')
  if not last then return {number = 0, total = 0, size = 0, answer = 0} end -- written by another program
  return {
    incarnation = incarnation, answer = answer + 0, seq = seq, number = number + 0, total = total + 0, nonce = nonce,
    size = #element - last + 100,
  }
end

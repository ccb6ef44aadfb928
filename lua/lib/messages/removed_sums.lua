-- Sums over the removed tail of a list, up to an index. When the tail is long, a script refuses with the text
-- of what it has summed up, and the client repeats the call with this text. The text has the revision that it is true for:
-- '<rev> <next index> <bytes> <tokens> <users> <assistants> <turns> <is_open> <pinned> <first kind> <is_cut> <made> <wanted>'.
-- `made` and `wanted` are the hashes of calls, if the tail begins inside a group: made in it, or answered in it but made before.
local function parse_removed_sums(text, rev, start)
  local sums, words = {next = start, is_cut = 0, made = {}, wanted = {}}, {}
  local names = {'next', 'bytes', 'tokens', 'users', 'assistants', 'turns', 'is_open', 'pinned'}
  for word in string.gmatch(text, '%S+') do words[#words + 1] = word end
  local is_current = words[1] == string.format('%d', rev)
  for at, name in ipairs(names) do sums[name] = is_current and words[at + 1] + 0 or sums[name] or 0 end
  if not is_current then return sums end
  if words[10] ~= '-' then sums.first_kind = words[10] end
  sums.is_cut = words[11] + 0
  for hash in string.gmatch(words[12], '%w+') do sums.made[hash] = true end
  for hash in string.gmatch(words[13], '%w+') do sums.wanted[hash] = true end
  return sums
end

local function format_removed_sums(sums, rev)
  local function join(set)
    local hashes = {'-'}
    for hash in pairs(set) do hashes[#hashes + 1] = hash end
    return table.concat(hashes, ',')
  end
  return string.format('%d %d %d %d %d %d %d %d %d %s %d %s %s', rev, sums.next, sums.bytes, sums.tokens, sums.users,
    sums.assistants, sums.turns, sums.is_open, sums.pinned, sums.first_kind or '-', sums.is_cut, join(sums.made), join(sums.wanted))
end

-- Add the next messages of the tail, about 1 MB or 2,000 with `is_bounded`.
local function add_removed_messages(messages, sums, length, size, is_bounded)
  --- include: message_kind message_tokens message_facts is_pinned starts_group
  local bytes, first = 0, sums.next
  while sums.next < length and not (is_bounded and (bytes > 1000000 or sums.next - first > 2000)) do
    for _, message in ipairs(redis.call('LRANGE', messages, sums.next, math.min(sums.next + size, length) - 1)) do
      local kind = message_kind(message)
      if starts_group(message) then sums.is_cut = 0 elseif sums.bytes == 0 then sums.is_cut = 1 end
      bytes, sums.bytes, sums.tokens = bytes + #message, sums.bytes + #message, sums.tokens + message_tokens(message)
      sums.next, sums.pinned = sums.next + 1, sums.pinned + (is_pinned(message) and 1 or 0)
      if kind == 'u' then
        sums.users, sums.is_open = sums.users + 1, 1
      elseif kind == 'a' then
        sums.assistants, sums.turns, sums.is_open = sums.assistants + 1, sums.turns + sums.is_open, 0
      end
      if kind == 'u' or kind == 'a' then sums.first_kind = sums.first_kind or kind end
      for sign, hash in string.gmatch(sums.is_cut == 1 and message_facts(message) or '', '([-+])(........)') do
        if sign == '+' then sums.made[hash] = true elseif not sums.made[hash] then sums.wanted[hash] = true end
      end
    end
  end
end

-- Add the next messages of the hash, by their seqs, behind those of the list, which has `length`: about 1 MB with `is_bounded`.
local function add_removed_kept(session, sums, seqs, length, is_bounded)
  --- include: message_tokens is_pinned
  local bytes = 0
  for at = sums.next - length + 1, #seqs do
    if is_bounded and bytes > 1000000 then break end
    local message = redis.call('HGET', session, 'kept.' .. seqs[at]) or '' -- '' if it is damaged
    bytes, sums.next = bytes + #message, sums.next + 1
    sums.bytes, sums.tokens = sums.bytes + #message, sums.tokens + message_tokens(message)
    sums.pinned = sums.pinned + (is_pinned(message) and 1 or 0)
  end
end

-- Read the stored fields that a script needs before it takes messages in. Return a table of texts by name, and the refusal
-- when the session does not exist or has another incarnation. `results` is the field of the operation's results. The script adds
-- its demands to the table: append_entries and drain_inbox list them.
--- include: check_incarnation
local function load_session(session, incarnation, results)
  local found = redis.call('HMGET', session, 'incarnation', 'status', 'counters', 'settings', 'limits', 'layout',
    results, 'lease', 'lease_waiters', 'inbox', 'max_inbox', 'lineage', 'answered_by', 'run', 'recent')
  local loaded = {
    incarnation = found[1], status = found[2], counters = found[3], settings = found[4], limits = found[5],
    layout = found[6] ~= '' and found[6], results = found[7] or '', lease = found[8], lease_waiters = found[9] or '',
    inbox = found[10] or nil, max_inbox = found[11], lineage = found[12],
    answered_by = found[13] or nil, run = found[14], recent = found[15] or nil,
  }
  return loaded, check_incarnation(loaded.incarnation, incarnation)
end

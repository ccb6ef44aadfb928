-- Find a session that has all its messages.
-- Returns {incarnation or '', settings, limits, tree_limits, budget, max_tokens, max_inbox, created}.
-- Index: none
--- include: find_intact_session read_option_fields
local session  = KEYS[1] -- hash
local messages = KEYS[2] -- list

local found = find_intact_session(session, messages)
local options = read_option_fields(session)
table.insert(options, 1, found or '')
return options

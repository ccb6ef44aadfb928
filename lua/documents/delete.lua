-- Delete a document: its JSON form if there is one, else its text form.
-- Returns 1, or 0 when there is neither.
-- Index: none
local documents = KEYS[1] -- hash: the documents of a category, by name and extension
local json      = ARGV[1] -- '<name>.json'
local text      = ARGV[2] -- '<name>.md'

if redis.call('HDEL', documents, json) == 1 then return 1 end
return redis.call('HDEL', documents, text)

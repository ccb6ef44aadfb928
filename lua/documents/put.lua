-- Store a document. It replaces the present one.
-- Returns nothing.
-- Errors: BOUND_EXCEEDED
-- Index: none
local documents     = KEYS[1]           -- hash
local field         = ARGV[1]           -- the name with its extension
local data          = ARGV[2]           -- the document
local max_documents = tonumber(ARGV[3]) -- documents that the category may hold

local count = redis.call('HLEN', documents)
if count >= max_documents and redis.call('HEXISTS', documents, field) == 0 then
  return redis.error_reply(string.format('BOUND_EXCEEDED documents %d %d', count + 1, max_documents))
end
redis.call('HSET', documents, field, data)

-- List the documents of a category. One that has expired is removed.
-- Returns the names with their extensions, in no order.
-- Index: none
--- include: live_fields read_clock
local documents = KEYS[1] -- hash

return live_fields(documents, (read_clock()))

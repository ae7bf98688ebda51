-- Takes back units that are due.
--
-- reads   meta · holds
-- writes  holds · grants · takers · counts · ledger
-- says    nothing
local grants, holds = KEYS[5], KEYS[6]
if not exists() then return nil end
try_keys()
sweep(grants, holds, ARGV[1], ARGV[2])
return nil

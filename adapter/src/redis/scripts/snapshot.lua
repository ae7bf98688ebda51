-- A stream at one moment.
--
-- reads   meta (epoch, seq) · fields · log · clock
-- writes  nothing
-- says    epoch, seq, clock, the fields (name, text, …), the newest records of an event · nil: there is no such stream
local known = redis.call('HMGET', KEYS[1], 'epoch', 'seq')
if not known[1] then return nil end
local limit = tonumber(ARGV[2])
local history = {}
if limit > 0 then history = newest(KEYS[3], redis.call('LLEN', KEYS[3]) - 1, ARGV[1], limit) end
return { known[1], known[2], string.format('%.0f', clock_at(KEYS[4])), redis.call('HGETALL', KEYS[2]), history }

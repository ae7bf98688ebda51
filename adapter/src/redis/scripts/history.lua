-- The newest records of an event before a number ("": of all).
--
-- reads   meta (epoch, seq) · log
-- writes  nothing
-- says    epoch, the records · nil: there is no such stream
local known = redis.call('HMGET', KEYS[1], 'epoch', 'seq')
if not known[1] then return nil end
local length = redis.call('LLEN', KEYS[2])
local last = length - 1
if ARGV[2] ~= '' then last = math.min(last, tonumber(ARGV[2]) - known[2] + length - 2) end
return { known[1], newest(KEYS[2], last, ARGV[1], tonumber(ARGV[3])) }

-- A new connection: what a gateway has seen of a stream is held against what is there.
--
-- reads   meta · takers
-- writes  nothing, unless something was lost, see `lost`
-- says    1 for a new epoch, else 0
local has = { meta = KEYS[1], fields = KEYS[2], clock = KEYS[3], takers = KEYS[4] }
local seen = { epoch = ARGV[1], seq = ARGV[2], sale_epoch = ARGV[3], steps = ARGV[4], new_epoch = ARGV[5] }
local _, lost = position_of(has, seen)
return lost and 1 or 0

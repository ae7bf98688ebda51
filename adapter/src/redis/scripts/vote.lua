-- Counts a user's vote, once per pool.
--
-- reads   meta · fields · takers
-- writes  takers · counts; nothing if it does not count
-- says    "N" and the votes for each option · "B" and what the user has voted for · "C" and which check does not hold · "L":
--         late · "T": too many · "X": there is no such stream
local fields = KEYS[5]
local pool, user, option, options, ends = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]), ARGV[5]
local most, retain_ms, checks = ARGV[6], ARGV[7], tonumber(ARGV[8])

if not exists() then return { 'X' } end
local failed = failed_check(fields, checks, 8)
if failed then return { 'C', failed } end
if ends ~= '' and now >= tonumber(ends) then return { 'L' } end
if is_full(most) then return { 'T' } end
local before = redis.call('HGET', takers, of_user(pool, user))
if before then return { 'B', before } end

try_keys()
redis.call('HSET', takers, of_user(pool, user), option)
redis.call('HINCRBY', takers, '#', 1)
count('tally.' .. pool .. '.' .. option, 1)
count('votes.' .. pool, 1)
keep(retain_ms)
local tally = {}
for i = 1, options do tally[i] = redis.call('HGET', counts, 'tally.' .. pool .. '.' .. whole(i - 1)) or '0' end
return { 'N', tally }

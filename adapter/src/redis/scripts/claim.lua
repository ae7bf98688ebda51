-- Takes units of a pool for a user.
--
-- reads   meta · fields · takers · grants · holds
-- writes  takers · grants · holds · ids (of the pool's grants) · counts · ledger; nothing if it is refused, but for what is
--         due, and for what was lost, see `lost`
-- says    "N", the new grant, epoch and steps · "R" and the first one · "M": another quantity under the same name · "C" and which check does
--         not hold · "E": early · "L": late · "S" and how many the user may have · "G" and how many are left · "T": too many ·
--         "X": there is no such stream
local fields, grants, holds, ids = KEYS[5], KEYS[6], KEYS[7], KEYS[8]
local pool, id, user, request, quantity = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local stock, per_user, opens, ends, hold = tonumber(ARGV[6]), tonumber(ARGV[7]), ARGV[8], ARGV[9], ARGV[10]
local by, most, most_records, retain_ms, delay_ms = ARGV[11], ARGV[12], ARGV[13], ARGV[14], ARGV[15]
local checks, pieces, worth = tonumber(ARGV[16]), tonumber(ARGV[17]), tonumber(ARGV[18])

local has = { meta = meta, fields = fields, clock = KEYS[9], takers = takers }
local seen = { epoch = ARGV[19], seq = ARGV[20], sale_epoch = ARGV[21], steps = ARGV[22], new_epoch = ARGV[23] }

local epoch = position_of(has, seen)[1]
if not epoch then return { 'X' } end
local name = of_request(pool, user, request)
if request ~= '-' then
  local first = redis.call('HGET', takers, name)
  local packed = first and redis.call('HGET', grants, first)
  if packed then
    local grant = cmsgpack.unpack(packed)
    if grant[4] ~= quantity then return { 'M' } end
    -- Something is written: replicas are asked whether they have it, and it may be the first answer that they had not.
    keep(retain_ms)
    return { 'R', said(first, grant) }
  end
end
local failed, at = failed_check(fields, checks, 23)
if failed then return { 'C', failed } end
if opens ~= '' and now < tonumber(opens) then return { 'E' } end
if ends ~= '' and now >= tonumber(ends) then return { 'L' } end
try_keys()
redis.call('LLEN', ids)
sweep(grants, holds, delay_ms, most_records)
if is_full(most) then return { 'T' } end

local share = math.max(0, per_user - tonumber(redis.call('HGET', takers, of_user(pool, user)) or 0))
if tonumber(quantity) > share then return { 'S', whole(share) } end
local left = math.max(0, stock - tonumber(redis.call('HGET', takers, 't:' .. pool) or 0))
if tonumber(quantity) > left then return { 'G', whole(left) } end

redis.call('HINCRBY', takers, 't:' .. pool, quantity)
redis.call('HINCRBY', takers, of_user(pool, user), quantity)
redis.call('HINCRBY', takers, '#', 1)
if request ~= '-' then redis.call('HSET', takers, name, id) end
local held_until = hold ~= '' and whole(now + hold) or ''
if hold ~= '' then redis.call('ZADD', holds, held_until, id) end
local text = table.concat(ARGV, whole(now), at + 1, at + pieces)
at = at + pieces
local grant = { hold ~= '' and 'H' or 'F', held_until, '', quantity, whole(left - quantity), pool, user, request, text }
for i = 1, 2 * worth do grant[9 + i] = ARGV[at + i] end
redis.call('HSET', grants, id, cmsgpack.pack(grant))
redis.call('RPUSH', ids, id)
count('sold.' .. pool, quantity)
count('claims', 1)
if hold == '' then
  for i = 10, #grant, 2 do count(grant[i], grant[i + 1]) end
end
record(most_records, 'claim', by, text)
keep(retain_ms, grants, holds, ids)
return { 'N', said(id, grant), step(epoch) }

-- Draws a prize for a user, and tells of it.
--
-- reads   meta (epoch, seq, bytes, day) · fields · takers
-- writes  takers · counts · ledger, and with a prize clock · log · meta; nothing if it is refused, but
--         for what was lost, see `lost`
-- says    "N", the turn, "+" and the prize or else "-", epoch and steps, and with a prize "1" for the first entry of the day or
--         else "0", and seq · "R", id, turn and prize of the first answer · "C" and which check does not hold · "L": late ·
--         "S": no turns are left · "T": too many · "X": there is no such stream
--
-- The draw is a number of the gateway; what it hits is the draw modulo the sum of the weights that are left.
local fields = KEYS[5]
local pool, id, user, request, ends, by = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local most, most_records, retain_ms = ARGV[7], ARGV[8], ARGV[9]
local checks, draws, prizes = tonumber(ARGV[10]), tonumber(ARGV[11]), tonumber(ARGV[12])
local data = { ARGV[13], ARGV[14], ARGV[15], ARGV[16] }
local to = {
  meta = meta, log = KEYS[6], clock = KEYS[7],
  new_epoch = ARGV[19],
  max_entries = tonumber(ARGV[20]), max_bytes = tonumber(ARGV[21]), retain_ms = retain_ms, today = ARGV[22],
  publish = ARGV[23], channel = ARGV[24],
}
local peers = ARGV[25]
local has = { meta = meta, fields = fields, clock = to.clock, takers = takers }
local seen = { epoch = ARGV[17], seq = ARGV[18], sale_epoch = ARGV[26], steps = ARGV[27], new_epoch = ARGV[19] }

local known = position_of(has, seen)
if not known[1] then return { 'X' } end
local name = of_request(pool, user, request)
if request ~= '-' then
  local first = redis.call('HGET', takers, name)
  if first then
    local turn = cmsgpack.unpack(first)
    -- Something is written: replicas are asked whether they have it, and it may be the first answer that they had not.
    keep(retain_ms)
    return { 'R', turn[1], turn[2], turn[3] }
  end
end
local failed, at = failed_check(fields, checks, 27)
if failed then return { 'C', failed } end
if ends ~= '' and now >= tonumber(ends) then return { 'L' } end
if is_full(most) then return { 'T' } end
local had = tonumber(redis.call('HGET', takers, of_user(pool, user)) or 0)
if had >= draws then return { 'S' } end
local draw = tonumber(ARGV[at + had + 1])
at = at + draws

-- Prizes: id, weight, stock ("": no end), text, what the gateway knows of the body, body, how many parts, the parts.
local stakes, sum = {}, 0
for i = 1, prizes do
  local stake = {
    id = ARGV[at + 1], weight = tonumber(ARGV[at + 2]), text = ARGV[at + 4],
    about = ARGV[at + 5], body = ARGV[at + 6],
    parts = { unpack(ARGV, at + 8, at + 7 + tonumber(ARGV[at + 7])) },
  }
  local stock = ARGV[at + 3]
  local given = stock ~= '' and tonumber(redis.call('HGET', takers, of_prize(pool, stake.id)) or 0)
  if given and given >= tonumber(stock) then stake.weight = 0 end
  sum = sum + stake.weight
  stakes[i] = stake
  at = at + 7 + #stake.parts
end
local won
if sum > 0 then
  local ticket = math.fmod(draw, sum)
  for i = 1, prizes do
    if ticket < stakes[i].weight then
      won = stakes[i]
      break
    end
    ticket = ticket - stakes[i].weight
  end
end

try_keys()
local log = open_log(to, known)
local turn, prize = whole(had + 1), won and '+' .. won.text or '-'
redis.call('HINCRBY', takers, of_user(pool, user), 1)
redis.call('HINCRBY', takers, '#', 1)
if won then redis.call('HINCRBY', takers, of_prize(pool, won.id), 1) end
if request ~= '-' then redis.call('HSET', takers, name, cmsgpack.pack({ id, turn, prize })) end
count('sold.' .. pool, 1)
count('spins', 1)
record(most_records, 'spin', by, joined(data, { turn, won and won.text or 'null', whole(now) }, ''))
keep(retain_ms)
local epoch, steps = step(known[1])
if not won then return { 'N', turn, prize, epoch, steps } end
local entry = write_entry(log, won.about, won.body, nil)
close_log(log)
if #won.parts > 0 then tell_peers(to, peers, entry, won.parts, nil) end
return { 'N', turn, prize, epoch, steps, log.first_today and '1' or '0', entry.digits }

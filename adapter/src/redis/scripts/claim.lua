-- Takes units of a pool, for one claim after the other.
--
-- reads   meta · fields · takers · grants · holds
-- writes  takers · grants · holds · ids (of the pool's grants) · counts · ledger; nothing if all are refused, but for what is
--         due, and for what was lost, see `lost`
-- says    "X": there is no such stream; or the time in ms, epoch and steps (nothing if none was taken), and for each claim
--         "N" and how many were left after it · "R" and the first grant · "M": another quantity under the same name · "C" and
--         which check does not hold · "E": early · "L": late · "S" and how many the user may have · "G" and how many are
--         left · "T": too many
local fields, grants, holds, ids = KEYS[5], KEYS[6], KEYS[7], KEYS[8]
local pool, stock, per_user, opens, ends, hold = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4], ARGV[5], ARGV[6]
local most, most_records, retain_ms, delay_ms = tonumber(ARGV[7]), ARGV[8], ARGV[9], ARGV[10]
local checks, pieces, worth, claims = tonumber(ARGV[11]), tonumber(ARGV[12]), tonumber(ARGV[13]), tonumber(ARGV[14])
local has = { meta = meta, fields = fields, clock = KEYS[9], takers = takers }
local seen = { epoch = ARGV[15], seq = ARGV[16], sale_epoch = ARGV[17], steps = ARGV[18], new_epoch = ARGV[19] }
-- Numbers up to here are added without loss.
local exact = 2 ^ 43

local epoch = position_of(has, seen)[1]
if not epoch then return { 'X' } end
local failed = failed_check(fields, checks, 19)
local worth_names = 19 + 3 * checks
-- id, user, request, quantity, by, pieces, values of the worth
local width = 5 + pieces + worth
local function of_claim(number) return worth_names + worth + (number - 1) * width end

-- What is said of each claim: known at once, or nil.
local said_of, names, asked = {}, {}, {}
for i = 1, claims do
  local claim = of_claim(i)
  local request = ARGV[claim + 3]
  if request ~= '-' then
    names[i] = of_request(pool, ARGV[claim + 2], request)
    asked[#asked + 1] = names[i]
  end
end
-- Grants by the names of their requests; those of this step join them.
local first = {}
if #asked > 0 then
  local found = redis.call('HMGET', takers, unpack(asked))
  for i, name in ipairs(asked) do
    local packed = found[i] and redis.call('HGET', grants, found[i])
    if packed then first[name] = { found[i], cmsgpack.unpack(packed) } end
  end
end
local function repeated(i)
  local known = names[i] and first[names[i]]
  if not known then return nil end
  if known[2][4] ~= ARGV[of_claim(i) + 4] then return { 'M' } end
  return { 'R', said(known[1], known[2]) }
end

local fresh = 0
for i = 1, claims do
  said_of[i] = repeated(i)
  if not said_of[i] then fresh = fresh + 1 end
end
local refusal
if failed then refusal = { 'C', failed }
elseif opens ~= '' and now < tonumber(opens) then refusal = { 'E' }
elseif ends ~= '' and now >= tonumber(ends) then refusal = { 'L' } end

if fresh < claims then
  -- Something is written: replicas are asked whether they have it, and it may be the first answer that they had not.
  keep(retain_ms)
end
local steps
if fresh > 0 and not refusal then
  try_keys()
  redis.call('LLEN', ids)
  redis.call('HLEN', grants)
  sweep(grants, holds, delay_ms, most_records)
  local users, wanted = {}, { '#', 't:' .. pool }
  for i = 1, claims do
    if not said_of[i] then
      users[i] = of_user(pool, ARGV[of_claim(i) + 2])
      wanted[#wanted + 1] = users[i]
    end
  end
  local have = {}
  for i, value in ipairs(redis.call('HMGET', takers, unpack(wanted))) do have[wanted[i]] = tonumber(value or 0) end

  local taken, granted, changed = 't:' .. pool, 0, {}
  local to_takers, to_grants, to_ids, to_holds, sums, sold = {}, {}, {}, {}, {}, 0
  local held_until = hold ~= '' and whole(now + hold) or ''
  local function grant_one(i, quantity, left)
    local claim = of_claim(i)
    local id, user, request, by = ARGV[claim + 1], ARGV[claim + 2], ARGV[claim + 3], ARGV[claim + 5]
    local text = table.concat(ARGV, whole(now), claim + 6, claim + 5 + pieces)
    local grant = {
      hold ~= '' and 'H' or 'F', held_until, '', ARGV[claim + 4], whole(left - quantity), pool, user, request, text,
    }
    for k = 1, worth do
      local name, value = ARGV[worth_names + k], ARGV[claim + 5 + pieces + k]
      grant[8 + 2 * k], grant[9 + 2 * k] = name, value
      if hold == '' then
        if tonumber(value) < exact then sums[name] = (sums[name] or 0) + tonumber(value) else count(name, value) end
      end
    end
    have[taken], have[users[i]], have['#'] = have[taken] + quantity, have[users[i]] + quantity, have['#'] + 1
    changed[users[i]] = true
    granted, sold = granted + 1, sold + quantity
    to_grants[#to_grants + 1] = id
    to_grants[#to_grants + 1] = cmsgpack.pack(grant)
    to_ids[#to_ids + 1] = id
    if hold ~= '' then
      to_holds[#to_holds + 1] = held_until
      to_holds[#to_holds + 1] = id
    end
    if names[i] then
      first[names[i]] = { id, grant }
      to_takers[#to_takers + 1] = names[i]
      to_takers[#to_takers + 1] = id
    end
    record(most_records, 'claim', by, text)
    return { 'N', whole(left - quantity) }
  end

  for i = 1, claims do
    -- The same request may stand before it in this step.
    said_of[i] = said_of[i] or repeated(i)
    if not said_of[i] then
      local quantity = tonumber(ARGV[of_claim(i) + 4])
      local share, left = math.max(0, per_user - have[users[i]]), math.max(0, stock - have[taken])
      if have['#'] >= most then said_of[i] = { 'T' }
      elseif quantity > share then said_of[i] = { 'S', whole(share) }
      elseif quantity > left then said_of[i] = { 'G', whole(left) }
      else said_of[i] = grant_one(i, quantity, left) end
    end
  end

  if granted > 0 then
    changed[taken], changed['#'] = true, true
    for name in pairs(changed) do
      to_takers[#to_takers + 1] = name
      to_takers[#to_takers + 1] = whole(have[name])
    end
    redis.call('HSET', takers, unpack(to_takers))
    redis.call('HSET', grants, unpack(to_grants))
    redis.call('RPUSH', ids, unpack(to_ids))
    if #to_holds > 0 then redis.call('ZADD', holds, unpack(to_holds)) end
    count('sold.' .. pool, whole(sold))
    count('claims', granted)
    for name, sum in pairs(sums) do count(name, whole(sum)) end
    keep(retain_ms, grants, holds, ids)
    epoch, steps = step(epoch)
  end
end

local answer = { whole(now), epoch, steps and whole(steps) or '' }
for i = 1, claims do answer[i + 3] = said_of[i] or refusal end
return answer

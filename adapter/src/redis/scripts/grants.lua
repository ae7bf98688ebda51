-- Grants of a pool, a page of them in the order in which they were made. Nothing else is done meanwhile, so a page is small.
--
-- reads   ids · grants
-- writes  when takers are forgotten: replicas are asked whether they have what was written
-- says    how many ids the page had, then the grants
local from, count = tonumber(ARGV[1]), tonumber(ARGV[2])
keep(ARGV[3])
local ids = redis.call('LRANGE', KEYS[5], from, from + count - 1)
local page = { #ids }
if #ids > 0 then
  local packed = redis.call('HMGET', KEYS[6], unpack(ids))
  for i, id in ipairs(ids) do
    if packed[i] then page[#page + 1] = said(id, cmsgpack.unpack(packed[i])) end
  end
end
return page

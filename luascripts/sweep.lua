-- sweep: removes reservations that their partition has evicted; those that it has not stay. It may be repeated.
-- KEYS: parts, reservations
-- ARGV[1]: the keeper's epoch u32; ARGV[2…]: the reservation's partition u16, and its id
-- answers how many it removed; -1 when another keeper has the shard

if not keeps(ARGV[1]) then return -1 end
local evicted, removed = {}, 0
for j = 2, #ARGV do
  local name, id = string.sub(ARGV[j], 1, 2), string.sub(ARGV[j], 3)
  local r = redis.call('HGET', KEYS[2], id)
  if not evicted[name] then
    local part = redis.call('HGET', KEYS[1], name)
    evicted[name] = part and struct.unpack('>I7', part, EVICTED_AT) or 0
  end
  if r and string.byte(r) ~= TRIED and struct.unpack('>I7', r, RESOLVED_AT) < evicted[name] then
    removed = removed + redis.call('HDEL', KEYS[2], id)
  end
end
return removed

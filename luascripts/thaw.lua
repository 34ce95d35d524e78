-- thaw: a partition that was frozen serves again, in another epoch: it has not moved.
-- KEYS: parts
-- ARGV[1]: the keeper's epoch u32; ARGV[2]: partition u16; ARGV[3]: its epoch from here on u32, above the one that it was frozen in;
-- or that one, and ARGV[4]: what parts says of the freeze that ends
-- answers 1, also when it was done before; 0 when the shard has a later keeper, or the partition is not frozen so

-- Decide.
local keeper, name, aside = redis.call('HGET', KEYS[1], 'keeper'), ARGV[2], 'moving' .. ARGV[2]
if keeper and struct.unpack('>I4', keeper) > struct.unpack('>I4', ARGV[1]) then return 0 end
local part = redis.call('HGET', KEYS[1], name)
if part then return string.sub(part, 1, 4) == ARGV[3] and 1 or 0 end
local frozen = redis.call('HGET', KEYS[1], aside)
if not frozen or string.sub(frozen, 1, 1) ~= 'F' then return 0 end
if ARGV[4] then
  if frozen ~= ARGV[4] then return 0 end
elseif struct.unpack('>I4', string.sub(frozen, 2)) >= struct.unpack('>I4', ARGV[3]) then
  return 0
end

-- Apply.
redis.call('HSET', KEYS[1], name, ARGV[3] .. string.sub(frozen, 6, 1 + PART_SIZE))
redis.call('HDEL', KEYS[1], aside)
return 1

-- trim: drops the outbox entries before an id, unless a later keeper serves the shard: its outbox counts from 1 again.
-- KEYS: parts, outbox
-- ARGV[1]: the keeper's epoch u32; ARGV[2]: the first id to keep
-- answers 1; 0 when a partition is of a higher epoch

local ours = struct.unpack('>I4', ARGV[1])
local parts = redis.call('HGETALL', KEYS[1])
for i = 1, #parts, 2 do
  if #parts[i] == 2 and struct.unpack('>I4', parts[i + 1]) > ours then return 0 end
end
redis.call('XTRIM', KEYS[2], 'MINID', ARGV[2])
return 1

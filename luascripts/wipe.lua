-- wipe: removes everything that walletd keeps in the shard, unless a later keeper serves or loads it.
-- KEYS: parts, then all keys with a fixed name
-- ARGV[1]: the keeper's epoch u32; ARGV[2]: pattern of the keys hashes
-- answers 1; 0 when a partition, or who loads the shard, is of a higher epoch

local ours = struct.unpack('>I4', ARGV[1])

-- Decide.
local parts = redis.call('HGETALL', KEYS[1])
for i = 1, #parts, 2 do
  if (#parts[i] == 2 or parts[i] == 'loader') and struct.unpack('>I4', parts[i + 1]) > ours then return 0 end
end

-- Apply. The keys hashes are looked up here: a train that ran in between could make one.
local names = redis.call('KEYS', ARGV[2])
for i = 1, #KEYS do names[#names + 1] = KEYS[i] end
redis.call('UNLINK', unpack(names))
return 1

-- trim: drops the outbox entries before an id, unless a later keeper serves the shard: its outbox counts from 1 again.
-- KEYS: parts, outbox
-- ARGV[1]: the keeper's epoch u32; ARGV[2]: the first id to keep
-- answers 1; 0 when a keeper of a higher epoch has admitted trains (partitions that joined are in higher epochs than ours)

local keeper = redis.call('HGET', KEYS[1], 'keeper')
if keeper and struct.unpack('>I4', keeper) > struct.unpack('>I4', ARGV[1]) then return 0 end
redis.call('XTRIM', KEYS[2], 'MINID', ARGV[2])
return 1
